"""A stdio server behind a bridge, as a part of a run."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from mcp_chaos.bridge import COMMAND
from mcp_chaos.machine.parts import LOOPBACK, START_TIMEOUT_S, Part, ReservedPort, answers
from mcp_chaos.machine.processes import Child, families


class BridgedChild(Child):
    """A bridge and the stdio server behind it, which is who is paused and killed.

    The server is a program of the person's own, and has the environment that it would have without us.
    """

    needs_secrets = True

    def signal(self, number: int) -> None:
        """Pause, continue and kill the server, with all that it started; the bridge hears of all else."""
        if number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL) and self.alive:
            servers = psutil.Process(self.pid).children()
            started = families(servers)  # some of it may be in other groups
            for server in servers:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(server.pid, number)
            for process in started:
                with suppress(psutil.Error):
                    process.send_signal(number)
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            super().signal(number)


def stdio_server(folder: Path, dialect: str, command: Sequence[str], start_timeout_s: float = START_TIMEOUT_S) -> Part:
    """A stdio server behind a bridge, its endpoint ``/mcp``; it answers when the server itself does.

    Args:
        folder: of the run; the log goes there.
        dialect: to speak, or ``auto``.
        command: of the server.
        start_timeout_s: how long it may take to answer; one that has to be downloaded first takes its time.
    """
    port = ReservedPort()
    argv = [sys.executable, "-m", "mcp_chaos.bridge", str(port.number), dialect]
    env = {COMMAND: json.dumps(list(command))}  # its words may be secrets, and all of this machine see command lines
    url = f"http://{LOOPBACK}:{port.number}/health"
    return Part(
        "server",
        argv,
        port,
        lambda: answers(url, status=200),
        folder,
        env,
        kind=BridgedChild,
        start_timeout_s=start_timeout_s,
    )

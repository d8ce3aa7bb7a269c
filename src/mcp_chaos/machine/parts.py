"""The parts of a run: each a child process on a loopback port that is its own for the whole run."""

import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Timer

import httpx

from mcp_chaos.machine.exchange import fetch
from mcp_chaos.machine.processes import Child

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 30.0
_SAY_AFTER_S = 3.0
_PROBE_TIMEOUT_S = 2.0


class ReservedPort:
    """A free loopback port, kept from others by a socket that is bound and never listens.

    A child binds the same port (both sides set SO_REUSEADDR); while it does not, connections are refused. So a part
    that is killed is gone to its clients, and comes back on the port it had.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """Give the port back."""
        self._socket.close()


class Part:
    """An embedded part: how to start it, and how to tell that it answers.

    Args:
        name: what it is to people, and in the logs.
        argv: its command, the port in it.
        port: its own.
        answers: whether it really answers.
        folder: of the run; the log goes there.
        env: variables besides this process's.
        scratch: a folder that is removed with it.
        kind: of child process.
        start_timeout_s: how long it may take to answer.
    """

    def __init__(
        self,
        name: str,
        argv: list[str],
        port: ReservedPort,
        answers: Callable[[], bool],
        folder: Path,
        env: Mapping[str, str] | None = None,
        scratch: Path | None = None,
        kind: type[Child] = Child,
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self.name = name
        self._scratch = scratch
        self.port = port
        self._start_timeout_s = start_timeout_s
        self._answers = answers
        self.child = kind(name, argv, folder / f"{name}.log", str(folder), env)

    def start(self) -> None:
        """Start it; it may not answer yet.

        Raises:
            PartError: the command cannot be run.
        """
        self.child.start()

    def wait_until_it_answers(self, say: Callable[[str], None] | None = None) -> None:
        """Wait until it really answers.

        Args:
            say: told that it is waited for, when that takes a while.

        Raises:
            PartError: it ended, or does not answer.
        """
        told = f"Waiting for the {self.name} to start, up to {self._start_timeout_s:g} s"
        telling = Timer(_SAY_AFTER_S, lambda: say(told) if say is not None else None)
        telling.daemon = True
        telling.start()
        try:
            self.child.wait_until(self._answers, self._start_timeout_s)
        finally:
            telling.cancel()

    def stop(self) -> None:
        """End it, give its port back and remove its scratch folder. May be repeated."""
        self.child.stop()
        self.port.release()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def answers(url: str, status: int | None = None) -> bool:
    """Whether a part answers at a URL, with a status that is wanted."""
    try:
        answer = fetch("GET", url, _PROBE_TIMEOUT_S)
    except httpx.HTTPError:
        return False
    return status is None or answer.status_code == status

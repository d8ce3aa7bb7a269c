"""The embedded parts: each a child process on a loopback port that is its own for the whole run."""

import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from mcp_chaos.errors import PartError, UsageError
from mcp_chaos.machine.processes import Child

LOOPBACK = "127.0.0.1"
RATE_VARIABLE = "MCP_CHAOS_LAB_RATE_PER_S"
QUERY_VARIABLE = "MCP_CHAOS_LAB_QUERY_MS"
START_TIMEOUT_S = 30.0
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
    ) -> None:
        self.name = name
        self._scratch = scratch
        self.port = port
        self._answers = answers
        self.child = kind(name, argv, folder / f"{name}.log", str(folder), env)

    def start(self) -> None:
        """Start it; it may not answer yet.

        Raises:
            PartError: the command cannot be run.
        """
        self.child.start()

    def wait_until_it_answers(self) -> None:
        """Wait until it really answers.

        Raises:
            PartError: it ended, or does not answer.
        """
        self.child.wait_until(self._answers, START_TIMEOUT_S)

    def stop(self) -> None:
        """End it, give its port back and remove its scratch folder. May be repeated."""
        self.child.stop()
        self.port.release()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def toxiproxy(binary: Path, folder: Path) -> Part:
    """The Toxiproxy server, its API on loopback (it has no authentication)."""
    port = ReservedPort()
    argv = [str(binary), "-host", LOOPBACK, "-port", str(port.number)]
    url = f"http://{LOOPBACK}:{port.number}/version"
    return Part("toxiproxy", argv, port, lambda: _answers(url, status=200), folder, {"LOG_LEVEL": "warn"})


def warehouse(folder: Path) -> Part:
    """The warehouse.

    Raises:
        UsageError: ``MCP_CHAOS_LAB_QUERY_MS`` is no time.
    """
    _number(QUERY_VARIABLE, "milliseconds that a query takes longer are needed, 0 for none")
    port = ReservedPort()
    argv = [sys.executable, "-m", "mcp_chaos.lab.warehouse", str(port.number)]
    # fakesnow makes a folder for uploads at its start and never removes it.
    scratch = folder / "warehouse.tmp"
    scratch.mkdir(exist_ok=True)
    url = f"http://{LOOPBACK}:{port.number}/"
    return Part("warehouse", argv, port, lambda: _answers(url), folder, {"TMPDIR": str(scratch)}, scratch)


def _number(variable: str, needed: str) -> None:
    given = os.environ.get(variable, "0")
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", given):
        raise UsageError(f"{variable}: {needed}, not {given!r}.")


def server(folder: Path, backend_port: int) -> Part:
    """The reference MCP server; it answers when a query has come back from the warehouse.

    Raises:
        UsageError: ``MCP_CHAOS_LAB_RATE_PER_S`` is no rate.
    """
    _number(RATE_VARIABLE, "calls per second and client are needed, 0 for no limit")
    port = ReservedPort()
    argv = [sys.executable, "-m", "mcp_chaos.lab.server", str(port.number), str(backend_port)]
    url = f"http://{LOOPBACK}:{port.number}/health"
    return Part("server", argv, port, lambda: _answers(url, status=200), folder)


class BridgedChild(Child):
    """A bridge and the stdio server behind it, which is who is paused and killed."""

    def signal(self, number: int) -> None:
        """Pause, continue and kill the server, with all that it started; the bridge hears of all else."""
        if number in (signal.SIGSTOP, signal.SIGCONT, signal.SIGKILL) and self.alive:
            for server in psutil.Process(self.pid).children():
                with suppress(ProcessLookupError):
                    os.killpg(server.pid, number)
        if number not in (signal.SIGSTOP, signal.SIGCONT):
            super().signal(number)


def stdio_server(folder: Path, dialect: str, command: Sequence[str]) -> Part:
    """A stdio server behind a bridge, its endpoint ``/mcp``; it answers when the server itself does."""
    port = ReservedPort()
    argv = [sys.executable, "-m", "mcp_chaos.bridge", str(port.number), dialect, *command]
    url = f"http://{LOOPBACK}:{port.number}/health"
    return Part("server", argv, port, lambda: _answers(url, status=200), folder, kind=BridgedChild)


def check_lab_is_installed() -> None:
    """Check that the embedded parts can be imported, without importing them.

    Raises:
        PartError: the extra ``lab`` is not installed.
    """
    from importlib.util import find_spec

    missing = [name for name in ("mcp", "fakesnow", "snowflake") if find_spec(name) is None]
    if missing:
        raise PartError(
            f"The embedded server needs {', '.join(missing)}: pip install 'chaostoolkit-mcp[lab]'. "
            "Or set MCP_URL to use your own server. Nothing was started."
        )


def _answers(url: str, status: int | None = None) -> bool:
    try:
        answer = httpx.get(url, timeout=_PROBE_TIMEOUT_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return status is None or answer.status_code == status

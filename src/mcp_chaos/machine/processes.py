"""Child processes that a run owns: started apart from the terminal, logged, found again, and always ended.

Each child carries ``MCP_CHAOS_RUN`` in its environment, so that whoever cleans up after a dead run finds its children
without having been told of them.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from mcp_chaos.errors import PartError
from mcp_chaos.machine.printable import printable
from mcp_chaos.machine.secrets import without_secrets

MARKER = "MCP_CHAOS_RUN"
_POLL_S = 0.01
_KILL_TIMEOUT_S = 2.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_TICKS_AFTER_NAME = 19
_ENDED = ("Z", "X")


class Child:
    """One child process.

    Args:
        name: what it is to people, for example ``MCP server``.
        argv: the command.
        log: where its output goes; the folder must exist.
        marker: of the run that owns it.
        env: variables besides those of this process.
    """

    needs_secrets = False
    """Whether it gets the credentials of this process; most children need none."""

    def __init__(
        self, name: str, argv: Sequence[str], log: Path, marker: str, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        own = dict(os.environ) if self.needs_secrets else without_secrets()
        self._env = {**own, **(env or {}), MARKER: marker, "PYTHONUNBUFFERED": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own: Ctrl-C in the terminal reaches only the run, which ends it properly.

        Raises:
            PartError: the command cannot be run.
        """
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,  # never a pipe: a child that talks to one nobody reads stands still when it is full
                    stderr=log,
                    env=self._env,
                    start_new_session=True,
                )
        except OSError as error:
            raise PartError(f"The {self.name} could not be started ({self.argv[0]}: {error.strerror}).") from None

    @property
    def pid(self) -> int | None:
        """Its process id; ``None`` before it was started."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether it runs (a paused process does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended; ``None`` while it runs. Negative: the signal that ended it."""
        return self._process.poll() if self._process else None

    def wait_for_line(self, expected: str, timeout_s: float) -> None:
        """Wait until the child prints a line.

        Raises:
            PartError: it ended, or did not print it in time.
        """
        self.wait_until(lambda: expected.encode() in self.log.read_bytes().splitlines(), timeout_s)

    def wait_until(self, answers: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the child really answers.

        Raises:
            PartError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        while not answers():
            if not self.alive or time.monotonic() > deadline:
                raise PartError(self._did_not_start(timeout_s))
            time.sleep(_POLL_S)

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came in time."""
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, grace_s: float = 3.0) -> None:
        """End it: SIGTERM, and SIGKILL when it has not gone in ``grace_s``. May be repeated."""
        if self._process is None:
            return
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        if not self.wait(grace_s):
            self.signal(signal.SIGKILL)
            self._process.wait()

    def _did_not_start(self, timeout_s: float) -> str:
        how = f"ended with code {self.exit_code}" if not self.alive else f"did not answer within {timeout_s:g} s"
        return f"The {self.name} {how}. Its last words are in {self.log}:\n{last_lines(self.log)}"


def identity(pid: int | None = None) -> dict[str, Any]:
    """What tells a process from any other, also from a later one with its id, and after a step of the clock.

    Args:
        pid: of the process; this one without.

    Raises:
        psutil.Error: there is none.
    """
    pid = os.getpid() if pid is None else pid
    return {"pid": pid, "started": _started(pid)}


def _started(pid: int) -> str:
    """When a process began: clock ticks since a boot where the system tells them, else seconds since the epoch.

    One that has ended and waits for its parent to notice is none any more.
    Source: proc_pid_stat(5), fields 3 and 22; the name in field 2 may have spaces and brackets in it.
    """
    if not _BOOT.exists():
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise psutil.NoSuchProcess(pid)
        return f"{process.create_time()}"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        raise psutil.NoSuchProcess(pid) from None
    if fields[0] in _ENDED:
        raise psutil.NoSuchProcess(pid)
    return f"{_BOOT.read_text(encoding='ascii').strip()} {fields[_TICKS_AFTER_NAME]}"


def is_alive(who: object) -> bool:
    """Whether the process of an :func:`identity` still runs."""
    if not isinstance(who, dict):
        return False
    try:
        return bool(_started(int(who["pid"])) == who["started"])
    except (psutil.Error, OSError, KeyError, IndexError, TypeError, ValueError):
        return False


def is_suspended(pid: int) -> bool:
    """Whether a process was stopped, by Ctrl-Z or SIGSTOP, and not continued."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def resume(who: dict[str, Any]) -> bool:
    """Continue the process of an :func:`identity` where it is paused; whether it is still there."""
    if not is_alive(who):
        return False
    try:
        psutil.Process(int(who["pid"])).resume()
    except psutil.Error:
        return False
    return True


def last_lines(log: Path, most: int = 5) -> str:
    """The last lines of a log, for an error message."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(f"    {printable(line)}" for line in text.splitlines()[-most:]) or "    (nothing)"


def children_of_run(marker: str) -> list[psutil.Process]:
    """All processes of this user that carry the marker of a run, this one excepted."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARKER) == marker:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def adopt_orphans() -> None:
    """Become the parent of whatever this process's children leave behind; Linux only, elsewhere nothing happens.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends, also across exec; Linux only, elsewhere nothing happens.

    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def families(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Processes with all that they started, also what carries no marker, since somebody emptied its environment."""
    found = {process.pid: process for process in processes}
    for process in processes:
        try:
            found |= {child.pid: child for child in process.children(recursive=True)}
        except psutil.Error:
            continue
    found.pop(os.getpid(), None)
    return list(found.values())


def end_children(marker: str, grace_s: float = 2.0) -> list[str]:
    """End every process of a run, and all that they started: SIGTERM, then SIGKILL.

    Returns:
        The names of those that were there and carry the marker of the run.
    """
    marked = children_of_run(marker)
    # Looked up before the first of them ends: what it started has another parent then.
    others = [process for process in families(marked) if process not in marked]
    names = [name for process in marked if (name := _terminate(process))]
    _, stubborn = psutil.wait_procs(marked, timeout=grace_s)
    # A parent ends its own properly; who is still there then ignores that, or was left alone.
    kill_all([*stubborn, *others, *families(children_of_run(marker))])
    return names


def _terminate(process: psutil.Process) -> str:
    """Ask a process to end, also one that is paused; its name, empty where it has ended."""
    try:
        name = process.name()
        process.resume()
        process.terminate()
    except psutil.Error:
        return ""
    return name


def kill_all(processes: Sequence[psutil.Process]) -> None:
    """Kill processes without a word, and wait until they are gone."""
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(processes, timeout=_KILL_TIMEOUT_S)

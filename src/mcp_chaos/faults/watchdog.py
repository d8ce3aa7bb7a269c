"""The watchdog: a process that outlives its run by as long as it takes to clean up after it.

``python -m mcp_chaos.faults.watchdog RUN_FOLDER CLOCK_OFFSET_NS EVENTS_DESCRIPTOR RUN_PID [scratch]`` waits for the end
of its standard input, a pipe whose other end only the run holds; the kernel closes it however the run ends, kill -9
included. A run that ended properly has left nothing to do. It lives in a session of its own, so that what kills or
suspends the run's process group spares it. A run that is suspended for longer than a few seconds loses its faults. The
run looks after its watchdog in turn: one that died is replaced within a second.
"""

import os
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from mcp_chaos.errors import McpChaosError
from mcp_chaos.faults.ledger import clean_up, take_faults_away
from mcp_chaos.history.event_kinds import COULD_NOT_HEAL
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.lock import tidy_locks
from mcp_chaos.machine.processes import end_children, is_suspended
from mcp_chaos.machine.register import cleaning, entry_of, forget, register
from mcp_chaos.machine.secrets import without_secrets

_FAREWELL = b"."
_HEAL = b"!"
_SCRATCH = "scratch"
_AFTERMATH_S = 0.5
_INTERVAL_S = 0.5
_MAX_REPLACEMENTS = 5
_MAX_SUSPENDED_S = 5.0


class Watchdog:
    """The run's end of its watchdog, which it keeps alive.

    Args:
        folder: of the run.
        clock: of the run.
        targets: what the run works on, for the register of this machine.
        is_scratch: whether the folder is removed as well when the run is no more.

    Raises:
        PartError: the run cannot be entered in the register.
        OSError: the process cannot be started.
    """

    def __init__(
        self, folder: RunFolder, clock: Clock, targets: Sequence[str] = (), *, is_scratch: bool = False
    ) -> None:
        self._folder, self._clock = folder, clock
        self._is_scratch = is_scratch
        self._replacements = 0
        register(folder.path, targets, is_scratch=is_scratch)
        try:
            self._process = self._start()
        except BaseException:
            forget(folder.path)
            raise
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="watchdog", daemon=True)
        self._keeper.start()

    def dismiss(self) -> None:
        """The run has cleaned up by itself: let the watchdog go and wait until it has."""
        self._stop_keeping()
        self._note_death()
        self._tell(_FAREWELL)
        forget(self._folder.path)

    def let_it_clean_up(self) -> None:
        """The run could not clean up by itself: the watchdog tries once more; its word goes into the history."""
        self._stop_keeping()
        self._replace_dead()
        self._tell(_HEAL)

    def _start(self) -> subprocess.Popen[bytes]:
        folder = self._folder
        argv = [sys.executable, "-m", "mcp_chaos.faults.watchdog", str(folder.path), str(self._clock.offset_ns)]
        # It can read the events also when the folder has been removed.
        with (folder.path / "watchdog.log").open("ab") as log, folder.events_file.path.open("ab+") as events:
            return subprocess.Popen(
                [*argv, str(events.fileno()), str(os.getpid()), *([_SCRATCH] if self._is_scratch else [])],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=without_secrets(),
                start_new_session=True,
                pass_fds=(events.fileno(),),
            )

    def _keep(self) -> None:
        """Look every now and then whether it lives."""
        while not self._ended.wait(_INTERVAL_S):
            self._replace_dead()

    def _stop_keeping(self) -> None:
        self._ended.set()
        self._keeper.join()

    def _replace_dead(self) -> None:
        """Start another where it has died; where that is not possible, the run goes on without, and says so."""
        if not self._note_death():
            return
        try:
            if self._replacements == _MAX_REPLACEMENTS:
                raise OSError(f"{_MAX_REPLACEMENTS} of them died")
            self._process = self._start()
        except OSError:
            self._ended.set()
            self._folder.event(self._clock.now_ns(), "part_died", part="watchdog")
            return
        self._replacements += 1
        self._folder.event(self._clock.now_ns(), "watchdog_replaced")

    def _note_death(self) -> bool:
        """Whether it has died, which goes into the history."""
        code = self._process.poll()
        assert self._process.stdin is not None
        if code is None or self._process.stdin.closed:
            return False
        self._folder.event(self._clock.now_ns(), "watchdog_died", exit_code=code)
        self._close_pipe()
        return True

    def _tell(self, what: bytes) -> None:
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.write(what)
            self._close_pipe()
            self._process.wait()

    def _close_pipe(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()


class _Suspension:
    """Takes the faults of a run back that is suspended for too long; once, until it goes on.

    Args:
        folder: of the run.
        clock: of the run.
        pid: of the run's process.
    """

    def __init__(self, folder: RunFolder, clock: Clock, pid: int) -> None:
        self._folder, self._clock, self._pid = folder, clock, pid
        self._since_s: float | None = None
        self._is_healed = False

    def look(self) -> None:
        """Look whether the run is suspended."""
        if not is_suspended(self._pid):
            self._since_s, self._is_healed = None, False
            return
        self._since_s = self._since_s or time.monotonic()
        if self._is_healed or time.monotonic() - self._since_s < _MAX_SUSPENDED_S:
            return
        self._is_healed = True
        try:
            faults = take_faults_away(self._folder, self._clock)
        except McpChaosError as error:
            self._folder.event(self._clock.now_ns(), "heal_failed", error=str(error))
            return
        self._folder.event(self._clock.now_ns(), "run_suspended", after_s=_MAX_SUSPENDED_S, faults=faults)


def _what_the_run_says(run_pid: int, meanwhile: Callable[[], None]) -> bytes:
    """What the run said to its watchdog until its end; nothing where it was killed."""
    said = b""
    while True:
        if select.select([sys.stdin], [], [], _INTERVAL_S)[0]:
            part = os.read(sys.stdin.fileno(), 64)
            if not part:
                return said
            said += part
        elif os.getppid() != run_pid:  # a process that the run forked may hold the pipe open
            return said
        else:
            meanwhile()


def main() -> None:
    """Wait for the run to end, then clean up."""
    folder, clock = RunFolder(Path(sys.argv[1])), Clock(int(sys.argv[2]))
    folder.events_file.hold(int(sys.argv[3]))
    run_pid = int(sys.argv[4])
    said = _what_the_run_says(run_pid, _Suspension(folder, clock, run_pid).look)
    if said == _FAREWELL:
        return
    with cleaning(folder.path):
        done = _clean_up(folder, clock, is_asked=said == _HEAL)
        if sys.argv[5:] == [_SCRATCH]:
            shutil.rmtree(folder.path, ignore_errors=True)
        if (entry := entry_of(folder.path)) is not None:
            tidy_locks(entry.targets)
        forget(folder.path)
    with suppress(OSError):  # its log may be on a disk that is full
        sys.stdout.write("".join(f"{line}\n" for line in done))
        sys.stdout.flush()


def _clean_up(folder: RunFolder, clock: Clock, *, is_asked: bool) -> list[str]:
    """Clean up; says what was done."""
    try:
        done = clean_up(folder, clock, COULD_NOT_HEAL if is_asked else "its process was killed")
    except McpChaosError as error:
        if not is_asked:  # else the run has put the cause on record itself
            folder.event(clock.now_ns(), "heal_failed", error=str(error))
        raise SystemExit(str(error)) from None
    # A child that was being started when the run died carries its marker a moment later only.
    time.sleep(_AFTERMATH_S)
    return done + [f"ended {name}" for name in end_children(str(folder.path))]


if __name__ == "__main__":
    main()

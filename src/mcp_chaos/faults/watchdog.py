"""The watchdog: a process that outlives its run by as long as it takes to clean up after it.

``python -m mcp_chaos.faults.watchdog RUN_FOLDER CLOCK_OFFSET_NS EVENTS_DESCRIPTOR [scratch]`` waits for the end of its
standard input, a pipe whose other end only the run holds; the kernel closes it however the run ends, kill -9 included.
A run that ended properly has left nothing to do. It lives in a session of its own, so that what kills the run's process
group spares it. The run looks after it in turn: one that died is replaced within a second.
"""

import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from mcp_chaos.errors import McpChaosError
from mcp_chaos.faults.ledger import clean_up
from mcp_chaos.history.events import COULD_NOT_HEAL
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.processes import end_children
from mcp_chaos.machine.secrets import without_secrets

_FAREWELL = b"."
_HEAL = b"!"
_SCRATCH = "scratch"
_AFTERMATH_S = 0.5
_INTERVAL_S = 0.5
_MAX_REPLACEMENTS = 5


class Watchdog:
    """The run's end of its watchdog, which it keeps alive.

    Args:
        folder: of the run.
        clock: of the run.
        is_scratch: whether the folder is removed as well when the run is no more.
    """

    def __init__(self, folder: RunFolder, clock: Clock, *, is_scratch: bool = False) -> None:
        self._folder, self._clock = folder, clock
        self._is_scratch = is_scratch
        self._replacements = 0
        self._process = self._start()
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="watchdog", daemon=True)
        self._keeper.start()

    def dismiss(self) -> None:
        """The run has cleaned up by itself: let the watchdog go and wait until it has."""
        self._stop_keeping()
        self._note_death()
        self._tell(_FAREWELL)

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
                [*argv, str(events.fileno()), *([_SCRATCH] if self._is_scratch else [])],
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


def main() -> None:
    """Wait for the run to end, then clean up."""
    folder, clock = RunFolder(Path(sys.argv[1])), Clock(int(sys.argv[2]))
    folder.events_file.hold(int(sys.argv[3]))
    told = sys.stdin.buffer.read()
    if told == _FAREWELL:
        return
    why = COULD_NOT_HEAL if told == _HEAL else "its process was killed"
    try:
        done = clean_up(folder, clock, why)
    except McpChaosError as error:
        if told != _HEAL:  # the run has put the cause on record itself
            folder.event(clock.now_ns(), "heal_failed", error=str(error))
        raise SystemExit(str(error)) from None
    # A child that was being started when the run died carries its marker a moment later only.
    time.sleep(_AFTERMATH_S)
    done += [f"ended {name}" for name in end_children(str(folder.path))]
    if sys.argv[4:] == [_SCRATCH]:
        shutil.rmtree(folder.path, ignore_errors=True)
    with suppress(OSError):  # its log may be on a disk that is full
        sys.stdout.write("".join(f"{line}\n" for line in done))
        sys.stdout.flush()


if __name__ == "__main__":
    main()

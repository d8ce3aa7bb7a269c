"""One run at a time on one target: of two at once, each would measure the other's faults.

The lock is the kernel's (``flock``), so it ends with the process that holds it, however that ends. It holds on one
machine; schedulers of several machines have locks of their own, see docs/scheduling.md.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from mcp_chaos.errors import LockedError
from mcp_chaos.machine.printable import printable
from mcp_chaos.machine.processes import identity, is_alive

_FOLDER = Path("/tmp")  # noqa: S108  # one for all users and processes, so not the TMPDIR of each
_MODE = 0o644
_MADE_WITHIN_S = 0.5
_POLL_S = 0.01


def _holder(written: bytes) -> str:
    """The run that a lock's file names, if its process is still there; the file may be one that another run left."""
    try:
        found = json.loads(written)
        is_there = isinstance(found, dict) and is_alive(found.get("process"))
    except ValueError:
        is_there = False
    return printable(str(found.get("run"))) if is_there else "another run"


def tidy_locks(targets: Iterable[str]) -> None:
    """Remove the files of locks that nobody holds any more, as those of a run that was killed."""
    for target in targets:
        with contextlib.suppress(LockedError):
            lock = TargetLock(target, "nobody")
            lock.acquire()
            lock.release()


class TargetLock:
    """A lock on one target.

    Args:
        target: what is locked, as ``host:port``.
        run: who locks it; told to others who want it.
    """

    def __init__(self, target: str, run: str) -> None:
        self._target = target
        self._run = run
        name = hashlib.sha256(target.encode()).hexdigest()[:16]
        self._path = _FOLDER / f"mcp_chaos-{name}.lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: another run has it.
        """
        while True:
            descriptor = self._open()
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                other = _holder(os.read(descriptor, 4096))
                os.close(descriptor)
                raise LockedError(
                    f"{self._target} is being tested by {other}. Two runs would measure each other's faults; "
                    "nothing was started. Wait for its end."
                ) from None
            if self._is_in_place(descriptor):
                break
            os.close(descriptor)  # whoever had it removed the file between our opening and our locking it
        self._descriptor = descriptor
        with contextlib.suppress(OSError):  # another user's file can be locked, but not written
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps({"run": self._run, "process": identity()}).encode())

    def release(self) -> None:
        """Give it back. May be repeated."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):  # another user's file stays, and locks nobody out
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> int:
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        until = time.monotonic() + _MADE_WITHIN_S
        while True:
            try:
                descriptor = os.open(self._path, flags | os.O_RDWR | os.O_CREAT, _MODE)
                with contextlib.suppress(OSError):
                    os.fchmod(descriptor, _MODE)  # whatever the umask is, other users have to see it
                return descriptor
            except PermissionError:
                try:
                    return os.open(self._path, flags | os.O_RDONLY | os.O_NONBLOCK)  # whatever lies there
                except FileNotFoundError:
                    continue
                except PermissionError as error:
                    if time.monotonic() > until:  # else its owner may be about to open it to others
                        raise self._cannot_lock(error) from None
                    time.sleep(_POLL_S)
                except OSError as error:
                    raise self._cannot_lock(error) from None
            except OSError as error:
                raise self._cannot_lock(error) from None

    def _cannot_lock(self, error: OSError) -> LockedError:
        return LockedError(f"{self._path} cannot be locked ({error.strerror}). Nothing was started; remove that file.")

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            there = self._path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        mine = os.fstat(descriptor)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

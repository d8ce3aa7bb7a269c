"""One run at a time on one target: of two at once, each would measure the other's faults.

The lock is the kernel's (``flock``), so it ends with the process that holds it, however that ends. It holds on one
machine; schedulers of several machines have locks of their own, see docs/scheduling.md.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

from mcp_chaos.errors import LockedError


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
        self._path = Path(tempfile.gettempdir()) / f"mcp_chaos-{name}.lock"
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
                other = os.read(descriptor, 4096).decode(errors="replace") or "another run"
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
            os.write(descriptor, self._run.encode())

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
        try:
            return os.open(self._path, flags | os.O_RDWR | os.O_CREAT, 0o644)
        except PermissionError:
            try:
                return os.open(self._path, flags | os.O_RDONLY | os.O_NONBLOCK)  # whatever lies there
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

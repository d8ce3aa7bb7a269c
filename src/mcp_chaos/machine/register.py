"""The register of this machine: a file per run while it lasts, and one that keeps new runs from starting.

A run whose process and watchdog were killed together has nobody left who knows of it; its entry stays, so that the next
run on its target and ``mcp-chaos heal`` find it. Entries lie in one folder for all users, like the locks. One counts
only for the user who owns the file, as it leads to processes that are ended and to files that say what is taken back.
"""

import fcntl
import hashlib
import json
import os
import pwd
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from mcp_chaos.errors import PartError, StoppedError, UsageError
from mcp_chaos.machine.printable import printable
from mcp_chaos.machine.processes import identity, is_alive

_FOLDER = Path("/tmp")  # noqa: S108  # as for locks: one for all users and processes, not the TMPDIR of each
_MODE = 0o644
_PREFIX = "mcp_chaos-"
_SUFFIX = ".run"
_STOP_FILE = _FOLDER / "mcp_chaos.stopped"
_MAX_BYTES = 64 * 1024
_LOCK_TIMEOUT_S = 10.0
_POLL_S = 0.05
_UNREADABLE = "whose file cannot be read"


@dataclass(frozen=True)
class Entry:
    """A run in the register.

    Args:
        run: its folder, which may have been removed.
        process: the ``identity`` of its process.
        targets: what it works on, each as ``host:port``; empty where all parts are its own.
        is_scratch: whether its folder is removed with it.
        owner: the id of the user whose it is.
    """

    run: Path
    process: dict[str, Any]
    targets: tuple[str, ...]
    is_scratch: bool
    owner: int

    @property
    def is_going_on(self) -> bool:
        """Whether its process still runs; one that is suspended does."""
        return is_alive(self.process)

    @property
    def is_mine(self) -> bool:
        """Whether it is a run of this user."""
        return self.owner == os.getuid()


def register(run: Path, targets: Sequence[str] = (), *, is_scratch: bool = False) -> None:
    """Enter a run of this process; one that was entered before is entered anew.

    Raises:
        PartError: it cannot be written.
    """
    written = {"run": str(run), "process": identity(), "targets": list(targets), "is_scratch": is_scratch}
    try:
        _write(_path(run), written)
    except OSError as error:
        raise PartError(
            f"This run cannot be entered in the register of this machine: {_path(run)} ({error.strerror}). "
            "Nobody could find and heal it if it were killed, so nothing was started."
        ) from None


def forget(run: Path) -> None:
    """Take a run out, of which nothing is left. May be repeated."""
    with suppress(OSError):
        _path(run).unlink()


def entry_of(run: Path) -> Entry | None:
    """What the register has of a run; ``None`` where it is not in there."""
    return _read(_path(run))


def entries() -> list[Entry]:
    """All runs in the register, of all users, in the order of their folders' names."""
    found = [entry for path in _FOLDER.glob(f"{_PREFIX}*{_SUFFIX}") if (entry := _read(path)) is not None]
    return sorted(found, key=lambda entry: entry.run.name)


@contextmanager
def cleaning(run: Path) -> Iterator[None]:
    """Clean up after a run while nobody else does; who takes too long over it is not waited for."""
    try:
        descriptor = os.open(_path(run), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        yield  # it is not entered: there is nothing that would bring others to it
        return
    try:
        until = time.monotonic() + _LOCK_TIMEOUT_S
        while time.monotonic() < until:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def forbid_runs(because: str) -> None:
    """Let no new run start on this machine, until :func:`allow_runs`.

    Raises:
        PartError: it cannot be written.
    """
    written = {"because": because, "by": user_name(os.getuid()), "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"}
    try:
        _write(_STOP_FILE, written)
    except OSError as error:
        with suppress(OSError):  # an empty file needs no room, and forbids them too
            os.close(os.open(_STOP_FILE, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE))
        if not is_forbidden():
            raise PartError(f"New runs could not be forbidden: {_STOP_FILE} ({error.strerror}).") from None


def allow_runs() -> bool:
    """Let runs start again.

    Returns:
        Whether they were forbidden.

    Raises:
        UsageError: another user forbade them.
    """
    try:
        _STOP_FILE.unlink()
    except FileNotFoundError:
        return False
    except OSError:
        raise UsageError(f"{_told_stop()} Only that user, or root, can allow them again.") from None
    return True


def is_forbidden() -> bool:
    """Whether runs are forbidden; a file that cannot be read forbids them too."""
    return _STOP_FILE.is_symlink() or _STOP_FILE.exists()


def check_allowed() -> None:
    """Check that runs may start.

    Raises:
        StoppedError: somebody forbade it.
    """
    if is_forbidden():
        raise StoppedError(f"{_told_stop()} Nothing was started. To allow runs again: mcp-chaos allow")


def user_name(user: int) -> str:
    """What a user is called; the number where it has no name here."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _told_stop() -> str:
    told = _contents(_STOP_FILE)
    values = told[0] if told is not None else {}
    because, by, at = (printable(str(values.get(key) or _UNREADABLE)) for key in ("because", "by", "at"))
    if told is None:
        return f"All runs on this machine were stopped by somebody {_UNREADABLE} ({_STOP_FILE})."
    return f"All runs on this machine were stopped at {at} by {by}: {because}."


def _path(run: Path) -> Path:
    return _FOLDER / f"{_PREFIX}{hashlib.sha256(os.fsencode(run)).hexdigest()[:16]}{_SUFFIX}"


def _write(path: Path, written: dict[str, Any]) -> None:
    """Write a file that nobody has put in the way before."""
    with suppress(FileNotFoundError):
        path.unlink()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    try:
        os.fchmod(descriptor, _MODE)  # whatever the umask is, other users have to see it
        os.write(descriptor, json.dumps(written).encode())
    except OSError:  # a full disk: nobody could read what there is
        path.unlink()
        raise
    finally:
        os.close(descriptor)


def _contents(path: Path) -> tuple[dict[str, Any], int] | None:
    """What is in a file, and whose it is; ``None`` where it is gone, or something else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        what = os.fstat(descriptor)
        found = json.loads(os.read(descriptor, _MAX_BYTES)) if stat.S_ISREG(what.st_mode) else None
    except (OSError, ValueError):
        return None
    finally:
        os.close(descriptor)
    return (found, what.st_uid) if isinstance(found, dict) else None


def _read(path: Path) -> Entry | None:
    """An entry; ``None`` where it is none, or says of another user's process that it is its owner's."""
    found = _contents(path)
    if found is None:
        return None
    values, owner = found
    run, process, targets = values.get("run"), values.get("process"), values.get("targets")
    if not (isinstance(run, str) and isinstance(process, dict) and isinstance(targets, list)):
        return None
    if is_alive(process) and not _belongs_to(process, owner):
        return None
    return Entry(Path(run), process, tuple(map(str, targets)), values.get("is_scratch") is True, owner)


def _belongs_to(process: dict[str, Any], owner: int) -> bool:
    try:
        return bool(psutil.Process(int(process["pid"])).uids().real == owner)
    except (psutil.Error, ValueError):
        return False

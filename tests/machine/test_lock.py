"""Two runs on one target never overlap."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mcp_chaos.errors import LockedError
from mcp_chaos.machine.lock import TargetLock

HOLDER = """
import sys, time
from pathlib import Path
from mcp_chaos.machine import lock
lock._FOLDER = Path(sys.argv[2])
lock.TargetLock(sys.argv[1], "runs/the-other").acquire()
print("locked", flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_chaos.machine.lock._FOLDER", tmp_path)


def test_the_second_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    first, second = TargetLock("127.0.0.1:1", "runs/first"), TargetLock("127.0.0.1:1", "runs/second")
    first.acquire()
    with pytest.raises(LockedError, match="is being tested by runs/first"):
        second.acquire()
    TargetLock("127.0.0.1:2", "runs/second").acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()
    assert len(list(tmp_path.iterdir())) == 1  # of the lock on port 2, which is still held


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, "127.0.0.1:1", str(tmp_path)], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        mine = TargetLock("127.0.0.1:1", "runs/mine")
        with pytest.raises(LockedError, match="runs/the-other"):
            mine.acquire()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        mine.acquire()
        mine.release()
    assert list(tmp_path.iterdir()) == []


def test_never_two_at_once() -> None:
    held, most = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal held, most
        for _ in range(200):
            mine = TargetLock("127.0.0.1:1", "runs/x")
            try:
                mine.acquire()
            except LockedError:
                continue
            with lock:
                held += 1
                most = max(most, held)
            with lock:
                held -= 1
            mine.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    lock = TargetLock("127.0.0.1:1", "runs/x")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    lock._path.symlink_to(victim)
    with pytest.raises(LockedError, match="remove that file"):
        lock.acquire()
    assert victim.read_text() == "precious"


def test_a_file_that_cannot_be_written_is_locked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = TargetLock("127.0.0.1:1", "runs/x")
    lock._path.write_text("somebody")
    real = os.open

    def refuse_to_write(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse_to_write)
    lock.acquire()
    with pytest.raises(LockedError, match="another run"):
        TargetLock("127.0.0.1:1", "runs/y").acquire()
    lock.release()


def test_a_folder_for_temporary_files_is_not_asked(tmp_path: Path) -> None:
    script = "from mcp_chaos.machine.lock import TargetLock; print(TargetLock('127.0.0.1:1', 'x')._path)"
    paths = {
        subprocess.check_output([sys.executable, "-c", script], env={**os.environ, "TMPDIR": folder})
        for folder in (str(tmp_path), "/var/tmp", "")
    }
    assert len(paths) == 1


def test_others_see_a_lock_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        lock = TargetLock("127.0.0.1:1", "runs/x")
        lock.acquire()
    finally:
        os.umask(before)
    assert lock._path.stat().st_mode & 0o777 == 0o644
    lock.release()


@pytest.mark.parametrize("left", ["runs/dead", '{"run": "runs/dead", "process": {"pid": 1, "started": "never"}}', "[]"])
def test_a_holder_that_is_gone_is_not_named(left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = TargetLock("127.0.0.1:1", "runs/x")
    lock._path.write_text(left)
    monkeypatch.setattr(os, "write", lambda *_: 0)  # as where the file is another user's
    monkeypatch.setattr(os, "ftruncate", lambda *_: None)
    lock.acquire()
    with pytest.raises(LockedError, match="another run"):
        TargetLock("127.0.0.1:1", "runs/y").acquire()
    lock.release()

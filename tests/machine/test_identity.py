"""What tells a process from any other, whatever the clock does."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from mcp_chaos.machine.processes import identity, is_alive, resume


def test_a_process_is_known_after_a_step_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        who = identity(child.pid)
        child_process = psutil.Process(child.pid)
        child_process.suspend()
        # What a step changes is the moment of boot, to which psutil adds the ticks.
        monkeypatch.setattr(psutil.Process, "create_time", lambda _: 1.0)
        assert is_alive(who)
        assert resume(who)
        assert child_process.status() != psutil.STATUS_STOPPED
    finally:
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_alive(who)  # though its parent has not taken note
        child.wait()
    assert not is_alive(who)


def test_a_later_process_with_its_id_is_another() -> None:
    mine = identity()
    assert is_alive(mine)
    assert not is_alive({**mine, "started": mine["started"] + "1"})
    assert not is_alive({"pid": os.getpid()})
    assert not is_alive(None)


def test_where_no_boot_is_told_the_moment_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_chaos.machine.processes._BOOT", Path("/nowhere"))
    assert is_alive(identity())

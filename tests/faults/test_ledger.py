"""Cleaning up after a run that is no more, from its history alone."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from mcp_chaos.errors import ToxiproxyError
from mcp_chaos.faults import watchdog as watchdogs
from mcp_chaos.faults.fault import make_fault
from mcp_chaos.faults.kinds import Latency
from mcp_chaos.faults.ledger import clean_up, leftovers
from mcp_chaos.faults.process import GivenProcess
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.watchdog import Watchdog
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.machine.processes import MARKER, Child, children_of_run, end_children
from mcp_chaos.machine.register import entry_of, forget

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_process_that_was_left_paused_is_continued(folder: RunFolder, clock: Clock, tmp_path: Path) -> None:
    child = Child("theirs", SLEEP, tmp_path / "log", "another run's")
    child.start()
    assert child.pid is not None
    given = GivenProcess(child.pid)
    given.signal(signal.SIGSTOP)
    data = {"name": "pause", "proxy": "server", "toxics": [], "pid": child.pid, "process": given.identity}
    folder.event(1, "fault_injecting", fault_id="process-1", **data)
    gone = {**data, "pid": 1, "process": {"pid": 1, "started": "never"}}
    folder.event(2, "fault_injecting", fault_id="process-2", **gone)
    assert f"continued process {child.pid}" in clean_up(folder, clock, "it was killed")
    assert psutil.Process(child.pid).status() != psutil.STATUS_STOPPED
    child.stop()


def leave_behind(folder: RunFolder, server: ToxiproxyServer) -> None:
    """What a run that was killed in the middle of everything leaves."""
    folder.event(1, "toxiproxy_ready", url=server.url, embedded=False)
    folder.event(2, "proxy_created", proxy="mcp")
    server.create_proxy("mcp", "127.0.0.1:0", "127.0.0.1:9")
    server.create_proxy("theirs", "127.0.0.1:0", "127.0.0.1:9")
    toxic = make_fault(Latency, latency_ms=5).toxics()[0]
    server.put_toxic("theirs", "mine", toxic)
    server.put_toxic("theirs", "not-mine", toxic)
    server.set_enabled("mcp", False)
    folder.event(3, "fault_injecting", fault_id="fault-1", name="latency", proxy="theirs", toxics=["mine"])
    folder.event(4, "fault_injecting", fault_id="fault-2", name="partition", proxy="mcp", toxics=[])
    folder.event(5, "fault_injecting", fault_id="fault-3", name="black hole", proxy="gone", toxics=["x"])
    folder.event(6, "fault_injecting", fault_id="fault-4", name="latency", proxy="theirs", toxics=["y"])
    folder.event(7, "fault_healed", fault_id="fault-4")


def test_all_that_was_left_is_taken_back_and_nothing_else(
    folder: RunFolder, toxiproxy: ToxiproxyServer, clock: Clock
) -> None:
    leave_behind(folder, toxiproxy)
    done = clean_up(folder, clock, "a test")
    assert "removed the proxy 'mcp'" in done
    assert set(toxiproxy.proxies()) >= {"theirs"}
    assert "mcp" not in toxiproxy.proxies()
    assert list(toxiproxy.proxy("theirs").toxics) == ["not-mine"]
    left = leftovers(folder.events())
    assert (left.faults, left.proxies) == ([], [])
    assert clean_up(folder, clock, "again") == []


def test_a_toxiproxy_that_is_gone_leaves_a_list_of_what_may_be_there(folder: RunFolder, clock: Clock) -> None:
    nobody = ReservedPort()
    folder.event(1, "toxiproxy_ready", url=f"http://127.0.0.1:{nobody.number}", embedded=False)
    folder.event(2, "proxy_created", proxy="mcp")
    folder.event(3, "fault_injecting", fault_id="fault-1", name="latency", proxy="mcp", toxics=["mine"])
    with pytest.raises(ToxiproxyError, match="may still be in place there: 'latency' on mcp, the proxy 'mcp'"):
        clean_up(folder, clock, "a test")
    nobody.release()


def test_the_faults_of_an_embedded_toxiproxy_end_with_it(folder: RunFolder, clock: Clock) -> None:
    folder.event(1, "toxiproxy_ready", url="http://127.0.0.1:9", embedded=True)
    folder.event(2, "fault_injecting", fault_id="fault-1", name="latency", proxy="mcp", toxics=["mine"])
    assert clean_up(folder, clock, "a test") == ["healed 'latency' on mcp"]
    assert folder.events()[-1].kind == "unfinished"


def test_a_childs_end_is_certain_even_when_it_is_paused_or_deaf(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    marker = str(tmp_path)
    child = Child("deaf", [sys.executable, "-c", deaf], tmp_path / "deaf.log", marker)
    child.start()
    child.wait_for_line("up", 10)
    child.signal(signal.SIGSTOP)
    assert [process.pid for process in children_of_run(marker)] == [child.pid]
    assert len(end_children(marker, grace_s=0.3)) == 1
    assert child.wait(5)
    child.stop()
    assert children_of_run(marker) == []


@pytest.fixture
def orphan(folder: RunFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(SLEEP, env={**os.environ, MARKER: str(folder.path)}, start_new_session=True)


def die(watchdog: Watchdog) -> None:
    """What becomes of a watchdog whose run is killed: nobody looks after it, and the kernel closes the pipe."""
    watchdog._stop_keeping()
    assert watchdog._process.stdin is not None
    watchdog._process.stdin.close()


def test_a_watchdog_cleans_up_after_a_run_that_died(
    folder: RunFolder, toxiproxy: ToxiproxyServer, clock: Clock, orphan: subprocess.Popen[bytes]
) -> None:
    leave_behind(folder, toxiproxy)
    watchdog = Watchdog(folder, clock)
    process = psutil.Process(watchdog._process.pid)
    die(watchdog)
    assert orphan.wait(10) != 0
    watchdog._process.wait(10)
    assert not process.is_running()
    assert "mcp" not in toxiproxy.proxies()
    assert "removed the proxy" in (folder.path / "watchdog.log").read_text()
    assert folder.events()[-1].kind == "unfinished"


def test_a_watchdog_that_cannot_heal_puts_it_on_record(folder: RunFolder, clock: Clock) -> None:
    nobody = ReservedPort()
    folder.event(1, "toxiproxy_ready", url=f"http://127.0.0.1:{nobody.number}", embedded=False)
    folder.event(2, "proxy_created", proxy="mcp")
    watchdog = Watchdog(folder, clock)
    die(watchdog)
    assert watchdog._process.wait(10) == 1
    nobody.release()
    assert entry_of(folder.path) is not None  # for whoever tries again
    forget(folder.path)
    assert folder.events()[-1].kind == "heal_failed"
    assert "cannot be reached" in (folder.path / "watchdog.log").read_text()


def test_what_a_toxiproxy_was_told_ended_with_it(folder: RunFolder, clock: Clock) -> None:
    nobody = ReservedPort()
    gone = {"pid": 1, "started": "never"}
    folder.event(1, "toxiproxy_ready", url=f"http://127.0.0.1:{nobody.number}", embedded=False, process=gone)
    folder.event(2, "proxy_created", proxy="mcp")
    folder.event(3, "fault_injecting", fault_id="fault-1", name="partition", proxy="mcp", toxics=[])
    assert clean_up(folder, clock, "it was killed") == ["healed 'partition' on mcp"]
    nobody.release()


def test_a_watchdog_that_is_dismissed_does_nothing(
    folder: RunFolder, clock: Clock, orphan: subprocess.Popen[bytes]
) -> None:
    watchdog = Watchdog(folder, clock)
    watchdog.dismiss()
    assert orphan.poll() is None
    orphan.kill()
    orphan.wait()
    assert folder.events() == []


def test_a_watchdog_that_somebody_killed_can_be_dismissed(folder: RunFolder, clock: Clock) -> None:
    watchdog = Watchdog(folder, clock)
    os.kill(watchdog._process.pid, signal.SIGKILL)
    watchdog._process.wait()
    watchdog.dismiss()
    kinds = [event.kind for event in folder.events()]
    assert kinds in (["watchdog_died"], ["watchdog_died", "watchdog_replaced"])


def killed(watchdog: Watchdog, folder: RunFolder, events: int) -> list[str]:
    """The kinds of events, so many, that came of a watchdog that somebody killed."""
    os.kill(watchdog._process.pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while len(folder.events()) < events:
        assert time.monotonic() < until
        threading.Event().wait(0.01)
    return [event.kind for event in folder.events()]


def test_a_watchdog_that_died_is_replaced_by_one_that_cleans_up(
    folder: RunFolder, clock: Clock, orphan: subprocess.Popen[bytes]
) -> None:
    watchdog = Watchdog(folder, clock)
    first = watchdog._process.pid
    assert killed(watchdog, folder, 2) == ["watchdog_died", "watchdog_replaced"]
    assert watchdog._process.pid != first
    die(watchdog)
    assert orphan.wait(10) != 0
    watchdog._process.wait(10)


def test_a_watchdog_that_cannot_be_replaced_is_missed(
    folder: RunFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watchdog = Watchdog(folder, clock)

    def fail() -> subprocess.Popen[bytes]:
        raise OSError("no more processes")

    monkeypatch.setattr(watchdog, "_start", fail)
    assert killed(watchdog, folder, 2) == ["watchdog_died", "part_died"]
    watchdog._stop_keeping()
    forget(folder.path)


def test_what_a_process_started_ends_with_it_whatever_its_environment(folder: RunFolder, tmp_path: Path) -> None:
    """Also in a session of its own, and when it hears no signal."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {deaf!r}], env={{}}, "
    parent += "stdout=subprocess.PIPE, start_new_session=True); p.stdout.readline(); print(p.pid, flush=True); p.wait()"
    log = tmp_path / "parent.log"
    child = Child("parent", [sys.executable, "-c", parent], log, str(folder.path))
    child.start()
    child.wait_until(lambda: log.read_text().endswith("\n"), 10)
    started = psutil.Process(int(log.read_text()))
    assert len(end_children(str(folder.path))) == 1
    assert not started.is_running() or started.status() == psutil.STATUS_ZOMBIE
    child.stop()


def test_a_suspended_run_loses_its_faults_once(
    folder: RunFolder, toxiproxy: ToxiproxyServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdogs, "_MAX_SUSPENDED_S", 0.0)
    leave_behind(folder, toxiproxy)
    with subprocess.Popen(SLEEP) as run:
        suspension = watchdogs._Suspension(folder, clock, run.pid)
        suspension.look()
        assert not toxiproxy.proxy("mcp").enabled
        run.send_signal(signal.SIGSTOP)
        until = time.monotonic() + 10
        while psutil.Process(run.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < until
        for _ in range(3):
            suspension.look()
        assert toxiproxy.proxy("mcp").enabled
        assert set(toxiproxy.proxy("theirs").toxics) == {"not-mine"}
        assert [event.kind for event in folder.events()].count("run_suspended") == 1
        run.kill()

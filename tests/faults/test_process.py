"""Process faults on a process of the test's own."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_chaos.errors import PartError, UsageError
from mcp_chaos.faults import process
from mcp_chaos.faults.asking import ask
from mcp_chaos.faults.process import KILL, PAUSE, GivenProcess, ProcessFaults, Victim
from mcp_chaos.faults.route import Route
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.machine.processes import Child


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    """A small web server on a port of its own."""
    port = ReservedPort()
    argv = [sys.executable, "-m", "http.server", str(port.number), "--bind", "127.0.0.1"]
    child = Child("web", argv, tmp_path / "web.log", str(tmp_path))
    way = Route("mcp", ("127.0.0.1", port.number), ("127.0.0.1", port.number), "x", "/")

    def wait() -> None:
        child.wait_until(lambda: ask(way.direct, way, 0.5).ended == "answered", 10)

    child.start()
    wait()
    yield Victim(child, wait, way)
    child.stop()
    port.release()


@pytest.fixture
def faults(victim: Victim, folder: RunFolder, clock: Clock) -> ProcessFaults:
    return ProcessFaults({"server": victim}, folder, clock)


def kinds(folder: RunFolder) -> list[str]:
    return [event.kind for event in folder.events()]


def test_a_paused_process_is_silent_until_it_is_healed(
    faults: ProcessFaults, victim: Victim, folder: RunFolder
) -> None:
    receipt = faults.hurt("server", PAUSE)
    assert receipt["proof"] == "a request was silent"
    assert faults.hurt("server", PAUSE)["already"]
    assert victim.child.alive
    assert faults.heal() == ["pause of the server"]
    victim.wait_until_it_answers()
    assert kinds(folder) == ["fault_injecting", "fault_injected", "fault_proven", "fault_healed"]
    assert faults.heal() == []


def test_a_killed_process_is_gone_until_it_is_started_again(faults: ProcessFaults, victim: Victim) -> None:
    pid = victim.child.pid
    receipt = faults.hurt("server", KILL)
    assert receipt["proof"] == "a request was refused"
    assert not victim.child.alive
    with pytest.raises(PartError, match="under 'kill' already"):
        faults.hurt("server", PAUSE)
    assert faults.heal("server") == ["kill of the server"]
    assert victim.child.pid != pid


def test_a_restart_is_a_fault_of_its_own_or_heals_one(faults: ProcessFaults, victim: Victim, folder: RunFolder) -> None:
    assert faults.restart("server")["name"] == "restart"
    faults.hurt("server", KILL)
    assert faults.restart("server")["name"] == "kill"
    assert ask(victim.way.direct, victim.way, 1).ended == "answered"
    assert kinds(folder).count("fault_healed") == 2


def test_only_what_the_run_owns_can_be_hurt(faults: ProcessFaults, folder: RunFolder, clock: Clock) -> None:
    with pytest.raises(UsageError, match="has no process 'init'; it has server"):
        faults.hurt("init", KILL)
    with pytest.raises(UsageError, match="as the target is your own"):
        ProcessFaults({}, folder, clock).restart("server")
    assert faults.heal("warehouse") == []


@pytest.fixture
def given(victim: Victim) -> GivenProcess:
    """The victim's process as one that somebody else started."""
    assert victim.child.pid is not None
    return GivenProcess(victim.child.pid)


def test_a_process_that_was_given_is_paused_and_killed(
    given: GivenProcess, victim: Victim, folder: RunFolder, clock: Clock
) -> None:
    back = Victim(given, lambda: given.wait_until_it_is_back(victim.way), victim.way)
    faults = ProcessFaults({"server": back}, folder, clock)
    assert faults.hurt("server", PAUSE)["proof"] == "a request was silent"
    event = next(event for event in folder.events() if event.kind == "fault_injecting")
    assert event.data["process"] == given.identity
    assert faults.heal() == ["pause of the server"]
    assert faults.hurt("server", KILL)["proof"] in ("a request was refused", "a request was reset")
    assert not given.alive
    given.signal(signal.SIGTERM)
    victim.child.stop()
    victim.child.start()  # by whoever keeps it running
    assert faults.heal() == ["kill of the server"]
    with pytest.raises(PartError, match="is not running"):
        faults.hurt("server", PAUSE)


def test_a_process_that_was_given_is_not_left_paused(
    given: GivenProcess, victim: Victim, folder: RunFolder, clock: Clock
) -> None:
    faults = ProcessFaults({"server": Victim(given, lambda: None, victim.way)}, folder, clock)
    faults.hurt("server", PAUSE)
    faults.settle()
    assert ask(victim.way.direct, victim.way, 2).ended == "answered"


def test_a_process_that_nobody_starts_again_is_told(
    given: GivenProcess, victim: Victim, folder: RunFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_BACK_S", 0.1)
    back = Victim(given, lambda: given.wait_until_it_is_back(victim.way), victim.way)
    with pytest.raises(PartError, match="whoever keeps it running has to"):
        ProcessFaults({"server": back}, folder, clock).restart("server")


def test_what_is_gone_cannot_be_hurt(faults: ProcessFaults, victim: Victim) -> None:
    victim.child.stop()
    with pytest.raises(PartError, match="is not running"):
        faults.hurt("server", PAUSE)


def test_a_process_that_does_not_feel_it_is_no_proof(
    victim: Victim, folder: RunFolder, clock: Clock, tmp_path: Path
) -> None:
    bystander = Child(
        "bystander", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "b.log", str(tmp_path)
    )
    bystander.start()
    faults = ProcessFaults({"server": Victim(bystander, lambda: None, victim.way)}, folder, clock)
    assert faults.hurt("server", PAUSE)["doubt"] == "a request was answered"
    faults.heal()
    bystander.stop()


def test_a_command_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(PartError, match=r"could not be started \(/nowhere"):
        Child("ghost", ["/nowhere"], tmp_path / "g.log", "m").start()


def test_a_child_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = Child("brief", [sys.executable, "-c", "raise SystemExit('no luck today')"], tmp_path / "b.log", "m")
    child.start()
    with pytest.raises(PartError, match=r"ended with code 1.*\n.*no luck today"):
        child.wait_until(lambda: False, 10)
    with pytest.raises(PartError, match="brief"):
        child.wait_for_line("up", 10)
    child.stop()


def test_a_child_that_does_not_answer_is_told(tmp_path: Path) -> None:
    child = Child("slow", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "s.log", "m")
    child.start()
    with pytest.raises(PartError, match=r"did not answer within 0\.1 s"):
        child.wait_for_line("up", 0.1)
    child.stop()
    child.stop()
    Child("never", ["x"], tmp_path / "n.log", "m").stop()


def test_a_part_that_does_not_come_back_keeps_no_other_paused(
    victim: Victim, folder: RunFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = ProcessFaults({"gone": victim, "server": victim}, folder, clock)
    paused = {"fault_id": "process-2", "proxy": "server", "name": PAUSE, "toxics": []}
    faults.hurt("gone", KILL)
    monkeypatch.setitem(faults._active, "server", paused)

    def fail() -> None:
        raise PartError("it does not come back")

    monkeypatch.setattr(victim.child, "start", fail)
    with pytest.raises(PartError, match="does not come back"):
        faults.heal()
    assert faults.hurt_parts == ["gone"]

"""A run in this process: what it refuses, and how its loads end."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaoslib import exit as chaos_exit

from mcp_chaos import actions, probes
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import PartError, ToxiproxyError, UsageError
from mcp_chaos.faults.process import PAUSE
from mcp_chaos.load.process import LoadProcess
from mcp_chaos.machine.processes import children_of_run
from mcp_chaos.run import current as runs
from mcp_chaos.run.run import Run

THRESHOLDS = {"fault": ["hung_calls == 0"]}
LIGHT: dict[str, Any] = {"users": 1, "duration_s": 60.0, "cycle_s": 0.05, "requests_per_user": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """One embedded run for all tests of this module."""
    settings = Settings(None, "streamable", "", {}, None, None, tmp_path_factory.mktemp("runs"), 1)
    made = Run(settings, "in process", THRESHOLDS, print)
    runs.begin(made)
    yield made
    runs.end()
    assert children_of_run(str(made.folder.path)) == []


def test_there_is_one_run_at_a_time(run: Run, tmp_path: Path) -> None:
    settings = Settings(None, "streamable", "", {}, None, None, tmp_path, 1)
    with pytest.raises(UsageError, match="one at a time"):
        runs.begin(Run(settings, "second", THRESHOLDS, print))
    assert runs.current() is run


def test_a_load_is_started_read_and_stopped(run: Run) -> None:
    actions.start_load("a", **LIGHT)
    assert [load.spec.name for load in run.loads.running()] == ["a"]
    with pytest.raises(UsageError, match="a load 'a' in this run already"):
        actions.start_load("a", **LIGHT)
    with pytest.raises(PartError, match=r"did not end within 0\.1 s. It runs on"):
        actions.wait_for_load("a", timeout_s=0.1)
    while run.loads.get("a").recent(60).calls < 3:
        assert run.loads.get("a").running
    assert probes.load_reading("a", "success_fraction", 60) == 1.0
    assert run.loads.get("a").users_now() == 1
    result = actions.stop_load("a")
    assert result["stopped_early"]
    assert actions.stop_load("a") == result
    assert run.loads.running() == []


def test_the_server_is_looked_at_before_a_load_and_comes_to_rest_after_it(run: Run) -> None:
    actions.start_load("short", **LIGHT)
    actions.stop_load("short")
    watch = run._server_watch
    assert watch is not None
    kept = ["server.fds <= before.server.fds + 8", "server.cpu_fraction <= 0.5"]
    watch.rest({"rest": kept}, lambda: False)
    assert run.folder.recorded[-1].kind == "rest_ended"
    assert run.folder.recorded[-1].data == {"settled": True}
    watch.rest({"rest": ["server.fds <= 0"]}, lambda: True)
    assert run.folder.recorded[-1].data == {"settled": False}
    samples = run.folder.process_samples()
    assert {sample.pid for sample in samples} == {run.environment.parts["server"].child.pid}
    reports = run.folder.self_reports()
    assert any(report.counters.get("calls", 0) > 0 for report in reports)
    assert any(report.healthy for report in reports)


def test_a_reading_of_nothing_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="There is no load 'ghost'"):
        probes.load_reading("ghost")
    with pytest.raises(UsageError, match="There is no figure 'colour'"):
        probes.load_reading("a", "colour")
    with pytest.raises(UsageError, match="There is no lane 'fast'"):
        probes.server_answers(lane="fast")
    actions.start_load("b", **LIGHT)
    actions.stop_load("b")
    with pytest.raises(UsageError, match="made no call in the last"):
        probes.load_reading("b", "p95_ms", 1e-9)


def test_a_process_is_continued_though_toxiproxy_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str | None) -> list[str]:
        raise ToxiproxyError("Toxiproxy did not answer")

    run.process_faults.hurt("server", PAUSE)  # not by its action, which asks for a load that carries calls
    with monkeypatch.context() as broken:
        broken.setattr(run.injector, "heal", fail)
        with pytest.raises(ToxiproxyError, match="did not answer"):
            run.heal()
    assert not run.process_faults.hurt_parts
    assert probes.server_answers()


def test_running_loads_can_be_asked_for_while_others_start(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: dict[str, LoadProcess] = {}

    class Starting(LoadProcess):
        def __init__(self) -> None: ...

        @property
        def running(self) -> bool:
            loads[f"another-{len(loads)}"] = self
            return True

    loads["first"] = Starting()
    monkeypatch.setattr(run.loads, "_loads", loads)
    assert len(run.loads.running()) == 1


def test_a_load_that_dies_is_told_with_its_last_words(run: Run) -> None:
    actions.start_load("dies", **LIGHT)
    child = run.loads.get("dies")._child
    assert child is not None
    child.signal(signal.SIGKILL)
    with pytest.raises(PartError, match=r"The load 'dies' died \(exit code -9\)"):
        actions.wait_for_load("dies")
    assert not probes.server_answers(deadline_s=0.0001)


def test_the_users_of_a_load_come_from_a_ramp_only(run: Run) -> None:
    ramp: dict[str, Any] = {"shape": "ramp", "max_users": 2, "step_users": 1, "requests_per_user": 2, "pause_s": 0}
    actions.start_load("ramp", **ramp)
    assert actions.wait_for_load("ramp")["capacity_users"] == 2
    actions.start_load("held", users_from="ramp", duration_s=0.2, cycle_s=0.1, requests_per_user=1)
    assert actions.wait_for_load("held")["concurrent_users"] == 2
    with pytest.raises(UsageError, match="is no ramp"):
        actions.start_load("none", users_from="held")
    actions.start_load("broken", **ramp, deadline_s=0.0001)
    assert actions.wait_for_load("broken")["capacity_users"] == 0
    with pytest.raises(PartError, match="held at no step"):
        actions.start_load("none", users_from="broken")


def test_what_may_not_be_poisoned_or_healed_is_refused(run: Run) -> None:
    with pytest.raises(UsageError, match="'mcp_control' is never poisoned"):
        actions.partition(proxy="mcp_control")
    with pytest.raises(UsageError, match="no proxy or part 'mpc' to heal"):
        actions.heal("mpc")
    assert actions.heal() == []
    assert probes.proxy_is_clean("mcp_control")


def test_without_a_run_an_activity_refuses_and_ends_a_chaos_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_current", None)
    with pytest.raises(UsageError, match="needs the control"):
        actions.heal()
    ended: list[bool] = []
    monkeypatch.setattr(chaos_exit, "exit_gracefully", lambda: ended.append(True))
    before = signal.signal(signal.SIGUSR1, chaos_exit._leave_now)
    try:
        with pytest.raises(UsageError, match="Nothing was changed"):
            actions.heal()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended == [True]
    runs.end()

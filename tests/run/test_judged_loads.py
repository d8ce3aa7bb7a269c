"""A fault is injected only where the loads that are to be judged carry calls."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_chaos.errors import PartError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.process import LoadProcess
from mcp_chaos.load.shapes import Burst
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.processes import Child
from mcp_chaos.mcp import ToolCall
from mcp_chaos.run import judged_loads
from mcp_chaos.run.judged_loads import Idle, JudgedLoads
from mcp_chaos.workload.workload import Workload
from tests.histories import call, calls_of

HERE = Target("127.0.0.1", 1, "127.0.0.1:1", "/mcp", "streamable")
SPEC = LoadSpec("test", HERE, Burst(), Workload.of(ToolCall("x")), 0.1, seed=1)


def write_call(folder: RunFolder, load: str) -> None:
    folder.calls_path(load).write_bytes(calls_of([call(1)]).tobytes())


@pytest.fixture
def running(folder: RunFolder, tmp_path: Path) -> Iterator[LoadProcess]:
    """A load whose process lives, and makes no call by itself."""
    load = LoadProcess(SPEC, folder)
    load._child = Child("load 'test'", ["sleep", "60"], tmp_path / "log", str(folder.path))
    load._child.start()
    yield load
    load._child.stop()


def test_a_run_without_judged_loads_needs_none() -> None:
    assert JudgedLoads().idle() is None


def test_a_load_that_did_not_start_carries_nothing(folder: RunFolder) -> None:
    loads = JudgedLoads()
    with pytest.raises(PartError), loads.starting("test"):
        raise PartError("Locust is not installed.")
    assert loads.idle() == Idle("test", "the load 'test' did not start: Locust is not installed.")


def test_a_name_that_is_taken_says_nothing_of_its_load(folder: RunFolder) -> None:
    loads = JudgedLoads()
    write_call(folder, "test")
    loads.started(LoadProcess(SPEC, folder))
    with pytest.raises(PartError), loads.starting("test"):
        raise PartError("There is a load 'test' already.")
    assert loads.idle() is None


def test_a_load_that_ended_without_a_call_carries_nothing(folder: RunFolder) -> None:
    loads = JudgedLoads()
    write_call(folder, "other")
    loads.started(LoadProcess(replace(SPEC, name="other"), folder))
    loads.started(LoadProcess(SPEC, folder))
    assert loads.idle() == Idle("test", "the load 'test' ended without a call")


def test_a_load_is_waited_for_until_its_first_call(
    folder: RunFolder, running: LoadProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = JudgedLoads()
    loads.started(running)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(len(asked))
        if len(asked) == 3:
            write_call(folder, "test")
        return False

    assert loads.idle(stop) is None
    assert len(asked) == 3
    folder.calls_path("test").unlink()
    monkeypatch.setattr(judged_loads, "_FIRST_CALL_S", 0.0)
    assert loads.idle() == Idle("test", "the load 'test' has made no call yet")

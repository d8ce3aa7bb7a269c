"""Several processes share a load: exactly, and also when one of them dies."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_chaos.errors import PartError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.crew import part_of
from mcp_chaos.load.process import LoadProcess
from mcp_chaos.load.shape import CycleStep, OpenStep, Shape, Step
from mcp_chaos.load.shapes import Burst, Constant, Ramp, Sustained
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.processes import children_of_run, end_children
from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.workload import Workload
from tests.conftest import SocketServer, serving
from tests.servers import well


@pytest.fixture
def server() -> Iterator[SocketServer]:
    """A server that answers every call."""
    with serving(well()) as made:
        yield made


@pytest.fixture
def start(server: SocketServer, folder: RunFolder, clock: Clock) -> Iterator[Callable[..., LoadProcess]]:
    """Start a load with several workers; what is left of it is ended after the test."""

    def begin(shape: Shape, workers: int = 3, **changes: Any) -> LoadProcess:
        target = Target("127.0.0.1", server.port, f"127.0.0.1:{server.port}", "/mcp", "jsonrpc")
        spec = LoadSpec("test", target, shape, Workload.of(ToolCall("list_databases")), 5.0, seed=1, workers=workers)
        load = LoadProcess(replace(spec, clock_offset_ns=clock.offset_ns, **changes), folder)
        load.start()
        return load

    yield begin
    end_children(str(folder.path))


def members(load: LoadProcess) -> list[psutil.Process]:
    assert load.pid is not None
    return psutil.Process(load.pid).children()


def wait_for(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until
        threading.Event().wait(0.01)


@given(st.integers(1, 300), st.integers(1, 3000), st.integers(1, 20))
def test_users_and_calls_are_dealt_out_completely(users: int, total: int, shares: int) -> None:
    parts = [Step(**part_of(Step(users, total), share, shares)["closed"]) for share in range(shares)]
    assert sum(part.users for part in parts) == users
    assert sum(part.total_requests for part in parts) == total
    assert all(part.users for part in parts if part.total_requests)
    assert max(part.users for part in parts) - min(part.users for part in parts) <= 1


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9))
def test_a_cycle_is_dealt_out_by_users(users: int, each: int, shares: int) -> None:
    step = CycleStep(users, users * each, 10.0, users)
    parts = [CycleStep(**part_of(step, share, shares)["cycle"]) for share in range(shares)]
    assert sum(part.users for part in parts) == users
    assert all((part.total_requests, part.all_users) == (part.users * each, users) for part in parts)


def test_an_open_step_is_one_schedule_of_which_each_has_a_share() -> None:
    step = OpenStep(users=7, total_requests=100, rate_per_s=10, poisson=True)
    parts = [part_of(step, share, 3) for share in range(3)]
    assert [part["share"] for part in parts] == [0, 1, 2]
    assert sum(part["open"]["users"] for part in parts) == 7
    assert all(part["open"]["total_requests"] == 100 and part["shares"] == 3 for part in parts)


def test_a_burst_is_exactly_as_large_as_with_one_worker(start: Callable[..., LoadProcess], folder: RunFolder) -> None:
    load = start(Burst(201, 10))
    result = load.wait(30)
    calls = folder.calls("test")
    assert len(calls) == result["total_requests"] == result["successful_requests"] == 201
    assert sorted(set(calls["worker"])) == [0, 1, 2]
    assert len(set(calls["user"])) == 10
    assert np.all(np.diff(calls["done_ns"].astype(np.int64)) >= 0)
    times_s = (calls["done_ns"] - calls["sent_ns"]) / 1e9
    assert result["median_response_time"] == pytest.approx(float(np.median(times_s)))
    assert result["summary"]["latency_ms"]["from_actual_send"]["p99"] == pytest.approx(
        1e3 * float(np.quantile(times_s, 0.99))
    )
    assert sum(worker["calls"] for worker in result["summary"]["generator"]["workers"]) == 201


def test_a_rate_is_shared_without_overlap(start: Callable[..., LoadProcess], folder: RunFolder) -> None:
    result = start(Constant(rate_per_s=100, duration_s=0.5)).wait(30)
    intended = np.sort(folder.calls("test")["intended_ns"]).astype(np.int64)
    assert len(intended) == 50
    assert set(np.diff(intended)) == {10_000_000}
    assert result["summary"]["generator"]["send_error_ms"]["max"] is not None


def test_a_ramp_goes_step_by_step_in_all_workers(start: Callable[..., LoadProcess], folder: RunFolder) -> None:
    result = start(Ramp(max_users=6, step_users=2, requests_per_user=5, pause_s=0)).wait(30)
    assert [step["total_requests"] for step in result["steps"]] == [10, 20, 30]
    calls = folder.calls("test")
    assert [int(np.count_nonzero(calls["step"] == step)) for step in range(3)] == [10, 20, 30]


def test_one_that_is_suspended_is_taken_for_dead(start: Callable[..., LoadProcess], folder: RunFolder) -> None:
    load = start(Sustained(users=6, duration_s=60, cycle_s=0.1, requests_per_user=1), deadline_s=0.5)
    wait_for(lambda: len(folder.calls("test")) > 20 and len(members(load)) == 3)
    members(load)[1].suspend()
    wait_for(lambda: any(event.kind == "worker_died" for event in folder.events()), 20)
    assert load.stop()["summary"]["generator"]["lost_workers"] == [1]


def test_a_load_that_is_suspended_stands_still(start: Callable[..., LoadProcess]) -> None:
    load = start(Sustained(users=2, duration_s=60, cycle_s=0.1, requests_per_user=1), 1, deadline_s=0.3)
    assert load.pid is not None
    psutil.Process(load.pid).suspend()
    with pytest.raises(PartError, match=r"stands still: its process .* was suspended"):
        load.wait(30)
    load.stop()


def test_one_that_dies_is_told_and_the_others_go_on(start: Callable[..., LoadProcess], folder: RunFolder) -> None:
    load = start(Sustained(users=6, duration_s=60, cycle_s=0.1, requests_per_user=1))
    wait_for(lambda: len(folder.calls("test")) > 20 and len(members(load)) == 3)
    victim = members(load)[1]
    victim.kill()
    wait_for(lambda: any(event.kind == "worker_died" for event in folder.events()))
    (died,) = (event for event in folder.events() if event.kind == "worker_died")
    made = len(folder.calls("test"))
    wait_for(lambda: len(folder.calls("test")) > made + 20)
    result = load.stop()
    generator = result["summary"]["generator"]
    assert generator["lost_workers"] == [died.data["worker"]]
    assert not generator["kept_up"]
    assert died.data["exit_code"] == -9
    assert result["detailed_results"][-2]["total_requests"] == 6  # the dead one's users went to the others


def test_when_all_die_the_load_has_died(start: Callable[..., LoadProcess], folder: RunFolder) -> None:
    load = start(Sustained(users=6, duration_s=60, cycle_s=0.1, requests_per_user=1), workers=2)
    wait_for(lambda: len(folder.calls("test")) > 5 and len(members(load)) == 2)
    for member in members(load):
        member.kill()
    with pytest.raises(PartError, match="all 2 workers of the load died"):
        load.wait(20)


def test_without_their_conductor_they_end_by_themselves(start: Callable[..., LoadProcess], folder: RunFolder) -> None:
    load = start(Sustained(users=6, duration_s=60, cycle_s=0.1, requests_per_user=1))
    wait_for(lambda: len(folder.calls("test")) > 5 and len(members(load)) == 3)
    assert load.pid is not None
    psutil.Process(load.pid).kill()
    with pytest.raises(PartError, match="died"):
        load.wait(20)
    wait_for(lambda: children_of_run(str(folder.path)) == [])


def test_told_to_stop_they_all_do(start: Callable[..., LoadProcess], folder: RunFolder) -> None:
    load = start(Constant(rate_per_s=50, duration_s=600))
    wait_for(lambda: len(folder.calls("test")) > 20)
    began = time.monotonic()
    result = load.stop()
    assert time.monotonic() - began < 5
    assert result["stopped_early"]
    assert result["total_requests"] == len(folder.calls("test"))


@given(st.integers(1, 40), st.integers(1, 20))
def test_no_more_calls_are_under_way_than_allowed_whatever_the_workers(users: int, shares: int) -> None:
    step = OpenStep(users, 100, 10.0)
    parts = [part_of(step, share, shares) for share in range(shares)]
    assert sum(part["open"]["users"] for part in parts) == users
    calling = [part for part in parts if part["open"]["users"]]
    assert [part["share"] for part in calling] == list(range(min(users, shares)))  # no moment is left to nobody
    assert all(part["shares"] == len(calling) for part in calling)


def test_workers_without_a_user_leave_the_schedule_to_the_others(
    start: Callable[..., LoadProcess], folder: RunFolder
) -> None:
    start(Constant(rate_per_s=40, duration_s=1.0, max_users=2)).wait(30)
    calls = folder.calls("test")
    assert sorted(set(calls["worker"])) == [0, 1]
    assert len(calls) == 40


@pytest.mark.parametrize("workers", [1, 3])
def test_users_are_spread_over_their_cycle_and_a_short_cut_meets_some_of_them(
    start: Callable[..., LoadProcess], folder: RunFolder, workers: int
) -> None:
    result = start(Sustained(users=9, duration_s=1.8, cycle_s=0.9, requests_per_user=2), workers=workers).wait(30)
    calls = folder.calls("test")
    assert [cycle["total_requests"] for cycle in result["detailed_results"]] == [18, 18]
    per_user = Counter(calls["user"].tolist())
    assert len(per_user) == 9
    assert set(per_user.values()) == {4}
    for step in (0, 1):
        begins = np.sort(
            [calls["intended_ns"][(calls["step"] == step) & (calls["user"] == user)].min() for user in per_user]
        )
        assert begins[-1] - begins[0] > 0.6e9  # never all at once

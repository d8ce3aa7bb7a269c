"""Shapes: pure, with exactly the specification's numbers."""

import pytest

from mcp_chaos.errors import UsageError
from mcp_chaos.load.checks import make_shape
from mcp_chaos.load.shape import CycleStep, OpenStep, Shape, Step
from mcp_chaos.load.shapes import Burst, Constant, Ramp, Sustained


def test_the_burst_is_50_requests_at_10() -> None:
    assert make_shape("burst").first() == Step(10, 50)
    assert make_shape("burst").following(1, 1, 1, 1) is None


def test_the_ramp_goes_from_5_to_50_by_5_with_10_requests_per_user_and_30_s_after_each_step() -> None:
    ramp, steps = make_shape("ramp"), []
    step: Step | None = ramp.first()
    while step is not None:
        steps.append(step)
        following = ramp.following(len(steps), 0, 0, 0.95)
        assert following is None or following[0] == 30
        step = following[1] if following else None
    assert steps == [Step(users, users * 10) for users in range(5, 51, 5)]


def test_the_ramp_stops_below_95_percent() -> None:
    assert make_shape("ramp").following(1, 0, 0, 0.949) is None


def test_the_sustained_load_is_5_requests_per_user_every_10_s_for_10_minutes() -> None:
    shape = make_shape("sustained", users=7)
    assert shape.first() == CycleStep(7, 35, 10.0, 7)
    assert shape.following(1, 3, 3, 1) == (7, CycleStep(7, 35, 10.0, 7))
    assert shape.following(59, 583, 3, 0) == (7, CycleStep(7, 35, 10.0, 7))
    assert shape.following(60, 593, 3, 1) is None


def test_a_cycle_that_ran_over_is_followed_at_once() -> None:
    assert make_shape("sustained").following(1, 25, 25, 0) == (0, CycleStep(10, 50, 10.0, 10))


def test_cycles_without_a_length_are_closed_steps() -> None:
    assert make_shape("sustained", cycle_s=0).first() == Step(10, 50)


@pytest.mark.parametrize("shape", [Burst(1, 2), Ramp(max_users=9), Sustained(3), Constant(20.5, 3, "poisson")])
def test_a_shape_survives_its_way_through_json(shape: Shape) -> None:
    data = shape.to_json()
    assert make_shape(data.pop("kind"), **data) == shape


def test_all_problems_come_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        make_shape("ramp", max_users=-1, step_users=2.5, pause_s="x", users=3, stop_below_fraction=True)
    assert len(refused.value.problems) == 5


@pytest.mark.parametrize("numbers", [{"max_users": 4}, {"step_users": 60}])
def test_a_ramp_without_a_step_is_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="would have no step"):
        make_shape("ramp", **numbers)


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(UsageError, match="no load shape 'spike'"):
        make_shape("spike")


def test_the_constant_load_is_open_at_a_rate() -> None:
    shape = make_shape("constant", rate_per_s=20, duration_s=3, arrivals="poisson", max_users=7)
    assert shape.first() == OpenStep(users=7, total_requests=60, rate_per_s=20, poisson=True)
    assert shape.following(1, 3, 3, 0) is None


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ({"rate_per_s": 0}, "rate_per_s: 0 is not between"),
        ({"rate_per_s": float("nan")}, "a number is needed"),
        ({"arrivals": "bursty"}, "arrivals: constant or poisson is needed, not 'bursty'"),
        ({"arrivals": 1}, "arrivals: constant or poisson"),
        ({"rate_per_s": 100_000, "duration_s": 3600}, "360000000 calls, more than 10000000"),
        ({"max_users": 0}, "max_users: 0 is not between"),
    ],
)
def test_an_open_load_that_makes_no_sense_is_refused(numbers: dict[str, object], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        make_shape("constant", **numbers)


@pytest.mark.parametrize(("loads", "rate_per_s"), [(1, 4.0), (2, 2.0)])
def test_an_open_load_stays_below_what_a_ramp_carried(loads: int, rate_per_s: float) -> None:
    steps = [{"concurrent_users": 4, "throughput": 5.0}, {"concurrent_users": 8, "throughput": 8.0}]
    ramp = {"capacity_users": 8, "steps": steps}
    assert Constant.at_capacity({"duration_s": 3.0}, ramp, loads) == {"duration_s": 3.0, "rate_per_s": rate_per_s}
    assert Constant.at_capacity({"rate_per_s": 1.5}, ramp, loads) == {"rate_per_s": 1.5}

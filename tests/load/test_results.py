"""The specification's result fields."""

import pytest

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.results import Tally, burst_result, ramp_result, sustained_result
from tests.histories import call, calls_of


def test_a_burst_has_the_specifications_fields() -> None:
    rows = [call(i, took_ms=10 * (i + 1)) for i in range(4)] + [call(5, Reason.TIMED_OUT)]
    result = burst_result(Tally([calls_of(rows)]), 10, 2.0)
    assert result == {
        "total_requests": 5,
        "concurrent_limit": 10,
        "total_time": 2.0,
        "successful_requests": 4,
        "failed_requests": 1,
        "success_rate": 80.0,
        "throughput": 2.0,
        "avg_response_time": pytest.approx(0.025),
        "median_response_time": pytest.approx(0.025),
        "p95_response_time": pytest.approx(0.0385),
        "p99_response_time": pytest.approx(0.0397),
    }


def test_no_call_gives_no_times() -> None:
    result = burst_result(Tally(), 1, 0.0)
    assert result["success_rate"] is result["avg_response_time"] is result["throughput"] is None


def step(users: int, rate: float | None) -> dict[str, float | None]:
    counts = {"total_requests": 0 if rate is None else 1000, "successful_requests": 10 * (rate or 0)}
    return {"concurrent_users": users, "success_rate": rate, "throughput": 2.0, "avg_response_time": rate, **counts}


def test_a_ramp_tells_capacity_and_breaking_point() -> None:
    result = ramp_result([step(5, 100.0), step(10, 95.0), step(15, 94.9)], 0.95)
    assert (result["capacity_users"], result["breaking_point_users"]) == (10, 15)
    assert ramp_result([step(5, 100.0)], 0.95)["breaking_point_users"] is None
    assert ramp_result([step(5, None)], 0.95)["capacity_users"] == 0


def test_a_sustained_load_averages_over_its_cycles() -> None:
    result = sustained_result([step(5, 100.0), step(5, 50.0)], 5, 120)
    assert result["test_duration_minutes"] == 2
    assert result["total_test_cycles"] == len(result["detailed_results"]) == 2
    assert result["avg_success_rate"] == 75.0
    assert sustained_result([], 5, 0)["avg_throughput"] is None

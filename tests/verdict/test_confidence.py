"""Quantiles of few calls: a server is accused for what it is, not for what its calls happened to be."""

import numpy as np
import pytest
from numpy.typing import NDArray

from mcp_chaos.history.calls import CALL
from mcp_chaos.verdict.confidence import UNBOUNDED, quantile_bounds
from mcp_chaos.verdict.figure import Measurable
from mcp_chaos.verdict.measure import WINDOWS, Sample
from mcp_chaos.verdict.thresholds import Threshold

RUNS = 1000
LIMIT = "p95_ms <= 3 * baseline.p95_ms + 200"


@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("count", [60, 500])
def test_each_bound_is_on_its_side_in_99_of_100_samples(q: float, count: int) -> None:
    rng = np.random.default_rng(1)
    bounds = np.array([quantile_bounds(np.sort(rng.random(count)), q) for _ in range(2000)])
    assert np.mean(bounds[:, 0] > q) <= 0.015
    has_upper = q**count <= 0.01
    assert np.mean(bounds[:, 1] < q) <= (0.015 if has_upper else q**count + 0.03)


def test_one_value_bounds_nothing() -> None:
    assert quantile_bounds(np.array([7.0]), 0.95) == (0.0, UNBOUNDED)
    assert quantile_bounds(np.array([7.0, 8.0]), 1.0) == (8.0, 8.0)


def test_of_a_million_values_the_bounds_are_close() -> None:
    low, high = quantile_bounds(np.arange(1e6), 0.95)
    assert 949_000 < low < 950_000 < high < 951_000


def outcome(text: str, control: NDArray[np.float64] | None = None, **windows: NDArray[np.float64]) -> str:
    samples = {}
    for window in WINDOWS:
        samples[window] = {"faulted": sample(windows.get(window, np.empty(0)))}
        samples[window]["control"] = sample(control if control is not None and window in windows else np.empty(0))
    figures = {window: {lane: one.figures for lane, one in lanes.items()} for window, lanes in samples.items()}
    times = {window: {lane: one.latencies_ms for lane, one in lanes.items()} for window, lanes in samples.items()}
    return Threshold.parse("recovery", text).judge(figures, times).outcome


def sample(times_ms: NDArray[np.float64]) -> Sample:
    calls = np.zeros(len(times_ms), dtype=CALL)
    calls["done_ns"] = times_ms * 1e6
    return Sample.of(Measurable(calls, 1.0))


def some(rng: np.random.Generator, count: int, slow_fraction: float, slower: float = 1.0) -> NDArray[np.float64]:
    """Latencies of a server, some of whose calls take fifty times as long as the others."""
    usual = 20 * rng.lognormal(0, 0.3, count)
    return slower * np.where(rng.random(count) < slow_fraction, 50 * usual, usual)


@pytest.mark.parametrize("slow_fraction", [0.03, 0.04, 0.05])
@pytest.mark.parametrize("count", [50, 100, 200])
def test_a_server_that_did_not_change_is_not_accused_for_its_slow_calls(slow_fraction: float, count: int) -> None:
    rng = np.random.default_rng(7)
    pairs = ((some(rng, count, slow_fraction), some(rng, count, slow_fraction)) for _ in range(RUNS))
    accused = sum(outcome(LIMIT, baseline=before, recovery=after) == "missed" for before, after in pairs)
    assert accused <= 1


def test_a_server_three_times_as_slow_is_found() -> None:
    rng = np.random.default_rng(7)
    pairs = ((some(rng, 100, 0), some(rng, 100, 0, slower=3)) for _ in range(RUNS))
    text = "p95_ms <= 1.2 * baseline.p95_ms"
    assert sum(outcome(text, baseline=before, recovery=after) == "missed" for before, after in pairs) >= 990


def test_calls_that_take_three_times_what_is_allowed_are_found_among_slow_ones() -> None:
    rng = np.random.default_rng(7)
    afters = (3 * 250 * rng.lognormal(0, 0.3, 100) for _ in range(RUNS))
    assert sum(outcome("p95_ms <= 250", recovery=after) == "missed" for after in afters) >= 990


def test_between_met_and_surely_missed_nothing_is_decided() -> None:
    times = np.array([10.0] * 93 + [300.0] * 7)
    assert outcome("p95_ms <= 200", recovery=times) == "inconclusive"
    assert outcome("200 >= p95_ms", recovery=times) == "inconclusive"
    assert outcome("-p95_ms + 200 > 0", recovery=times) == "inconclusive"
    assert outcome("200 / p95_ms >= 1", recovery=times) == "inconclusive"
    assert outcome("p95_ms <= 200", recovery=times[:90]) == "met"
    assert outcome("p95_ms <= 200", recovery=np.array([10.0] * 80 + [300.0] * 20)) == "missed"
    assert outcome("max_ms <= 200", recovery=times) == "missed"
    assert outcome("p95_ms == 1", recovery=times) == "missed"


@pytest.mark.parametrize("count", [15, 60])
def test_lanes_that_differ_by_chance_only_accuse_nobody(count: int) -> None:
    text, rng = "p95_ms - control.p95_ms <= 500", np.random.default_rng(8)
    pairs = ((some(rng, count, 0.04), some(rng, count, 0.04)) for _ in range(RUNS))
    assert sum(outcome(text, control, recovery=faulted) == "missed" for faulted, control in pairs) <= RUNS / 1000


def test_a_lane_that_is_slow_is_found_beside_one_that_is_not() -> None:
    text, rng = "p95_ms - control.p95_ms <= 500", np.random.default_rng(9)
    pairs = ((some(rng, 60, 0.0, slower=60.0), some(rng, 60, 0.0)) for _ in range(100))
    assert sum(outcome(text, control, recovery=faulted) == "missed" for faulted, control in pairs) >= 99

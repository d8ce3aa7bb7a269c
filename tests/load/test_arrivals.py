"""The schedule of an open load: when its calls are due, and which worker makes which."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_chaos.load.arrivals import begins_after_s, due_ns
from mcp_chaos.load.shape import CycleStep, OpenStep

S = 1_000_000_000
START_NS = 1_790_000_000 * S
FLOAT_NS = 256  # what a double can tell apart among nanoseconds since the epoch
ONE_PART = 65_536


def schedule(total: int, rate_per_s: float, poisson: bool = False, seed: int = 1) -> list[int]:
    return list(due_ns(OpenStep(10, total, rate_per_s, poisson), seed, START_NS))


@pytest.mark.parametrize("rate_per_s", [0.001, 1, 3, 999.5, 100_000])
def test_constant_arrivals_are_one_gap_apart_and_do_not_drift(rate_per_s: float) -> None:
    moments = np.array(schedule(1000, rate_per_s))
    expected_ns = START_NS + np.arange(1000) * S / rate_per_s
    assert np.abs(moments - expected_ns).max() <= FLOAT_NS


def test_constant_arrivals_go_on_as_before_where_one_part_of_the_schedule_ends() -> None:
    moments = schedule(ONE_PART + 3, 1000)
    gaps_ns = [after - before for before, after in pairwise(moments[-6:])]
    assert len(moments) == ONE_PART + 3
    assert gaps_ns == pytest.approx([S // 1000] * 5, abs=2 * FLOAT_NS)


def test_a_step_without_calls_has_no_moment() -> None:
    assert schedule(0, 10) == []


def test_random_arrivals_are_the_same_for_the_same_seed_only() -> None:
    rows = [schedule(ONE_PART + 10, 50, poisson=True, seed=seed) for seed in (7, 7, 8)]
    assert rows[0] == rows[1]
    assert not set(rows[0]) & set(rows[2])


def test_the_seed_does_not_touch_constant_arrivals() -> None:
    assert schedule(50, 7, seed=1) == schedule(50, 7, seed=2)


def test_random_arrivals_have_gaps_of_the_rates_mean_spread_exponentially() -> None:
    rate_per_s, total = 200.0, 2 * ONE_PART + 5
    gaps_s = np.diff([START_NS, *schedule(total, rate_per_s, poisson=True)]) / S
    assert len(gaps_s) == total
    assert gaps_s.min() >= 0
    assert gaps_s.mean() == pytest.approx(1 / rate_per_s, rel=0.02)
    assert gaps_s.std() == pytest.approx(1 / rate_per_s, rel=0.02)
    for quantile in (0.1, 0.5, 0.9, 0.99):
        assert np.quantile(gaps_s, quantile) == pytest.approx(-np.log(1 - quantile) / rate_per_s, rel=0.03)
    assert abs(np.corrcoef(gaps_s[:-1], gaps_s[1:])[0, 1]) < 0.02  # one gap says nothing of the next


def test_random_arrivals_do_not_start_anew_where_one_part_ends() -> None:
    moments = schedule(ONE_PART * 2, 1000, poisson=True)
    assert moments == sorted(moments)
    assert moments[ONE_PART] - moments[ONE_PART - 1] < S // 10
    first, second = (np.diff(part) for part in (moments[:ONE_PART], moments[ONE_PART:]))
    assert not np.array_equal(first, second)


@settings(max_examples=25, deadline=None)
@given(
    total=st.integers(0, 300) | st.integers(ONE_PART - 3, ONE_PART * 2 + 3),
    shares=st.integers(1, 70),
    poisson=st.booleans(),
    seed=st.integers(0, 2**32),
)
@example(total=ONE_PART + 1, shares=3, poisson=True, seed=1)
@example(total=ONE_PART * 2 + 1, shares=7, poisson=False, seed=1)
def test_the_shares_of_all_workers_together_are_the_schedule(total: int, shares: int, poisson: bool, seed: int) -> None:
    step = OpenStep(10, total, 100.0, poisson)
    whole = list(due_ns(step, seed, START_NS))
    assert len(whole) == total
    dealt = [list(due_ns(step, seed, START_NS, share, shares)) for share in range(shares)]
    assert sum(map(len, dealt)) == total
    for share, moments in enumerate(dealt):
        assert moments == whole[share::shares]


def test_a_worker_beyond_the_number_of_calls_has_none() -> None:
    assert list(due_ns(OpenStep(10, 3, 10.0), 1, START_NS, share=5, shares=8)) == []


@pytest.mark.parametrize("poisson", [False, True])
def test_a_long_schedule_is_made_as_it_is_needed(poisson: bool) -> None:
    endless = due_ns(OpenStep(10, 10**15, 10.0, poisson), 1, START_NS)
    assert START_NS - FLOAT_NS <= next(endless) < START_NS + 100 * S


@given(st.integers(1, 400), st.integers(0, 10**18))
def test_the_users_of_a_cycle_begin_all_over_it(users: int, seed: int) -> None:
    step = CycleStep(users, users, 10.0, users)
    begins_s = [begins_after_s(step, seed, user) for user in range(users)]
    assert begins_s == [begins_after_s(step, seed, user) for user in range(users)]
    assert begins_s == sorted(begins_s)
    gaps_s = np.diff([*begins_s, 10.0 + begins_s[0]])
    assert gaps_s.min() >= 0.49 * 10 / users
    assert gaps_s.max() <= 1.51 * 10 / users


def test_other_seeds_begin_otherwise() -> None:
    step = CycleStep(5, 5, 1.0, 5)
    assert len({begins_after_s(step, seed, 3) for seed in range(20)}) == 20

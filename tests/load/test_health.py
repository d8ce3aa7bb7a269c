"""How well the generator did: quantiles over all its processes, and every reason for not having kept up."""

import json
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcp_chaos.load.health import Health, generator

COUNTED = st.dictionaries(st.integers(0, 10_000_000), st.integers(1, 1000), max_size=20)
HEALTHS = st.builds(
    Health,
    worker=st.integers(0, 63),
    calls=st.integers(0, 10**9),
    busy_s=st.floats(0, 1e6),
    cpu_s=st.floats(0, 1e6),
    dropped=st.integers(0, 10**9),
    send_errors_us=COUNTED,
    lags_us=COUNTED,
)


def nearest_rank_ms(counted: dict[int, int], fraction: Fraction) -> float | None:
    values = sorted(us for us, n in counted.items() for _ in range(n))
    return values[ceil(fraction * len(values)) - 1] / 1000 if values else None


@settings(deadline=None)
@given(st.lists(HEALTHS, max_size=4))
@example([Health(send_errors_us={1: 99, 2: 1}, lags_us={1: 1, 2: 1})])
@example([Health(send_errors_us={1: 693, 2: 7})])
def test_quantiles_are_those_of_all_workers_values_together(healths: list[Health]) -> None:
    told = generator(healths)
    for ours, theirs in (("send_error_ms", "send_errors_us"), ("wake_up_lag_ms", "lags_us")):
        together: dict[int, int] = {}
        for health in healths:
            for us, n in getattr(health, theirs).items():
                together[us] = together.get(us, 0) + n
        fractions = {"p50": Fraction(1, 2), "p99": Fraction(99, 100), "max": Fraction(1)}
        assert told[ours] == {name: nearest_rank_ms(together, fraction) for name, fraction in fractions.items()}


@pytest.mark.parametrize("hundreds", range(1, 120))
def test_the_99th_percentile_of_whole_hundreds_is_the_last_value_but_one_in_a_hundred(hundreds: int) -> None:
    told = generator([Health(send_errors_us={1000: 99 * hundreds, 2000: hundreds})])
    assert told["send_error_ms"] == {"p50": 1.0, "p99": 1.0, "max": 2.0}


@given(HEALTHS)
def test_health_survives_its_way_through_json_any_number_of_times(health: Health) -> None:
    once = Health.from_json(json.loads(json.dumps(health.to_json())))
    assert once == health
    assert once.to_json() == health.to_json()
    assert Health.from_json(json.loads(json.dumps(once.to_json()))) == health


def test_a_generator_with_nothing_to_say_against_it_kept_up() -> None:
    told = generator([Health(0, 10, 2.0, 1.0, 0, {100: 10}, {50: 3}), Health(1, 20, 4.0, 3.0, 0, {300: 10}, {70: 3})])
    assert told == {
        "kept_up": True,
        "why_not": None,
        "by_itself": False,
        "dropped_arrivals": 0,
        "send_error_ms": {"p50": 0.1, "p99": 0.3, "max": 0.3},
        "wake_up_lag_ms": {"p50": 0.05, "p99": 0.07, "max": 0.07},
        "cpu_share": 0.75,
        "workers": [
            {"worker": 0, "calls": 10, "cpu_share": 0.5, "peak_memory_bytes": 0},
            {"worker": 1, "calls": 20, "cpu_share": 0.75, "peak_memory_bytes": 0},
        ],
        "lost_workers": [],
    }


def test_what_was_not_measured_is_none_and_no_zero() -> None:
    told = generator([Health()])
    assert told["send_error_ms"] == told["wake_up_lag_ms"] == {"p50": None, "p99": None, "max": None}
    assert told["cpu_share"] == 0.0
    assert told["kept_up"]
    assert generator([])["cpu_share"] is None


LATE = {1_000: 98, 50_000: 2}
SLOW = {20_000: 2, 0: 1}


@pytest.mark.parametrize(
    ("healths", "lost", "why"),
    [
        ([], [2], "worker 2 died"),
        ([Health(3, busy_s=10, cpu_s=9.6)], [], "worker 3 used 96% of a core; share the load between more (workers)"),
        ([Health(send_errors_us=LATE)], [], "one call in a hundred was sent 50 ms late or later"),
        ([Health(lags_us=SLOW)], [], "it woke up 20 ms late at the median: this machine has too much else to do"),
        (
            [Health(dropped=2), Health(dropped=3)],
            [],
            "5 calls were due while nobody was free to make them; allow more (max_users)",
        ),
    ],
    ids=["lost", "cpu", "late", "slow", "dropped"],
)
def test_each_reason_for_not_having_kept_up_is_told(healths: list[Health], lost: list[int], why: str) -> None:
    told = generator(healths, lost)
    assert (told["kept_up"], told["why_not"], told["lost_workers"]) == (False, why, lost)


@pytest.mark.parametrize(
    "health",
    [
        Health(busy_s=0.5, cpu_s=0.5),
        Health(busy_s=10, cpu_s=9.4),
        Health(busy_s=0, cpu_s=5),
        Health(send_errors_us={1_000: 99, 50_000: 1}),
        Health(send_errors_us={10_000: 100}),
        Health(lags_us={10_000: 3}),
        Health(lags_us={0: 2, 500_000: 1}),
    ],
    ids=["too_short_to_tell", "busy", "never_busy", "one_late", "just_in_time", "woke_just_in_time", "one_slow"],
)
def test_what_is_not_bad_enough_is_no_reason(health: Health) -> None:
    assert generator([health])["kept_up"]


@pytest.mark.parametrize("health", [Health(send_errors_us={30_000: 100}), Health(lags_us={30_000: 3})])
def test_to_be_late_by_a_tenth_of_a_call_changes_nothing(health: Health) -> None:
    assert generator([health], usual_ms=300.0)["kept_up"]
    assert not generator([health], usual_ms=299.0)["kept_up"]


def test_all_reasons_are_told_at_once_and_lateness_once() -> None:
    bad = Health(0, 1, 2.0, 2.0, 1, {50_000: 1}, {50_000: 1})
    why: Any = generator([bad], [1])["why_not"]
    assert [part[:12] for part in why.split("; ") if not part.startswith(("share", "allow"))] == [
        "worker 1 die",
        "worker 0 use",
        "one call in ",
        "1 calls were",
    ]

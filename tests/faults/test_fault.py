"""Faults: what Toxiproxy would crash on, or take in silence, never gets there."""

import pytest

from mcp_chaos.errors import UsageError
from mcp_chaos.faults.fault import Fault, ToxicSettings, fault_settings, make_fault
from mcp_chaos.faults.kinds import Bandwidth, BlackHole, DataLimit, Flap, Latency, Partition, Reset, Slicer, SlowClose

GOOD: list[tuple[type[Fault], dict[str, object]]] = [
    (Latency, {"latency_ms": 100, "jitter_ms": 10}),
    (Bandwidth, {"rate_kb_per_s": 1}),
    (BlackHole, {}),
    (Reset, {"after_ms": 0}),
    (SlowClose, {"delay_ms": 5}),
    (Slicer, {"average_size_bytes": 10, "size_variation_bytes": 9, "delay_us": 0}),
    (DataLimit, {"limit_bytes": 1}),
    (Partition, {}),
    (Flap, {"down_ms": 10, "up_ms": 10, "times": 1}),
]


@pytest.mark.parametrize(("kind", "settings"), GOOD)
def test_a_good_fault_can_be_made_and_named(kind: type[Fault], settings: dict[str, object]) -> None:
    fault = make_fault(kind, **settings)
    assert fault_settings(fault)["kind"] == fault.kind
    assert fault.title()


@pytest.mark.parametrize("kind", [kind for kind, _ in GOOD if kind.toxic_type])
def test_both_directions_are_two_toxics(kind: type[Fault]) -> None:
    settings = dict(next(s for k, s in GOOD if k is kind))
    toxics = make_fault(kind, **settings, direction="both", connection_fraction=0.5).toxics()
    assert [toxic.stream for toxic in toxics] == ["upstream", "downstream"]
    assert {toxic.toxicity for toxic in toxics} == {0.5}


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        (Slicer, {"average_size_bytes": 10, "size_variation_bytes": 10}, "Toxiproxy would crash"),
        (Slicer, {"average_size_bytes": 0}, "average_size_bytes: 0 is not between 1"),
        (Bandwidth, {"rate_kb_per_s": -1}, "rate_kb_per_s: -1 is not between 1"),
        (Bandwidth, {"rate_kb_per_s": 0}, "0 is not between 1"),
        (Latency, {"latency_ms": 10, "jitter_ms": 11}, "more than latency_ms"),
        (Latency, {"latency_ms": 1.5}, "a whole number is needed, not 1.5"),
        (Latency, {"latency_ms": True}, "a whole number is needed, not True"),
        (Latency, {"latency_ms": "100"}, "a whole number is needed, not '100'"),
        (Reset, {"after_ms": 60_000}, "is not between 0 and 2000"),
        (BlackHole, {"direction": "sideways"}, "there is no 'sideways'; there are upstream, downstream, both"),
        (BlackHole, {"connection_fraction": 0}, "is not more than 0"),
        (BlackHole, {"connection_fraction": 1.01}, "is not more than 0 and at most 1"),
        (BlackHole, {"connection_fraction": float("nan")}, "is not more than 0"),
        (BlackHole, {"proxy": ""}, "the name of a proxy is needed"),
        (Partition, {"direction": "upstream"}, "use black_hole"),
        (Partition, {"connection_fraction": 0.5}, "use black_hole"),
        (Flap, {"times": 0}, "times: 0 is not between"),
    ],
)
def test_a_bad_fault_is_refused_with_a_reason(kind: type[Fault], settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        make_fault(kind, **settings)
    assert said in str(refused.value)


def test_all_problems_of_a_fault_come_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        make_fault(Latency, latency_ms=-1, jitter_ms=-1, direction="x", connection_fraction=2, proxy="")
    assert len(refused.value.problems) == 5


def test_settings_have_toxiproxys_names_and_units() -> None:
    slicer = make_fault(Slicer, average_size_bytes=10, size_variation_bytes=2, delay_us=3)
    settings = {"average_size": 10, "size_variation": 2, "delay": 3}
    assert slicer.toxics() == [ToxicSettings("slicer", "downstream", 1.0, settings)]
    assert make_fault(Partition).toxics() == []


def test_a_title_tells_what_matters() -> None:
    fault = make_fault(Latency, latency_ms=100, connection_fraction=0.25)
    assert fault.title() == "latency downstream, latency_ms 100, 25% of connections"
    assert make_fault(Flap).title() == "flap 3 times, 500 ms down, 500 ms up"

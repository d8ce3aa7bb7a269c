"""Loads that are too short and limits that cannot be missed are told before a run; nothing that may do is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib.configuration import load_configuration

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import UsageError
from mcp_chaos.toolkit.given import read
from mcp_chaos.toolkit.preflight import check
from mcp_chaos.toolkit.timing import deadline_problems, played, short_load_problems
from mcp_chaos.verdict.thresholds import parse_thresholds
from tests.e2e.conftest import TINY, activity

EMBEDDED = Settings.embedded_by_default()
EXPERIMENTS = sorted(path for path in Path("experiments").iterdir() if path.suffix in (".yaml", ".json"))
QUICK = yaml.safe_load(Path("experiments/profiles/quick.yaml").read_text(encoding="utf-8"))["configuration"]
SPEC = yaml.safe_load(Path("experiments/profiles/spec.yaml").read_text(encoding="utf-8"))["configuration"]
RECOVERY = {"recovery": ["recovery_s <= 3"]}
LOAD: dict[str, Any] = {"duration_s": 5, "deadline_s": 1, "requests_per_user": 1, "users": 1, "cycle_s": 1}


def method_of(*more: dict[str, Any], load: dict[str, Any], fault_s: float = 10) -> list[dict[str, Any]]:
    return [
        activity("start_load", **load, after_s=2),
        activity("partition", after_s=fault_s),
        *more,
        activity("heal"),
        activity("wait_for_load"),
        activity("heal"),
    ]


def problems(method: list[dict[str, Any]], thresholds: Any = RECOVERY, **configuration: Any) -> list[str]:
    return short_load_problems(played(method, configuration), parse_thresholds(thresholds))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("numbers", [{}, QUICK, TINY, SPEC], ids=["default", "quick", "tiny", "spec"])
def test_no_experiment_that_is_shipped_is_refused(path: Path, numbers: dict[str, Any]) -> None:
    experiment = read(path)
    configuration = load_configuration(experiment["configuration"])
    used = {key: value for key, value in numbers.items() if key in configuration}
    check(experiment, {**configuration, **used}, EMBEDDED)


def test_a_load_that_ends_before_the_last_heal_is_refused() -> None:
    (problem,) = problems(method_of(load=LOAD))
    assert problem == (
        "'start load': the load ends 7 s after its start at the latest, and 'heal' heals 12 s after it at the "
        "earliest. The service may take 3 s to recover, and nobody would see it: let the load last 16 s or longer"
    )


@pytest.mark.parametrize("lane", ["faulted", "both"])
def test_a_fault_that_is_held_for_a_time_is_its_own_heal(lane: str) -> None:
    method = [activity("start_load", **LOAD, lane=lane, after_s=2), activity("partition", for_s=10)]
    (problem,) = problems(method)
    assert "'partition' heals 12 s after it at the earliest" in problem
    assert problems([activity("start_load", **LOAD, lane=lane, after_s=2), activity("partition", for_s=2)]) == []


def test_numbers_of_the_configuration_count() -> None:
    method = method_of(load={**LOAD, "duration_s": "${load_s}"})
    method[1]["pauses"] = {"after": "${outage_s}"}
    assert problems(method, load_s=5, outage_s=10)
    assert problems(method, load_s=20, outage_s=10) == []
    assert problems(method, load_s=20, outage_s=30)


@pytest.mark.parametrize(
    "load",
    [
        {**LOAD, "duration_s": 13},  # which ends at 15 s at the latest, and the recovery is due by then
        {**LOAD, "deadline_s": 5},  # its last call may be answered late
        {**LOAD, "workload": "mcp_user"},  # its clients may think
        {"shape": "burst"},
        {"shape": "constant", "duration_s": 5, "arrivals": "poisson"},
        {"shape": "ramp", "max_users": 10, "step_users": 5, "pause_s": 1},
    ],
)
def test_what_may_last_long_enough_is_not_refused(load: dict[str, Any]) -> None:
    assert problems(method_of(load=load)) == []


@pytest.mark.parametrize(
    "load",
    [
        {"shape": "constant", "duration_s": 5},
        {"shape": "ramp", "max_users": 2, "step_users": 1, "pause_s": 1, "requests_per_user": 1, "deadline_s": 1},
    ],
)
def test_other_loads_that_are_too_short_are_refused(load: dict[str, Any]) -> None:
    assert problems(method_of(load=load))


def test_without_a_limit_a_heal_or_a_load_nothing_is_known() -> None:
    short = method_of(load=LOAD)
    assert problems(short, {"recovery": ["success_fraction > 0.9"]}) == []
    assert problems(short, {"recovery": ["recovery_s <= 2 * baseline.p95_ms"]}) == []
    assert problems(short[:2]) == []
    assert problems(short[1:]) == []
    assert problems([activity("wait_for_load"), *short]) != []
    background = [{**each, "background": True} if each["name"] == "start load" else each for each in short]
    assert problems(background) == []


def test_a_load_that_is_waited_for_is_not_the_one() -> None:
    ramp = [activity("start_load", **{**LOAD, "name": "ramp"}), activity("wait_for_load", name="ramp")]
    assert problems([*ramp, *method_of(load={**LOAD, "duration_s": 20})]) == []
    assert problems([*ramp, *method_of(load=LOAD)])


def test_what_takes_its_time_by_itself_is_counted() -> None:
    load = {**LOAD, "duration_s": 10}
    assert problems(method_of(load=load, fault_s=4)) == []
    assert problems(method_of(activity("start_clients", for_s=8), load=load, fault_s=4))
    assert problems(method_of(activity("flap", down_ms=4000, up_ms=100, times=2), load=load, fault_s=4))


def test_pauses_beside_the_method_take_no_time_of_it() -> None:
    method = method_of(load=LOAD)
    method[1] = {**method[1], "background": True, "pauses": {"before": 1, "after": 10}}
    assert [one.at_s for one in played(method, {})] == [0, 3, 2, 2, 2]
    assert problems(method) == []


@pytest.mark.parametrize(
    ("threshold", "is_told"),
    [
        ("p95_ms <= 1000", True),
        ("max_ms < 1500", True),
        ("control.p95_ms <= 1000", True),
        ("p95_ms <= 999", False),
        ("p95_ms <= 3 * baseline.p95_ms + 1000", False),
        ("p95_ms - control.p95_ms <= 1000", False),
        ("p95_ms >= 1000", False),
        ("calls <= 1000", False),
        ("p95_ms <= 1 / 0", False),
    ],
)
def test_a_limit_that_no_call_can_exceed_is_told(threshold: str, is_told: bool) -> None:
    parsed = parse_thresholds({"fault": [threshold]})
    found = deadline_problems(played(method_of(load=LOAD), {}), parsed)
    said = f"fault: '{threshold}' cannot be missed: calls are given up after their deadline of 1000 ms. "
    assert found == ([said + "Lower the limit, or raise deadline_s"] if is_told else [])
    assert deadline_problems([], parsed) == []


def test_both_are_told_before_anything_is_touched() -> None:
    experiment = read(Path("experiments/network_partition.yaml"))
    experiment["extensions"][0]["thresholds"]["fault"] = ["p95_ms <= 9000"]
    configuration = {**load_configuration(experiment["configuration"]), "sustained_duration_s": 1, "partition_s": 20}
    with pytest.raises(UsageError, match="nothing was touched") as refused:
        check(experiment, configuration, EMBEDDED)
    assert len(refused.value.problems) == 2

"""What is wrong with an experiment is told before anything is touched, all at once."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib.configuration import load_configuration

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import UsageError
from mcp_chaos.toolkit.preflight import assumptions, check, check_run, missing_controls

EMBEDDED = Settings.embedded_by_default()
OWN = Settings("http://127.0.0.1:1/mcp", "streamable", "", {}, None, None, Path("runs"), 1)
OWN_TOXIPROXY = Settings("http://127.0.0.1:1/mcp", "streamable", "", {}, "http://127.0.0.1:2", None, Path("runs"), 1)


@pytest.fixture
def experiment() -> dict[str, Any]:
    return dict(yaml.safe_load(Path("experiments/network_partition.yaml").read_text(encoding="utf-8")))


def problems(experiment: dict[str, Any], settings: Settings = EMBEDDED, **changes: Any) -> list[str]:
    configuration = {**load_configuration(experiment["configuration"]), **changes}
    try:
        check(experiment, configuration, settings)
    except UsageError as refused:
        return list(refused.problems)
    return []


def action(func: str, **arguments: Any) -> dict[str, Any]:
    provider = {"type": "python", "module": "mcp_chaos.actions", "func": func, "arguments": arguments}
    return {"type": "action", "name": f"do {func}", "provider": provider}


def test_a_good_experiment_gives_its_thresholds(experiment: dict[str, Any]) -> None:
    configuration = load_configuration(experiment["configuration"])
    assert check(experiment, configuration, EMBEDDED) == experiment["extensions"][0]["thresholds"]


def test_a_load_on_both_lanes_has_two_names(experiment: dict[str, Any]) -> None:
    experiment["method"].append(action("start_load", name="sustained-control", lane="control"))
    assert problems(experiment) == ["two loads have the name 'sustained-control'; give each its own"]


def test_numbers_of_thresholds_come_from_the_configuration(experiment: dict[str, Any]) -> None:
    block = experiment["extensions"][0]
    block["thresholds"] = {"recovery": ["success_fraction >= ${least}", "p95_ms <= 2 * baseline.p95_ms + ${more_ms}"]}
    block["assumptions"] = {"fault": ["success_fraction <= ${most}"]}
    configuration = {**load_configuration(experiment["configuration"]), "least": 0.9, "more_ms": 100, "most": 0.5}
    experiment["configuration"] |= {"least": 0.9, "more_ms": 100, "most": 0.5}
    assert check(experiment, configuration, EMBEDDED) == {
        "recovery": ["success_fraction >= 0.9", "p95_ms <= 2 * baseline.p95_ms + 100"]
    }
    assert assumptions(experiment, configuration) == {"fault": ["success_fraction <= 0.5"]}
    block["thresholds"] = {"recovery": ["success_fraction >= ${nowhere}"]}
    assert "${nowhere} is not in the configuration" in problems(experiment)[0]


@pytest.mark.parametrize(
    ("func", "arguments", "said"),
    [
        ("add_latency", {}, "missing a required argument: 'latency_ms'"),
        ("add_latency", {"latency_ms": -5}, "latency_ms: -5 is not between"),
        ("add_latency", {"latency": 5}, "is no key of the arguments of add_latency; did you mean 'latency_ms'?"),
        ("add_lateness", {}, "has no 'add_lateness'; did you mean 'add_latency'?"),
        ("black_hole", {"direction": "up"}, "direction: there is no 'up'"),
        ("black_hole", {"for_s": 0}, "for_s: 0 is not between"),
        ("start_load", {"lane": "both", "users": -3}, "users: -3 is not between"),
        ("black_hole", {"proxy": "backned"}, "there is no 'backned'; there is mcp, backend"),
        ("black_hole", {"proxy": "mcp_control"}, "is never poisoned"),
        ("limit_bandwidth", {"rate_kb_per_s": -1}, "rate_kb_per_s: -1 is not between"),
        ("start_load", {"shape": "spike"}, "no load shape 'spike'"),
        ("start_load", {"users": -3, "cycle_s": "x"}, "users: -3 is not between"),
        ("start_load", {"name": "../x", "lane": "fast", "deadline_s": 0}, "name: letters, digits"),
        (
            "start_load",
            {"shape": "ramp", "users_from": "ramp"},
            "users_from is for the",
        ),
        ("start_load", {"users": "${nowhere}"}, "users: ${nowhere} is not in the configuration"),
        ("start_load", {"users": None}, "users: a value is needed"),
        ("start_load", {"shape": "constant", "rate_per_s": 0}, "rate_per_s: 0 is not between"),
        ("start_load", {"workload": "nope"}, "workload: there is no workload 'nope'"),
        ("start_load", {"workload": 3}, "workload: names or files with commas"),
        ("start_load", {"workers": 1.5}, "workers: a whole number"),
        ("start_locust", {"users": 0}, "users: 0 is not between"),
        ("start_locust", {"processes": 0}, "workers: 0 is not between"),
        ("start_locust", {"spawn_rate_per_s": 0}, "spawn_rate_per_s: 0 is not between"),
    ],
)
def test_an_activity_that_cannot_work_is_told(experiment: dict[str, Any], func: str, arguments: Any, said: str) -> None:
    experiment["method"] = [action(func, **arguments)]
    found = "\n".join(problems(experiment))
    assert said in found
    assert f"'do {func}'" in found


def test_a_tolerance_is_in_the_configuration(experiment: dict[str, Any]) -> None:
    experiment["steady-state-hypothesis"]["probes"][0]["tolerance"] = "${well}"
    (problem,) = problems(experiment)
    assert problem.endswith("tolerance: ${well} is not in the configuration")
    assert problems(experiment, well=[0.9, 1.0]) == []


def test_a_burst_that_makes_no_sense_is_told(experiment: dict[str, Any]) -> None:
    assert "requests: 0 is not between" in "\n".join(problems(experiment, burst_requests=0))


def test_a_number_that_a_profile_leaves_empty_is_told(experiment: dict[str, Any]) -> None:
    assert "max_users: a value is needed" in "\n".join(problems(experiment, ramp_max_users=None))


def test_a_backend_of_ones_own_is_reached_through_ones_own_toxiproxy(experiment: dict[str, Any]) -> None:
    experiment["method"] = [action("partition", proxy="backend")]
    assert "TOXIPROXY_URL" in problems(experiment, OWN)[0]
    assert problems(experiment, OWN_TOXIPROXY) == []


@pytest.mark.parametrize(
    ("extensions", "said"),
    [
        (None, "there are 0"),
        ([{"name": "other"}], "there are 0"),
        ([{"name": "mcp_chaos"}, {"name": "mcp_chaos"}], "there are 2"),
        (
            [{"name": "mcp_chaos", "treshold": {}}],
            "'treshold' is no key of the block 'mcp_chaos'; did you mean",
        ),
        ([{"name": "mcp_chaos"}], "none is given"),
        ([{"name": "mcp_chaos", "thresholds": {"fault": ["hung == 0"]}}], "there is no figure 'hung'"),
    ],
)
def test_thresholds_that_cannot_be_judged_are_told(experiment: dict[str, Any], extensions: Any, said: str) -> None:
    experiment["extensions"] = extensions
    assert said in "\n".join(problems(experiment))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"assumption": {}}, "'assumption' is no key of the block 'mcp_chaos'; did you mean 'assumptions'?"),
        ({"assumptions": {"faults": ["calls > 1"]}}, "assumptions: there is no window 'faults'; did you mean 'fault'?"),
        ({"assumptions": {"fault": "calls > 1"}}, "fault: a list of assumptions is needed"),
        ({"assumptions": {"fault": ["sucess_fraction <= 0.5"]}}, "there is no figure 'sucess_fraction'; did you mean"),
        ({"assumptions": ["calls > 1"]}, "assumptions: a mapping from window"),
    ],
)
def test_assumptions_are_checked_as_thresholds_are(experiment: dict[str, Any], changes: Any, said: str) -> None:
    experiment["extensions"][0] |= changes
    (problem,) = problems(experiment)
    assert said in problem


def test_assumptions_are_kept_as_written(experiment: dict[str, Any]) -> None:
    assert assumptions(experiment, {}) == {}
    experiment["extensions"][0]["assumptions"] = {"fault": ["success_fraction <= 0.5"]}
    assert problems(experiment) == []
    assert assumptions(experiment, {}) == {"fault": ["success_fraction <= 0.5"]}


def test_all_problems_come_at_once(experiment: dict[str, Any]) -> None:
    experiment["method"] = [action("add_latency"), action("nope"), action("start_load", users=-1)]
    experiment["extensions"][0]["thresholds"] = {"fault": ["a < 1", "b < 1"]}
    assert len(problems(experiment)) == 5
    with pytest.raises(UsageError, match="nothing was touched"):
        check(experiment, {}, EMBEDDED)


def test_controls_that_cannot_be_imported_are_found(experiment: dict[str, Any]) -> None:
    ghost = {"name": "ghost", "provider": {"type": "python", "module": "no.such.module"}}
    experiment["controls"].append(ghost)
    assert missing_controls(experiment) == ["ghost"]


def test_a_variable_that_nobody_has_given_is_as_if_it_were_not_there(
    experiment: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, other = "http://127.0.0.1:1/mcp", "http://127.0.0.1:2/mcp"
    experiment["configuration"]["mcp_url"] = {"type": "env", "key": "MCP_URL", "default": url}
    experiment["configuration"]["mcp_chaos_runs"] = {"type": "env", "key": "MCP_CHAOS_RUNS"}
    monkeypatch.setenv("MCP_CHAOS_RUNS", "")
    for given, aimed_at in (("", url), (other, other)):
        monkeypatch.setenv("MCP_URL", given)
        settings, _ = check_run(experiment, load_configuration(experiment["configuration"]))
        assert (settings.mcp_url, settings.runs) == (aimed_at, Path("runs"))

"""Plans: read with all their problems at once, and checked before anything is touched."""

from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml

from mcp_chaos.errors import UsageError
from mcp_chaos.gate.item import ExpectedFailure, Item
from mcp_chaos.gate.plan import Plan, Window
from mcp_chaos.gate.plan_file import make_plan
from mcp_chaos.toolkit.experiment_keys import HYPOTHESIS
from tests.e2e.conftest import EXPERIMENTS, short_experiment

BERLIN = ZoneInfo("Europe/Berlin")


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:8000/mcp"])
def test_the_shipped_plan_can_be_run_on_any_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_URL", url)
    plan = make_plan([EXPERIMENTS / "plans" / "weekly.yaml"], {})
    plan.check()
    assert plan.items[0].path.name == "network_partition.yaml"
    assert plan.items[-1].configuration == {"sustained_duration_s": 30}
    assert plan.budget_s == 1800
    assert plan.window is not None


def test_experiments_make_a_plan(tmp_path: Path) -> None:
    first, second = (written(tmp_path / name, short_experiment()) for name in ("a.yaml", "b.yml"))
    assert make_plan([first], {}).title == "a"
    plan = make_plan([first, second], {"x": 1})
    assert [item.configuration for item in plan.items] == [{"x": 1}, {"x": 1}]


def test_the_nearest_configuration_wins(tmp_path: Path) -> None:
    content = {
        "title": "nightly",
        "configuration": {"a": 1, "b": 1, "c": 1},
        "experiments": [
            {
                "path": "x.yaml",
                "configuration": {"b": 2, "c": 2},
                "expected_failure": {"reason": "issue 7", "until": date(2027, 1, 31)},
            }
        ],
    }
    plan = make_plan([written(tmp_path / "plan.yaml", content)], {"c": 3})
    assert plan.title == "nightly"
    assert plan.items[0].path == tmp_path / "x.yaml"
    assert plan.items[0].configuration == {"a": 1, "b": 2, "c": 3}
    assert plan.items[0].expected_failure == ExpectedFailure("issue 7", date(2027, 1, 31))


def test_all_problems_of_a_plan_are_told_at_once(tmp_path: Path) -> None:
    content = {"experiments": [{"file": "x"}], "budget_s": -1, "retrys": 2, "window": {"from": "25:00"}}
    with pytest.raises(UsageError) as caught:
        make_plan([written(tmp_path / "plan.yaml", content)], {})
    text = str(caught.value)
    assert len(caught.value.problems) >= 5
    for words in ("budget_s", "retrys", "window", "nothing was touched"):
        assert words in text


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ({"from": "01:00", "until": "02:00", "timezone": "Mars/Olympus"}, "there is no 'Mars/Olympus'"),
        ({"from": "01:00", "until": "02:00", "timezone": "../etc/passwd"}, "there is no"),
        ({"from": "01:00", "until": "01:00", "timezone": "UTC"}, "never open"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(tmp_path: Path, window: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_plan([written(tmp_path / "plan.yaml", {"experiments": ["x.yaml"], "window": window})], {})


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"path": "x", "untill": 1}, "experiments.0: 'untill' is no key of a plan; there are path"),
        ({"configuration": {}}, "experiments.0: 'path' is a required property"),
        (5, "experiments.0: 5 is not of type 'string', 'object'"),
        ({"path": "x", "expected_failure": {"reason": " ", "until": "2027-01-31"}}, "expected_failure.reason: ' '"),
        ({"path": "x", "expected_failure": {"reason": "y", "until": "2027-02-30"}}, "'2027-02-30' is not a 'date'"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said(tmp_path: Path, entry: Any, words: str) -> None:
    content = {"experiments": [entry], "window": {"from": "01:00", "until": "01:00", "timezone": "Mars"}}
    with pytest.raises(UsageError) as caught:
        make_plan([written(tmp_path / "plan.yaml", content)], {})
    for expected in (words, "never open", "there is no 'Mars'"):
        assert expected in str(caught.value)


def test_a_time_without_quotes_is_a_number_in_yaml(tmp_path: Path) -> None:
    text = "experiments: [x.yaml]\nwindow: {from: 22:00, until: 23:00, timezone: UTC}"
    with pytest.raises(UsageError, match=r"window.from: 1320 .* in quotes, as in \"22:00\""):
        make_plan([written(tmp_path / "plan.yaml", text)], {})


def test_a_number_that_the_experiment_does_not_have_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "x.yaml", short_experiment(configuration={"pause_s": 1}))
    entry = {"path": "x.yaml", "configuration": {"paus_s": 2, "pause_s": 2, "mcp_chaos_seed": 3}}
    plan = make_plan([written(tmp_path / "plan.yaml", {"experiments": [entry], "configuration": {"other_s": 1}})], {})
    with pytest.raises(UsageError) as caught:
        plan.check()
    assert caught.value.problems == (
        "x.yaml: the plan: the experiment does not have 'paus_s'; did you mean 'pause_s'?",
        "the plan's configuration: no experiment of this run has 'other_s'; there are pause_s",
    )


@pytest.mark.parametrize(
    "text", ["{", "a: [", "\x00", "[" * 5000, '!!int ""', "!!bool maybe", "!!timestamp x", "{? [a] : b}"]
)
def test_a_file_that_is_nothing_is_refused(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "plan.yaml", text)
    with pytest.raises(UsageError, match="neither JSON nor YAML"):
        make_plan([path], {})


def test_files_that_are_not_there_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make_plan([tmp_path / "a.yaml", tmp_path / "b.yaml"], {})
    assert len(caught.value.problems) == 2


def test_a_plan_is_given_alone(tmp_path: Path) -> None:
    plan = written(tmp_path / "plan.yaml", {"experiments": ["x.yaml"]})
    with pytest.raises(UsageError, match="Give one plan, or experiments"):
        make_plan([plan, plan], {})


def test_all_problems_of_all_experiments_are_told_at_once(tmp_path: Path) -> None:
    broken = short_experiment(extensions=[{"name": "mcp_chaos", "thresholds": {"fault": ["p95 <= 1"]}}])
    paths = [
        written(tmp_path / "a.yaml", broken),
        written(tmp_path / "b.yaml", {"title": "no method"}),
        tmp_path / "c.yaml",
        written(tmp_path / "d.yaml", {**short_experiment(), "configuration": {"x": {"type": "env", "key": "NOT_SET"}}}),
        written(tmp_path / "e.yaml", {**short_experiment(), "method": [{"type": "action"}]}),
        written(tmp_path / "f.txt", short_experiment()),
    ]
    with pytest.raises(UsageError) as caught:
        Plan("all", [Item(path) for path in paths]).check()
    text = str(caught.value)
    for words in ("a.yaml: fault: in 'p95 <= 1'", "b.yaml: it is no experiment", "c.yaml", "d.yaml", "e.yaml", "f.txt"):
        assert words in text


def test_an_experiment_without_a_hypothesis_gets_one(tmp_path: Path) -> None:
    experiment = Item(written(tmp_path / "a.yaml", short_experiment())).load()
    assert [probe["provider"]["func"] for probe in experiment[HYPOTHESIS]["probes"]] == [
        "server_answers",
        "proxy_is_clean",
    ]
    own = {**short_experiment(), HYPOTHESIS: {"title": "own", "probes": []}}
    assert Item(written(tmp_path / "b.yaml", own)).load()[HYPOTHESIS]["title"] == "own"


@pytest.mark.parametrize(
    ("window", "hour", "is_open"),
    [
        (Window(time(2), time(5), BERLIN), 1, True),  # 1 o'clock UTC is 2 in Berlin in winter
        (Window(time(2), time(5), BERLIN), 4, False),
        (Window(time(22), time(5), BERLIN), 23, True),
        (Window(time(22), time(5), BERLIN), 21, True),
        (Window(time(22), time(5), BERLIN), 12, False),
    ],
)
def test_a_window_is_of_its_time_zone(window: Window, hour: int, is_open: bool) -> None:
    assert window.is_open(datetime(2026, 11, 24, hour, tzinfo=UTC)) == is_open


@pytest.mark.parametrize(
    "change",
    [
        {"configuration": None},
        {"method": None},
        {"rollbacks": None},
        {"controls": None},
        {"steady-state-hypothesis": None},
        {"method": ["text"]},
        {"controls": ["text"]},
        {"configuration": {"x": {"type": "env", "key": "HOME", "env_var_type": "int"}}},
        {"configuration": {"x": {"type": "env"}}},
        {"runtime": {"hypothesis": {"strategy": "sometimes"}}},
    ],
)
def test_whatever_an_experiment_holds_is_a_problem_at_most(tmp_path: Path, change: dict[str, Any]) -> None:
    path = written(tmp_path / "x.yaml", {**short_experiment(), **change})
    problems = Item(path).problems()
    assert all(problem.startswith("x.yaml: ") for problem in problems)
    assert problems or change in ({"configuration": None}, {"rollbacks": None}, {"steady-state-hypothesis": None})


def test_a_plan_that_contains_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains itself"):
        make_plan([written(tmp_path / "plan.yaml", "experiments: &x [*x]")], {})


def test_a_budget_is_a_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="budget_s"):
        make_plan([written(tmp_path / "plan.yaml", "experiments: [x.yaml]\nbudget_s: .nan")], {})

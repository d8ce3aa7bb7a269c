"""What a gate's result is called, exits with, and looks like in each format."""

import json
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import validate
from junitparser import JUnitXml, Properties

from mcp_chaos.gate import formats
from mcp_chaos.gate.item import ExpectedFailure
from mcp_chaos.gate.plan import Plan
from mcp_chaos.gate.result import Attempt, Comparison, ExperimentResult, GateResult

TODAY = datetime(2026, 11, 24, 12)
KNOWN = ExpectedFailure("the pool is not renewed, issue 7", date(2026, 11, 24))
OVER = ExpectedFailure("the pool is not renewed, issue 7", date(2026, 11, 23))


def attempt(verdict: str, *reasons: str) -> Attempt:
    return Attempt(verdict, reasons or (f"it is {verdict}",), 1.5, Path("runs/1"), f"In plain words, it is {verdict}")


def an_experiment(
    *verdicts: str, expected: ExpectedFailure | None = None, title: str = "cut", **more: object
) -> ExperimentResult:
    return ExperimentResult(
        title,
        Path("cut.yaml"),
        [attempt(verdict) for verdict in verdicts],
        TODAY,
        "there was no time",
        expected,
        **more,  # type: ignore[arg-type]
    )


def a_gate(*experiments: ExperimentResult) -> GateResult:
    return GateResult(Plan("nightly", []), experiments, 3.25, datetime(2026, 11, 24, tzinfo=UTC))


@pytest.mark.parametrize(
    ("experiment", "outcome", "exit_code", "reason"),
    [
        (an_experiment("pass"), "pass", 0, "it is pass"),
        (an_experiment("fail"), "fail", 1, "it is fail"),
        (an_experiment("inconclusive", "pass"), "pass", 0, "it is pass"),
        (an_experiment("inconclusive", "inconclusive"), "inconclusive", 3, "it is inconclusive"),
        (an_experiment("aborted"), "aborted", 4, "it is aborted"),
        (an_experiment("error"), "error", 5, "it is error"),
        (an_experiment(), "not run", 3, "there was no time"),
        (an_experiment("fail", expected=KNOWN), "expected failure", 0, "known until 2026-11-24: the pool"),
        (
            an_experiment("fail", expected=OVER),
            "fail",
            1,
            "In plain words, it is fail; it was put up with until 2026-11-23",
        ),
        (an_experiment("pass", expected=KNOWN), "stale", 1, "take the expected failure out of the plan"),
        (an_experiment("pass", expected=OVER), "stale", 1, "take the expected failure out of the plan"),
        (an_experiment("inconclusive", expected=KNOWN), "inconclusive", 3, "it is inconclusive"),
        (an_experiment("pass", compared=Comparison(["p50 is 20 % worse"])), "regressed", 1, "p50 is 20 % worse"),
        (an_experiment("pass", compared=Comparison((), ["another machine"])), "inconclusive", 3, "another machine"),
        (an_experiment("fail", compared=Comparison((), ["another machine"])), "fail", 1, "it is fail"),
    ],
)
def test_the_outcome_of_an_experiment(experiment: ExperimentResult, outcome: str, exit_code: int, reason: str) -> None:
    assert experiment.outcome == outcome
    assert experiment.exit_code == exit_code
    assert reason in experiment.reasons[0]


@pytest.mark.parametrize(
    ("verdicts", "exit_code", "outcome"),
    [
        (["pass", "pass"], 0, "pass"),
        (["pass", "inconclusive", "fail"], 1, "fail"),
        (["pass", "inconclusive"], 3, "inconclusive"),
        (["fail", "aborted", "inconclusive"], 4, "aborted"),
        (["fail", "error", "aborted"], 5, "error"),
    ],
)
def test_the_gravest_is_the_answer(verdicts: list[str], exit_code: int, outcome: str) -> None:
    result = a_gate(*(an_experiment(verdict, title=f"the {verdict} one") for verdict in verdicts))
    assert result.exit_code == exit_code
    assert result.outcome == outcome
    if exit_code:
        assert result.sentence == f"the {outcome} one: In plain words, it is {outcome}"


def test_a_pass_says_of_how_many() -> None:
    result = a_gate(an_experiment("pass"), an_experiment("fail", expected=KNOWN))
    assert result.sentence == "1 of 2 experiments passed, 1 failed as expected"


ALL = a_gate(
    an_experiment("pass", title="<sound> & 'well'"),
    an_experiment("fail", title="broken\x00 | *table*"),
    an_experiment("inconclusive", "inconclusive"),
    an_experiment("fail", expected=KNOWN),
    an_experiment("pass", expected=KNOWN),
    an_experiment("error"),
    an_experiment(),
)


def test_json_is_as_its_schema_says() -> None:
    schema = json.loads((files("mcp_chaos.gate") / "result.schema.json").read_text())
    as_json = json.loads(json.dumps(ALL.as_dict()))
    validate(as_json, schema)
    assert as_json["experiments"][3]["expected_failure"] == {"reason": KNOWN.reason, "until": "2026-11-24"}


def test_junit_is_read_by_junitparser() -> None:
    xml = JUnitXml.fromstring(formats.as_junit(ALL).encode())
    (suite,) = list(xml)
    kinds = [[type(result).__name__ for result in case.result] for case in suite]
    assert kinds == [[], ["Failure"], ["Error"], ["Skipped"], ["Failure"], ["Error"], ["Skipped"]]
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 2, 2, 2)
    cases = list(suite)
    assert cases[0].name == "<sound> & 'well'"
    assert len({case.name for case in cases}) == 7
    assert "\x00" not in cases[1].name
    assert cases[2].time == 3.0
    assert cases[1].result[0].text == "it is fail"
    assert {found.name: found.value for found in cases[0].child(Properties)} == {"outcome": "pass", "run": "runs/1"}


def test_markdown_shows_titles_as_they_are() -> None:
    text = formats.as_markdown(ALL)
    assert "## ❌ mcp-chaos gate: error" in text
    assert "&lt;sound&gt; &amp; 'well'" in text
    assert r"\| \*table\*" in text
    assert "<details>" in text  # the stale one has two reasons
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 9


def test_text_is_for_people() -> None:
    text = formats.as_text(ALL, colour=False, width=120)
    assert "Gate: error" in text
    assert "expected failure" in text
    assert "\x1b[" not in text
    assert "\x1b[" in formats.as_text(ALL, colour=True, width=120)

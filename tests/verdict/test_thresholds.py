"""Thresholds: parsed strictly, all problems at once, compared with what was measured."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_chaos.errors import UsageError
from mcp_chaos.history.calls import CALL
from mcp_chaos.verdict.judgement import Judgement, number
from mcp_chaos.verdict.measure import WINDOWS, Figures, figures
from mcp_chaos.verdict.thresholds import Threshold, parse_thresholds
from tests.histories import calls_of, every

NONE = figures(np.empty(0, dtype=CALL), 0)
SOME = figures(calls_of(every(0.1, 0, 10)), 10, recovery_s=0.5)


def measured(**windows: Figures) -> dict[str, dict[str, Figures]]:
    return {w: {"faulted": windows.get(w, SOME), "control": windows.get(f"{w}_control", NONE)} for w in WINDOWS}


@pytest.mark.parametrize(
    "text",
    [
        "success_fraction >= 0.99",
        "hung_calls == 0",
        "p95_ms <= 2 * baseline.p95_ms + 50",
        "p95_ms - baseline.p95_ms < 5",
        "calls / 2 > -1",
        "recovery.recovery_s <= 5",
        "baseline.faulted.p50_ms != 0",
    ],
)
def test_a_threshold_that_holds_is_met(text: str) -> None:
    judgement = Threshold.parse("fault", text).judge(measured())
    assert judgement.outcome == "met", judgement


def test_a_missed_threshold_says_window_and_numbers() -> None:
    judgement = Threshold.parse("recovery", "p95_ms <= 2 * 1").judge(measured())
    assert judgement.outcome == "missed"
    assert judgement.sentence() == "recovery: 'p95_ms <= 2 * 1' was missed, at 10 against 2"


@pytest.mark.parametrize(
    "text",
    ["control.p95_ms < 5", "p95_ms / (hung_calls) < 5", "control.hung_calls == 0", "p95_ms * 9e14 * 9e14 * 9e14 < 1"],
)
def test_without_data_nothing_is_judged(text: str) -> None:
    judgement = Threshold.parse("fault", text).judge(measured())
    assert judgement.outcome == "no_data"
    assert "cannot be judged" in judgement.sentence()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sucess_fraction >= 0.9", "did you mean 'success_fraction'"),
        ("recovery_s <= 3", "'recovery_s' is never measured: a recovery comes after a heal"),
        ("p95_ms <= baseline.recovery_s", "'baseline.recovery_s' is never measured"),
        ("p95 < 3", "there is no figure 'p95'"),
        ("basline.p95_ms < 3", "did you mean 'baseline'"),
        ("a.b.c.d < 3", "is not window.lane.figure"),
        ("fault.baseline.p95_ms < 3", "is not window.lane.figure"),
        ("p95_ms", "not one comparison"),
        ("1 < p95_ms < 3", "not one comparison"),
        ("p95_ms in 3", "not one comparison"),
        ("p95_ms <", "is not a comparison"),
        ("1 < 2", "names no figure"),
        ("p95_ms < 'x'", "'x' is not a number"),
        ("p95_ms < True", "True is not a number"),
        ("__import__('os').system('x') < 3", "is not a number, a figure"),
        ("p95_ms ** 9 < 3", "is not a number, a figure"),
        ("(" * 140 + "p95_ms" + ")" * 140 + " <", "is not a comparison"),
        (5, "is a text of at most"),
        ("1e999 > p95_ms", "is not a number that can be compared"),
        ("p95_ms <= 1" + "0" * 200, "is not a number that can be compared"),
        ("a." * 800 + "p95_ms <= 1", "is a text of at most"),
    ],
)
def test_what_is_no_threshold_is_refused_with_a_reason(text: object, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        Threshold.parse("fault", text)
    assert said in str(refused.value)


@given(st.text(max_size=40))
def test_any_text_is_a_threshold_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        Threshold.parse("fault", text).judge(measured())


def test_all_problems_come_at_once() -> None:
    block = {"faul": ["p95_ms < 1"], "fault": "p95_ms < 1", "recovery": ["sucess_fraction > 1", "nope < 1"]}
    with pytest.raises(UsageError) as refused:
        parse_thresholds(block)
    assert len(refused.value.problems) == 4


@pytest.mark.parametrize("block", [None, [], "x", {}, {"fault": []}])
def test_no_threshold_at_all_is_refused(block: object) -> None:
    with pytest.raises(UsageError, match="thresholds"):
        parse_thresholds(block)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (float("inf"), "never"),
        (0.98765, "0.9877"),
        (12, "12"),
        (999.96, "1000"),
        (12346.4, "12346"),
        (-1e6, "-1000000"),
    ],
)
def test_figures_are_written_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("text", "deadline_ms", "outcome"),
    [
        ("p95_ms <= 3 * baseline.p95_ms + 200", 230.0, "inconclusive"),
        ("p95_ms <= 3 * baseline.p95_ms + 200", 231.0, "met"),
        ("p95_ms - baseline.p95_ms <= 2000", 2000.0, "inconclusive"),
        ("max_ms < 2000", 2000.0, "met"),
        ("control.p95_ms > 5", 1.0, "met"),
        ("hung_calls == 0", 1.0, "met"),
        ("calls <= 2000", 1.0, "met"),
        ("p95_ms <= 5", 1.0, "missed"),
    ],
)
def test_a_limit_that_no_call_can_reach_before_its_deadline_decides_nothing(
    text: str, deadline_ms: float, outcome: str
) -> None:
    judgement = Threshold.parse("fault", text).judge(measured(fault_control=SOME), None, deadline_ms)
    assert judgement.outcome == outcome
    if outcome == "inconclusive":
        assert f"until their deadline of {deadline_ms:g} ms would meet it too" in judgement.sentence()


@pytest.mark.parametrize(
    ("left", "right", "said"),
    [
        (0.989999, 0.99, "at 0.989999"),
        (0.5, 0.99, "at 0.5"),
        (1000.4, 1000.2, "at 1000.4 against 1000.2"),
        (0.98996, 0.99, "at 0.98996"),
        (0.1 + 0.2, 0.3, "at 0.30000000000000004 against 0.29999999999999999"),
    ],
)
def test_measured_and_limit_are_told_apart(left: float, right: float, said: str) -> None:
    judgement = Judgement("recovery", "success_fraction >= 0.99", "missed", left, right)
    assert judgement.sentence().endswith(f"was missed, {said}")

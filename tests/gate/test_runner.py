"""What becomes of attempts that end in odd ways; the real ones are in tests/e2e/test_gate.py."""

import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from chaoslib.exceptions import InterruptExecution

from mcp_chaos import control
from mcp_chaos.errors import (
    EXIT_ABORTED,
    EXIT_INCONCLUSIVE,
    EXIT_INTERNAL,
    EXIT_PASS,
    EXIT_USAGE,
    HistoryError,
    UsageError,
)
from mcp_chaos.gate import runner
from mcp_chaos.gate.item import Item
from mcp_chaos.gate.plan import Plan, Window
from mcp_chaos.gate.result import Comparison, GateResult
from mcp_chaos.gate.runner import run_plan
from tests.e2e.conftest import short_experiment

PASSED = {"run": "runs/1", "verdict": "pass", "headline": "Well", "reasons": ["well"]}
FAILED = {**PASSED, "verdict": "fail", "headline": "Badly", "reasons": ["badly"]}

Attempt = Callable[[], None]
Try = Callable[..., GateResult]


def ends(outcome: dict[str, Any] | None, error: BaseException | None = None, *, signalled: bool = False) -> Attempt:
    """An attempt whose control says this, and which raises that."""

    def attempt() -> None:
        control._outcome, control._signalled = outcome, signalled
        if error is not None:
            raise error

    return attempt


@pytest.fixture
def attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Try:
    """Runs a plan of one experiment whose attempts end as given, the last again and again."""
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(short_experiment(title="x")))

    def run(*planned: Attempt, judge: Any = lambda title, attempt: Comparison(), **plan: Any) -> GateResult:
        left = list(planned)
        monkeypatch.setattr(runner, "_run", lambda item: (left.pop(0) if len(left) > 1 else left[0])())
        return run_plan(Plan("x", [Item(path), Item(path)][: plan.pop("items", 1)], **plan), print, judge)

    return run


def refused(code: int) -> Attempt:
    return ends({"refused": "not today", "exit_code": code})


@pytest.mark.parametrize(
    ("attempt", "outcome", "reason"),
    [
        (ends(PASSED), "pass", "well"),
        (ends(FAILED), "fail", "badly"),
        (refused(EXIT_INCONCLUSIVE), "inconclusive", "not today"),
        (refused(EXIT_USAGE), "inconclusive", "not today"),
        (refused(EXIT_INTERNAL), "error", "not today"),
        (ends(None), "error", "Chaos Toolkit did not run it"),
        (ends(None, RuntimeError("oh")), "error", "oh"),
        (ends(None, UsageError("the file has gone")), "inconclusive", "the file has gone"),
        (ends(None, KeyboardInterrupt()), "aborted", "it was interrupted"),
        (ends(PASSED, InterruptExecution("x")), "aborted", "it was interrupted"),
        (ends(PASSED, signalled=True), "aborted", "it was interrupted"),
        (ends({"refused": "x", "exit_code": EXIT_INCONCLUSIVE}, signalled=True), "aborted", "it was interrupted"),
        (ends(PASSED, RuntimeError("after the verdict")), "pass", "well"),
    ],
)
def test_an_attempt_ends(attempts: Try, attempt: Attempt, outcome: str, reason: str) -> None:
    (experiment,) = attempts(attempt, retries=0).experiments
    assert experiment.outcome == outcome
    assert reason in experiment.reasons[0]


def test_an_interrupted_verdict_keeps_its_run(attempts: Try) -> None:
    (experiment,) = attempts(ends(FAILED, signalled=True)).experiments
    assert experiment.run == Path("runs/1")
    assert experiment.reasons == ["it was interrupted", "badly"]


def test_nothing_follows_an_interruption(attempts: Try) -> None:
    result = attempts(ends(PASSED, signalled=True), items=2, retries=3)
    assert [experiment.outcome for experiment in result.experiments] == ["aborted", "not run"]
    assert [len(experiment.attempts) for experiment in result.experiments] == [1, 0]


def test_only_what_proves_nothing_is_tried_again(attempts: Try) -> None:
    result = attempts(refused(EXIT_INCONCLUSIVE), ends(FAILED), retries=3)
    assert [attempt.verdict for attempt in result.experiments[0].attempts] == ["inconclusive", "fail"]


def test_a_comparison_that_says_nothing_is_tried_again(attempts: Try) -> None:
    comparisons = [Comparison((), ["the machine was busy"]), Comparison(["worse"])]
    result = attempts(ends(PASSED), judge=lambda title, attempt: comparisons.pop(0), retries=2)
    assert result.experiments[0].outcome == "regressed"
    assert len(result.experiments[0].attempts) == 2


@pytest.mark.parametrize(
    ("outcome", "verdict", "first"),
    [
        (None, "inconclusive", "the budget of 0.4 s ended it"),
        ({"refused": "interrupted", "exit_code": 4}, "inconclusive", "the budget of 0.4 s ended it"),
        ({**PASSED, "verdict": "inconclusive"}, "inconclusive", "the budget of 0.4 s ended it"),
        (FAILED, "fail", "badly"),
        (PASSED, "pass", "well"),
    ],
)
def test_the_budget_is_not_a_person(attempts: Try, outcome: Any, verdict: str, first: str) -> None:
    rang = threading.Event()

    def attempt() -> None:
        before = signal.signal(signal.SIGTERM, lambda *_: rang.set())
        try:
            assert rang.wait(10)
        finally:
            signal.signal(signal.SIGTERM, before)
        ends(outcome, InterruptExecution("SIGTERM"), signalled=True)()

    (experiment,) = attempts(attempt, budget_s=0.4).experiments
    assert (experiment.outcome, experiment.reasons[0]) == (verdict, first)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_runs_costs_no_result(attempts: Try, number: signal.Signals) -> None:
    def judge(title: str, attempt: Any) -> Any:
        signal.raise_signal(number)
        return Comparison()

    result = attempts(ends(PASSED), judge=judge, items=2)
    assert [experiment.outcome for experiment in result.experiments] == ["pass", "aborted"]
    assert result.exit_code == EXIT_ABORTED
    assert result.experiments[1].reasons == ["it was interrupted before it began"]
    assert attempts(ends(PASSED), judge=judge).exit_code == EXIT_PASS  # all was done


def test_a_signal_before_chaos_toolkit_takes_it_ends_the_run(attempts: Try) -> None:
    def attempt() -> None:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("it went on")

    (experiment,) = attempts(attempt).experiments
    assert (experiment.outcome, experiment.reasons) == ("aborted", ["it was interrupted"])


def test_a_signal_that_came_just_before_the_run_ends_it_too(attempts: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_chaos.control.forget", lambda: signal.raise_signal(signal.SIGINT))
    (experiment,) = attempts(ends(PASSED)).experiments
    assert experiment.outcome == "aborted"


def test_a_signal_while_a_run_is_prepared_is_no_reason_to_try_again(attempts: Try) -> None:
    (experiment,) = attempts(refused(EXIT_ABORTED), ends(PASSED), retries=3).experiments
    assert (experiment.outcome, len(experiment.attempts)) == ("aborted", 1)


def test_a_budget_that_ends_with_the_run_takes_nothing_of_it(attempts: Try) -> None:
    rang = threading.Event()

    def attempt() -> None:
        before = signal.signal(signal.SIGTERM, lambda *_: rang.set())
        assert rang.wait(10)
        signal.signal(signal.SIGTERM, before)
        ends(FAILED)()

    result = attempts(attempt, budget_s=1.0, items=2)
    assert [experiment.outcome for experiment in result.experiments] == ["fail", "not run"]


@pytest.mark.parametrize(
    ("error", "said"), [(HistoryError("x is damaged"), "x is damaged"), (ZeroDivisionError("/"), "a bug of mcp_chaos")]
)
def test_a_comparison_that_breaks_costs_no_result(attempts: Try, error: Exception, said: str) -> None:
    def judge(title: str, attempt: Any) -> Any:
        raise error

    (experiment,) = attempts(ends(PASSED), judge=judge, retries=0).experiments
    assert experiment.outcome == "inconclusive"
    assert said in experiment.reasons[0]


def test_outside_of_its_window_nothing_begins(attempts: Try) -> None:
    now = datetime.now(UTC)
    hour = timedelta(hours=1)

    def window(start: datetime, end: datetime) -> Window:
        return Window(start.time(), end.time(), ZoneInfo("UTC"))

    (closed,) = attempts(ends(PASSED), window=window(now + hour, now + 2 * hour)).experiments
    assert closed.outcome == "not run"
    assert "it is not the time for it" in closed.reasons[0]
    (opened,) = attempts(ends(PASSED), window=window(now - hour, now + hour)).experiments
    assert opened.outcome == "pass"


def test_the_handlers_are_given_back(attempts: Try) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    attempts(ends(PASSED))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before

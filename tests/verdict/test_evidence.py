"""The reasons of a verdict tell why calls did not succeed, in the server's own first words."""

from dataclasses import replace

import pytest

from mcp_chaos.history.bad_answers import BadAnswer
from mcp_chaos.history.calls import Lane, Reason
from mcp_chaos.verdict.evidence import causes_of_all
from mcp_chaos.verdict.judge import FAIL, judge
from tests.histories import S, a_history, calls_of, every, fault

REFUSED = [*every(0.1, 0, 3), *every(0.2, 5, 12, reason=Reason.HTTP_ERROR), *every(1, 5.1, 12, reason=Reason.TIMED_OUT)]
NO_SESSION = BadAnswer(6 * S, 6 * S + 1, Lane.FAULTED, Reason.HTTP_ERROR, "now", 400, -32000, "No valid session")


def reasons_of(*answers: BadAnswer) -> tuple[str, str]:
    history = replace(a_history(REFUSED, fault(3, 5)), bad_answers={"sustained": list(answers)})
    verdict = judge(history)
    assert verdict.verdict == FAIL
    return verdict.reasons[0], verdict.headline


def test_a_missed_share_of_successes_says_why() -> None:
    later = replace(NO_SESSION, done_ns=7 * S, text="another")
    reason, headline = reasons_of(later, NO_SESSION)
    said = "HTTP 400 'No valid session' (35), timed out (7)"
    assert reason == f"recovery: 'success_fraction >= 0.99' was missed, at 0; 0 of 42 calls succeeded: {said}"
    assert headline.endswith(f"and 99 % were asked for: {said}")


@pytest.mark.parametrize(
    "changes",
    [
        {"intended_ns": 1 * S, "done_ns": 2 * S},  # of the baseline
        {"intended_ns": 4 * S},  # it was under way in the fault
        {"lane": Lane.CONTROL},
        {"reason": Reason.RPC_ERROR},
    ],
)
def test_what_was_said_to_other_calls_is_not_taken_for_it(changes: dict[str, object]) -> None:
    reason, _ = reasons_of(replace(NO_SESSION, **changes))  # type: ignore[arg-type]
    assert reason.endswith("0 of 42 calls succeeded: http error (35), timed out (7)")


def test_a_long_text_is_cut_and_rare_reasons_are_counted_together() -> None:
    kinds = [Reason.RPC_ERROR, Reason.RESET, Reason.CLOSED, Reason.REFUSED, Reason.TOOL_ERROR, Reason.WRONG_ANSWER]
    rows = [*every(0.1, 0, 3), *(row for kind in kinds for row in every(1, 5, 12, reason=kind))]
    first = replace(NO_SESSION, reason=Reason.RPC_ERROR, status=200, text="x" * 300)
    history = replace(a_history(rows, fault(3, 5)), bad_answers={"sustained": [first]})
    cut = f"JSON-RPC error -32000 '{'x' * 120}…' (7)"
    others = "tool error (7), wrong answer (7), connection refused (7), others (14)"
    assert judge(history).reasons[0].endswith(f"0 of 42 calls succeeded: {cut}, {others}")


def test_a_load_tells_why_its_calls_did_not_succeed() -> None:
    calls = calls_of(
        [*every(1, 0, 3), *every(1, 3, 5, reason=Reason.HTTP_ERROR), *every(1, 5, 8, reason=Reason.TIMED_OUT)]
    )
    said = "3 of 8 calls succeeded: timed out (3), HTTP 400 'No valid session' (2)"
    assert causes_of_all(calls, [NO_SESSION]) == said
    assert causes_of_all(calls_of(every(1, 0, 3)), []) == ""


def test_a_bad_answer_is_kept_as_json() -> None:
    assert BadAnswer.from_json(NO_SESSION.to_json()) == NO_SESSION


@pytest.mark.parametrize(
    "changes",
    [
        {"lane": "x"},
        {"reason": 3},
        {"status": "400"},
        {"text": None},
        {"done_ns": -1},
        {"intended_ns": True},
        {"more": 1},
    ],
)
def test_what_is_no_bad_answer_is_not_taken_for_one(changes: dict[str, object]) -> None:
    assert BadAnswer.from_json({**NO_SESSION.to_json(), **changes}) is None

"""Pure: why calls did not succeed, in words: how many for each reason, and what the server said first."""

from collections.abc import Mapping, Sequence

import numpy as np

from mcp_chaos.history.bad_answers import BadAnswer
from mcp_chaos.history.calls import LANES, Calls, Reason
from mcp_chaos.history.history import History
from mcp_chaos.verdict.measure import Measured

_MOST_REASONS = 4
_MOST_SHOWN = 120


def shares(measured: Measured, window: str, lane: str) -> str:
    """How many calls of a window and lane succeeded."""
    found = measured.figures[window][lane]
    return f"{found.ok_calls} of {found.calls} calls succeeded"


def causes(measured: Measured, history: History, window: str, lane: str) -> str:
    """Why the other calls of a window and lane did not succeed, the commonest reason first; empty when all did."""
    counts = {r: n for r, n in measured.samples[window][lane].reasons.items() if not r.record.succeeded}
    answers = [answer for load in measured.loads for answer in history.bad_answers.get(load, [])]
    return _told(counts, _within(answers, measured, window, lane))


def causes_of_all(calls: Calls, answers: Sequence[BadAnswer]) -> str:
    """Why some calls of a load did not succeed, and how many did; empty when all did.

    Args:
        calls: of the load, all of them.
        answers: the first bad answers to them.
    """
    found = np.bincount(calls["reason"], minlength=len(Reason))
    counts = {reason: int(found[reason]) for reason in Reason if found[reason] and not reason.record.succeeded}
    ok = len(calls) - sum(counts.values())
    return f"{ok} of {len(calls)} calls succeeded: {_told(counts, answers)}" if counts else ""


def _told(counts: Mapping[Reason, int], answers: Sequence[BadAnswer]) -> str:
    """How many calls did not succeed for each reason, the commonest first, each with the first answer of its kind."""
    mine = sorted(answers, key=lambda answer: answer.done_ns)
    said = []
    for reason in sorted(counts, key=lambda reason: -counts[reason])[:_MOST_REASONS]:
        first = next((answer for answer in mine if answer.reason is reason), None)
        said.append(f"{_cause(reason, first)} ({counts[reason]})")
    others = sum(counts.values()) - sum(sorted(counts.values(), reverse=True)[:_MOST_REASONS])
    return ", ".join([*said, *([f"others ({others})"] if others else [])])


def _within(answers: Sequence[BadAnswer], measured: Measured, window: str, lane: str) -> list[BadAnswer]:
    """The answers to calls of a window and lane, as ``metrics`` has it: what a fault touched is the fault's."""
    faults = measured.windows["fault"]
    found = []
    for answer in answers:
        touched = any(answer.intended_ns < f.end_ns and answer.done_ns > f.start_ns for f in faults)
        inside = any(s.start_ns <= answer.intended_ns < s.end_ns for s in measured.windows[window])
        if answer.lane is LANES[lane] and (touched if window == "fault" else inside and not touched):
            found.append(answer)
    return found


def _cause(reason: Reason, first: BadAnswer | None) -> str:
    name = reason.words
    if first is None:
        return name
    if first.status is not None and first.status != 200:
        name = f"HTTP {first.status}"
    if first.code is not None and reason is Reason.RPC_ERROR:
        name = f"JSON-RPC error {first.code}"
    text = first.text if len(first.text) <= _MOST_SHOWN else first.text[:_MOST_SHOWN] + "…"
    return f"{name} '{text}'" if text else name

"""Pure: who was served first after a heal: a session from before it, a fresh one, a bystander that no fault touched.

An old session that is served last tells of state that is kept of it; a fresh one that is, of something that all new
clients need; a bystander, of what all of them share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.history.calls import Calls, Lane, Outcome, Reason
from mcp_chaos.history.events import Event
from mcp_chaos.verdict.spans import Segment

_NS_PER_S = 1e9


@dataclass(frozen=True)
class FirstGoodCalls:
    """How long after a heal the first good call of each kind of client was answered; ``None`` where none is seen.

    Args:
        healed_ns: when the heal was done.
        old_session_s: of a session of the faulted lane from before the heal.
        fresh_session_s: of one that was opened after it.
        bystander_s: of the control lane.
    """

    healed_ns: int
    old_session_s: float | None
    fresh_session_s: float | None
    bystander_s: float | None


def recovery_order(calls: Calls, recoveries: Sequence[Segment], events: Sequence[Event]) -> list[FirstGoodCalls]:
    """The first good calls after each heal.

    Args:
        calls: of the judged loads.
        recoveries: the times after heals.
        events: of the run, for the fresh sessions that were opened after heals.
    """
    opened = [(event.at_ns, float(event.data["took_s"])) for event in events if event.kind == "fresh_session_served"]
    result = []
    for segment in recoveries:
        after = calls[(calls["intended_ns"] >= segment.start_ns) & (calls["intended_ns"] < segment.end_ns)]
        faulted = after[after["lane"] == Lane.FAULTED]
        is_old = _of_old_sessions(faulted, calls[calls["intended_ns"] < segment.start_ns])
        answered = [took_s for at_ns, took_s in opened if segment.start_ns <= at_ns < segment.end_ns]
        fresh = [_first_s(faulted[~is_old], segment), *answered]
        result.append(
            FirstGoodCalls(
                segment.start_ns,
                _first_s(faulted[is_old], segment),
                min((time_s for time_s in fresh if time_s is not None), default=None),
                _first_s(after[after["lane"] == Lane.CONTROL], segment),
            )
        )
    return result


def _of_old_sessions(after: Calls, before: Calls) -> NDArray[np.bool_]:
    """Which calls after a heal were made in sessions from before it: of users who had one, and did not open another."""
    had = before[(before["outcome"] == Outcome.OK) & (before["lane"] == Lane.FAULTED)]
    users = {(int(worker), int(user)) for worker, user in zip(had["worker"], had["user"], strict=True)}
    order = np.argsort(after["intended_ns"], kind="stable")
    result = np.zeros(len(after), dtype=bool)
    for index in order:
        who = int(after["worker"][index]), int(after["user"][index])
        if after["reason"][index] in (Reason.SESSION_LOST, Reason.SESSION_RENEWED):
            users.discard(who)
        result[index] = who in users
    return result


def _first_s(calls: Calls, segment: Segment) -> float | None:
    """How long after the beginning of a segment the first good call was answered."""
    good = calls[calls["outcome"] == Outcome.OK]
    return float(good["done_ns"].min() - segment.start_ns) / _NS_PER_S if len(good) else None

"""Small histories made by hand, for the pure rooms."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from mcp_chaos.history.calls import CALL, Calls, Lane, Outcome, Reason
from mcp_chaos.history.events import Event
from mcp_chaos.history.formats import FORMAT
from mcp_chaos.history.history import History

S = 1_000_000_000
MS = 1_000_000


def call(
    at_s: float,
    reason: Reason = Reason.OK,
    took_ms: float = 10,
    lane: Lane = Lane.FAULTED,
    *,
    user: int = 0,
    opening_ms: float = 0,
) -> tuple[Any, ...]:
    """One call: intended at ``at_s``, and sent when a session was open, ``opening_ms`` later."""
    at_ns = round(at_s * S)
    outcome = Outcome.OK if reason.record.succeeded else Outcome.FAIL
    outcome = Outcome.INFO if reason in (Reason.TIMED_OUT, Reason.CLOSED) else outcome
    sent_ns = at_ns + round(opening_ms * MS)
    return (at_ns, sent_ns, at_ns + round(took_ms * MS), 100, 0, user, 0, reason, outcome, lane, 0)


def calls_of(rows: Iterable[tuple[Any, ...]]) -> Calls:
    """The array of calls, in the order they ended."""
    return np.sort(np.array(list(rows), dtype=CALL), order="done_ns")


def every(step_s: float, start_s: float, end_s: float, **kind: Any) -> list[tuple[Any, ...]]:
    """Calls at a steady rate."""
    return [call(at_s, **kind) for at_s in np.arange(start_s, end_s, step_s)]


def event(at_s: float, kind: str, **data: Any) -> Event:
    """An event."""
    return Event(round(at_s * S), kind, data)


def fault(
    start_s: float,
    end_s: float | None,
    fault_id: str = "fault-1",
    proof: str | None = "felt",
    asked_s: float | None = None,
) -> list[Event]:
    """The events of one fault; its heal is done at ``end_s``."""
    events = [
        event(start_s, "fault_injecting", fault_id=fault_id, name="partition", proxy="mcp", toxics=[]),
        event(start_s, "fault_injected", fault_id=fault_id),
    ]
    if proof:
        events.append(event(start_s + 0.01, "fault_proven", fault_id=fault_id, proof=proof))
    else:
        events.append(event(start_s + 0.01, "fault_unproven", fault_id=fault_id, doubt="nothing happened"))
    if asked_s is not None:
        events.append(event(asked_s, "fault_healing", fault_id=fault_id))
    if end_s is not None:
        events.append(event(end_s, "fault_healed", fault_id=fault_id))
    return events


def a_history(
    calls: Iterable[tuple[Any, ...]],
    events: Iterable[Event],
    thresholds: dict[str, list[str]] | None = None,
    load: tuple[float, float] = (0, 12),
) -> History:
    """A history of one load, whose method was played to its end."""
    start_s, end_s = load
    known = [
        event(start_s, "load_started", load="sustained", lane="faulted", judged=True),
        event(end_s, "load_ended", load="sustained"),
        event(end_s, "method_ended"),
        *events,
    ]
    manifest = {"format": FORMAT, "thresholds": thresholds or {"recovery": ["success_fraction >= 0.99"]}}
    return History(manifest, sorted(known, key=lambda e: e.at_ns), {"sustained": calls_of(calls)})

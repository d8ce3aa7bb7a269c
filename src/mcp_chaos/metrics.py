"""Pure: from a history to rates, quantiles and recovery times, per window (``spans.py``) and lane.

Only loads that were running when a fault came are judged; a ramp that went before, to find the capacity, is not.
A call that was under way at any moment of a fault belongs to the fault: one in flight when the network was cut is
not the baseline's failure, and one that is stuck in a fault and ends after it is not the recovery's. Every other
call belongs to the window in which it was *intended*. A call that our own way of healing cut off, which makes the
proxy anew, belongs to none.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.history import History
from mcp_chaos.records import CALL, Calls, Lane, Outcome, Reason
from mcp_chaos.spans import WINDOWS as WINDOWS
from mcp_chaos.spans import FaultSpan, Segment, fault_spans, load_spans, times_until_healed, windows

STEADY_FRACTION = 0.95
STEADY_FOR_NS = 1_000_000_000
_CUT_OFF = (
    Reason.CLOSED,
    Reason.RESET,
    Reason.REFUSED,
    Reason.TOOL_ERROR,
    Reason.RPC_ERROR,
    Reason.HTTP_ERROR,
    Reason.SERVER_ERROR,
)
"""What becomes of a call whose connection is cut, or the connection of the server to its backend."""

_NS_PER_MS = 1e6
_NS_PER_S = 1e9


@dataclass(frozen=True)
class Figures:
    """What a set of calls looked like. Latencies are of successful calls, from their intended send, in milliseconds.

    ``None`` stands for a figure that the calls do not give: no call, or no successful one.
    """

    calls: int
    ok_calls: int
    failed_calls: int
    unknown_calls: int
    hung_calls: int
    rate_limited_calls: int
    sessions_lost: int
    wrong_answers: int
    success_fraction: float | None
    calls_per_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    recovery_s: float | None = None
    disturbed_calls: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self)


FIGURE_NAMES = tuple(Figures.__dataclass_fields__)


def end_of(history: History) -> int:
    """The last moment the history knows of, in nanoseconds."""
    moments = [event.at_ns for event in history.events]
    moments += [int(calls["done_ns"].max()) for calls in history.calls.values() if len(calls)]
    return max(moments, default=0)


def judged_loads(history: History, faults: Sequence[FaultSpan]) -> dict[str, Segment]:
    """The loads that were running when a fault came, with their times."""
    spans = load_spans(history.events, end_of(history))
    return {
        name: span
        for name, span in spans.items()
        if any(fault.span.start_ns < span.end_ns and fault.span.end_ns > span.start_ns for fault in faults)
    }


def within(calls: Calls, segments: Sequence[Segment]) -> Calls:
    """The calls that were intended in any of the segments."""
    mask = np.zeros(len(calls), dtype=bool)
    for segment in segments:
        mask |= (calls["intended_ns"] >= segment.start_ns) & (calls["intended_ns"] < segment.end_ns)
    return calls[mask]


def touched_by(calls: Calls, faults: Sequence[Segment]) -> NDArray[np.bool_]:
    """Which calls were under way at any moment of a fault."""
    mask = np.zeros(len(calls), dtype=bool)
    for fault in faults:
        mask |= (calls["intended_ns"] < fault.end_ns) & (calls["done_ns"] > fault.start_ns)
    return mask


def cut_by_heals(calls: Calls, faults: Sequence[FaultSpan]) -> NDArray[np.bool_]:
    """Which calls failed because they were under way when a proxy was made anew to heal it."""
    heals = [fault.heal for fault in faults if fault.connections_cut]
    mask: NDArray[np.bool_] = touched_by(calls, heals) & np.isin(calls["reason"], _CUT_OFF)
    return mask


def without_first(calls: Calls) -> Calls:
    """The calls without the first one of each user, which carries its handshake."""
    ordered = calls[np.argsort(calls["intended_ns"], kind="stable")]
    _, first = np.unique(ordered[["worker", "user"]], return_index=True)
    kept: Calls = np.delete(ordered, first)
    return kept


def disturbed(calls: Calls, struck: Sequence[Segment], usual: Calls) -> int:
    """How many calls felt a fault: in flight when it struck, not successful, or slower than 99 % of the usual ones.

    Args:
        calls: that were under way at any moment of a fault.
        struck: the times of the faults.
        usual: the calls of the baseline; the first of each user, slower by its handshake, is passed over.
    """
    mask: NDArray[np.bool_] = calls["outcome"] != Outcome.OK
    for fault in struck:
        mask |= (calls["intended_ns"] < fault.start_ns) & (calls["done_ns"] > fault.start_ns)
    later = without_first(usual)
    ok = later[later["outcome"] == Outcome.OK]
    if len(ok):
        mask |= calls["done_ns"] - calls["intended_ns"] > np.quantile(ok["done_ns"] - ok["intended_ns"], 0.99)
    return int(np.count_nonzero(mask))


def figures(calls: Calls, seconds: float, recovery_s: float | None = None) -> Figures:
    """The figures of some calls made in ``seconds`` of time.

    Percentiles are by linear interpolation between order statistics (numpy's default, type 7 of Hyndman and Fan 1996).
    """
    ok = calls[calls["outcome"] == Outcome.OK]
    latencies_ms = (ok["done_ns"] - ok["intended_ns"]) / _NS_PER_MS
    p50, p95, p99, longest = (
        [float(q) for q in np.quantile(latencies_ms, [0.5, 0.95, 0.99, 1.0])] if len(ok) else [None] * 4
    )
    reasons = np.bincount(calls["reason"], minlength=len(Reason))
    return Figures(
        calls=len(calls),
        ok_calls=len(ok),
        failed_calls=int(np.count_nonzero(calls["outcome"] == Outcome.FAIL)),
        unknown_calls=int(np.count_nonzero(calls["outcome"] == Outcome.INFO)),
        hung_calls=int(reasons[Reason.TIMED_OUT]),
        rate_limited_calls=int(reasons[Reason.RATE_LIMITED]),
        sessions_lost=int(reasons[Reason.SESSION_LOST]),
        wrong_answers=int(reasons[Reason.WRONG_ANSWER] + reasons[Reason.WRONG_CONTENT]),
        success_fraction=len(ok) / len(calls) if len(calls) else None,
        calls_per_s=len(calls) / seconds if seconds > 0 else None,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=longest,
        recovery_s=recovery_s,
    )


def recovery_s(calls: Calls, segment: Segment) -> float | None:
    """How long after a heal the service was steady again.

    Steady is the first successful call from which on, for one whole second of the segment, at least 95 % of the calls
    intended succeed; the time runs until that call was answered. It runs from the first call after the heal, not from
    the heal itself: before that nobody asked, and a load that comes in cycles would be measured by its pauses.

    Args:
        calls: of one lane.
        segment: from the heal to the next fault or the end.

    Returns:
        Seconds; infinity when calls were made and none of them was steady; ``None`` when the segment does not show it,
        because no call has a whole second of it before it.
    """
    after = within(calls, [segment])
    after = after[np.argsort(after["intended_ns"], kind="stable")]
    intended = after["intended_ns"]
    seen_out = intended + STEADY_FOR_NS <= segment.end_ns
    if not seen_out.any():
        return None
    ok = (after["outcome"] == Outcome.OK).astype(np.int64)
    so_far = np.concatenate(([0], np.cumsum(ok)))
    ends = np.searchsorted(intended, intended + STEADY_FOR_NS, side="left")
    first = np.arange(len(after))
    fraction = (so_far[ends] - so_far[first]) / (ends - first)
    steady = np.flatnonzero((ok == 1) & (fraction >= STEADY_FRACTION) & seen_out)
    if not len(steady):
        return math.inf
    return float(after["done_ns"][steady[0]] - intended[0]) / _NS_PER_S


def slowest(recoveries: Sequence[float | None]) -> float | None:
    """The longest of several recoveries: infinity when one never came, ``None`` when none can be seen.

    One that its stretch of time does not show is passed over.
    """
    return max((time for time in recoveries if time is not None), default=None)


@dataclass(frozen=True)
class Measured:
    """A history, measured.

    Args:
        faults: in the order they came.
        loads: the judged loads and their times.
        windows: the stretches of time of each window.
        figures: by window, then lane (``faulted``, ``control``).
        unseen_heals: how many heals were not followed by calls that show whether the service recovered.
        recoveries: by lane, how long after each heal the service was steady again, as ``recovery_s`` gives it.
    """

    faults: list[FaultSpan]
    loads: dict[str, Segment]
    windows: dict[str, list[Segment]]
    figures: dict[str, dict[str, Figures]]
    recoveries: dict[str, list[float | None]]
    unseen_heals: int

    @property
    def never_steady(self) -> bool:
        """Whether some heal was followed by calls that show that the service never became steady again.

        The ``recovery_s`` of the figures is then ``None`` too, as JSON has no infinity.
        """
        return self.slowest_recovery_s("faulted") == math.inf

    def slowest_recovery_s(self, lane: str) -> float | None:
        """The slowest recovery that calls of a lane show; infinity when one never came, ``None`` when none is seen."""
        return slowest(self.recoveries[lane])


def measure(history: History) -> Measured:
    """Measure a history: windows from the events, figures per window and lane from the calls."""
    faults = fault_spans(history.events, end_of(history))
    loads = judged_loads(history, faults)
    spans = windows(faults, list(loads.values()))
    mine = [history.calls[name] for name in loads if name in history.calls]
    calls = np.concatenate(mine) if mine else np.empty(0, dtype=CALL)
    touched = touched_by(calls, spans["fault"])
    by_window = {window: within(calls[~touched], segments) for window, segments in spans.items()}
    # Calls that our own way of healing cut off felt the fault, and say nothing about the server.
    by_window["fault"] = calls[touched & ~cut_by_heals(calls, faults)]
    by_lane = {window: {lane: _of(lane, found) for lane in Lane} for window, found in by_window.items()}
    recoveries = {
        lane: [recovery_s(by_lane["recovery"][lane], segment) for segment in spans["recovery"]] for lane in Lane
    }
    measured = {
        window: {
            lane.name.lower(): figures(
                by_lane[window][lane],
                sum(segment.seconds for segment in segments),
                _finite(slowest(recoveries[lane])) if window == "recovery" else None,
            )
            for lane in Lane
        }
        for window, segments in spans.items()
    }
    for lane in Lane if spans["fault"] else ():
        felt = disturbed(_of(lane, calls[touched]), spans["fault"], by_lane["baseline"][lane])
        name = lane.name.lower()
        measured["fault"][name] = replace(measured["fault"][name], disturbed_calls=felt)
    seen = sum(time is not None for time in recoveries[Lane.FAULTED])
    return Measured(
        faults,
        loads,
        spans,
        measured,
        recoveries={lane.name.lower(): times for lane, times in recoveries.items()},
        unseen_heals=len(times_until_healed(faults, list(loads.values()))) - seen,
    )


def _of(lane: Lane, calls: Calls) -> Calls:
    of_lane: Calls = calls[calls["lane"] == lane]
    return of_lane


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

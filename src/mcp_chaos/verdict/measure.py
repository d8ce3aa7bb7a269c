"""Pure: from a history to rates, quantiles and recovery times, per window (``spans.py``) and lane.

Only loads that were running when a fault came are judged; a ramp that went before, to find the capacity, is not.
A call that was under way at any moment of a fault belongs to the fault: one in flight when the network was cut is
not the baseline's failure, and one that is stuck in a fault and ends after it is not the recovery's. Every other
call belongs to the window in which it was *intended*. A call that our own way of healing cut off, which makes the
proxy anew, belongs to none. The recovery's figures begin, after each heal, with the first call from which on the
service was steady again: the time until then is ``recovery_s``, and is not held against the service twice.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.history.calls import CALL, Calls, Lane, Outcome, Reason
from mcp_chaos.history.history import History
from mcp_chaos.verdict.figure import Measurable
from mcp_chaos.verdict.figures import FIGURES as FIGURES
from mcp_chaos.verdict.figures import Figures as Figures
from mcp_chaos.verdict.figures import figures as figures
from mcp_chaos.verdict.latencies import opening
from mcp_chaos.verdict.spans import WINDOWS as WINDOWS
from mcp_chaos.verdict.spans import FaultSpan, Segment, fault_spans, load_spans, times_until_healed, windows

STEADY_FRACTION = 0.95
STEADY_FOR_NS = 1_000_000_000
_NS_PER_S = 1e9
_QUANTILES = (0.5, 0.9)


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


def measured_calls(history: History, loads: Iterable[str]) -> Calls:
    """The calls of some loads, one load after the other."""
    mine = [history.calls[name] for name in loads if name in history.calls]
    return np.concatenate(mine) if mine else np.empty(0, dtype=CALL)


def within(calls: Calls, segments: Sequence[Segment]) -> Calls:
    """The calls that were intended in any of the segments."""
    found: Calls = calls[is_within(calls, segments)]
    return found


def is_within(calls: Calls, segments: Sequence[Segment]) -> NDArray[np.bool_]:
    """Which calls were intended in any of the segments."""
    mask = np.zeros(len(calls), dtype=bool)
    for segment in segments:
        mask |= (calls["intended_ns"] >= segment.start_ns) & (calls["intended_ns"] < segment.end_ns)
    return mask


def touched_by(calls: Calls, faults: Sequence[Segment]) -> NDArray[np.bool_]:
    """Which calls were under way at any moment of a fault."""
    mask = np.zeros(len(calls), dtype=bool)
    for fault in faults:
        mask |= (calls["intended_ns"] < fault.end_ns) & (calls["done_ns"] > fault.start_ns)
    return mask


def cut_by_heals(calls: Calls, faults: Sequence[FaultSpan]) -> NDArray[np.bool_]:
    """Which calls failed because they were under way when a proxy was made anew to heal it."""
    heals = [fault.heal for fault in faults if fault.connections_cut]
    reasons = [reason for reason in Reason if reason.record.follows_cuts]
    mask: NDArray[np.bool_] = touched_by(calls, heals) & np.isin(calls["reason"], reasons)
    return mask


def without_first(calls: Calls) -> Calls:
    """The calls without the first one of each user, which carries its handshake."""
    ordered = calls[np.argsort(calls["intended_ns"], kind="stable")]
    _, first = np.unique(ordered[["worker", "user"]], return_index=True)
    kept: Calls = np.delete(ordered, first)
    return kept


def disturbed(calls: Calls, struck: Sequence[Segment], usual: Calls) -> int:
    """How many calls felt a fault: in flight when it struck, not successful, or slower than the usual ones.

    Slower are those beyond the 99th percentile of the usual calls, or as many as exceed a lower one beyond what chance
    gives (two standard deviations of the binomial distribution): a busy host makes the 99th percentile of a few calls
    as slow as a fault.

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
    others = calls[~mask]
    slower = _slower(others["done_ns"] - others["intended_ns"], ok["done_ns"] - ok["intended_ns"]) if len(ok) else 0
    return int(np.count_nonzero(mask)) + slower


def _slower(times_ns: NDArray[np.int64], usual_ns: NDArray[np.int64]) -> int:
    """How many times exceed the usual ones beyond chance."""
    found = float(np.count_nonzero(times_ns > np.quantile(usual_ns, 0.99)))
    for quantile in _QUANTILES:
        expected = (1 - quantile) * len(times_ns)
        exceeding = np.count_nonzero(times_ns > np.quantile(usual_ns, quantile))
        found = max(found, float(exceeding) - expected - 2 * math.sqrt(quantile * expected))
    return math.floor(found)


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
    return _recovery(calls, segment)[0]


def _recovery(calls: Calls, segment: Segment) -> tuple[float | None, int]:
    """The recovery time, and when the call was intended from which on the service was steady, else the heal."""
    after = within(calls, [segment])
    after = after[after["reason"] != Reason.RATE_LIMITED]  # a limit that was reached says nothing of recovery
    after = after[np.argsort(after["intended_ns"], kind="stable")]
    intended = after["intended_ns"]
    seen_out = intended + STEADY_FOR_NS <= segment.end_ns
    if not seen_out.any():
        return None, segment.start_ns
    ok = (after["outcome"] == Outcome.OK).astype(np.int64)
    so_far = np.concatenate(([0], np.cumsum(ok)))
    ends = np.searchsorted(intended, intended + STEADY_FOR_NS, side="left")
    first = np.arange(len(after))
    fraction = (so_far[ends] - so_far[first]) / (ends - first)
    steady = np.flatnonzero((ok == 1) & (fraction >= STEADY_FRACTION) & seen_out)
    if not len(steady):
        return math.inf, segment.start_ns
    return float(after["done_ns"][steady[0]] - intended[0]) / _NS_PER_S, int(intended[steady[0]])


def slowest(recoveries: Sequence[float | None]) -> float | None:
    """The longest of several recoveries: infinity when one never came, ``None`` when none can be seen.

    One that its stretch of time does not show is passed over.
    """
    return max((time for time in recoveries if time is not None), default=None)


@dataclass(frozen=True)
class Sample:
    """The calls of one window and lane.

    Args:
        figures: of them.
        latencies_ms: of those that succeeded, sorted.
        reasons: how many ended for each reason.
    """

    figures: Figures
    latencies_ms: NDArray[np.float64]
    reasons: dict[Reason, int]

    @classmethod
    def of(cls, made: Measurable) -> "Sample":
        """A sample from its calls."""
        reasons = {reason: count for reason in Reason if (count := made.ended(reason))}
        return cls(Figures.of(made), made.latencies_ms, reasons)


@dataclass(frozen=True)
class Measured:
    """A history, measured.

    Args:
        faults: in the order they came.
        loads: the judged loads and their times.
        windows: the stretches of time of each window.
        samples: by window, then lane (``faulted``, ``control``).
        unseen_heals: how many heals were not followed by calls that show whether the service recovered.
        recoveries: by lane, how long after each heal the service was steady again, as ``recovery_s`` gives it.
    """

    faults: list[FaultSpan]
    loads: dict[str, Segment]
    windows: dict[str, list[Segment]]
    samples: dict[str, dict[str, Sample]]
    recoveries: dict[str, list[float | None]]
    unseen_heals: int

    @property
    def figures(self) -> dict[str, dict[str, Figures]]:
        """The figures by window, then lane."""
        return {
            window: {lane: sample.figures for lane, sample in found.items()} for window, found in self.samples.items()
        }

    @property
    def latencies_ms(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """The sorted latencies of successful calls by window, then lane."""
        return {w: {lane: sample.latencies_ms for lane, sample in found.items()} for w, found in self.samples.items()}

    @property
    def never_steady(self) -> bool:
        """Whether some heal was followed by calls that show that the service never became steady again.

        The ``recovery_s`` of the figures is then ``None`` too, as JSON has no infinity.
        """
        return self.slowest_recovery_s("faulted") == math.inf

    def value(self, window: str, lane: str, name: str) -> float | None:
        """A figure by its name; infinity for a recovery that never came, ``None`` where it was not measured."""
        found = self.figures[window][lane]
        if (window, name) == ("recovery", "recovery_s"):
            return self.slowest_recovery_s(lane)
        value: float | None = found[name] if found.calls else None
        return value

    def slowest_recovery_s(self, lane: str) -> float | None:
        """The slowest recovery that calls of a lane show; infinity when one never came, ``None`` when none is seen."""
        return slowest(self.recoveries[lane])


def measure(history: History) -> Measured:
    """Measure a history: windows from the events, figures per window and lane from the calls."""
    faults = fault_spans(history.events, end_of(history))
    loads = judged_loads(history, faults)
    spans = windows(faults, list(loads.values()))
    mine = [history.calls[name] for name in loads if name in history.calls]
    calls = measured_calls(history, loads)
    opened = np.concatenate([opening(part) for part in mine]) if mine else np.zeros(0, dtype=bool)
    touched = touched_by(calls, spans["fault"])
    # Calls that our own way of healing cut off felt the fault, and say nothing about the server.
    met = touched & ~cut_by_heals(calls, faults)
    recoveries = {
        lane: [_recovery(calls[~touched & (calls["lane"] == lane)], segment) for segment in spans["recovery"]]
        for lane in Lane
    }
    times = {lane.name.lower(): [time for time, _ in found] for lane, found in recoveries.items()}
    samples: dict[str, dict[str, Sample]] = {window: {} for window in WINDOWS}
    for window, segments in spans.items():
        for lane in Lane:
            kept = segments if window != "recovery" else _from_steady_on(segments, recoveries[lane])
            mask = met if window == "fault" else ~touched & is_within(calls, kept)
            mask = mask & (calls["lane"] == lane)
            slow = _finite(slowest(times[lane.name.lower()])) if window == "recovery" else None
            seconds = sum(segment.seconds for segment in kept)
            felt = None
            if window == "fault" and segments:
                usual = calls[~touched & is_within(calls, spans["baseline"]) & (calls["lane"] == lane)]
                felt = disturbed(calls[touched & (calls["lane"] == lane)], segments, usual)
            made = Measurable(calls[mask], seconds, slow, opened[mask], felt)
            samples[window][lane.name.lower()] = Sample.of(made)
    return Measured(
        faults,
        loads,
        spans,
        samples,
        recoveries=times,
        unseen_heals=len(times_until_healed(faults, list(loads.values())))
        - sum(time is not None for time in times["faulted"]),
    )


def _from_steady_on(segments: Sequence[Segment], found: Sequence[tuple[float | None, int]]) -> list[Segment]:
    """What is left of the times after heals from the moments of recovery on."""
    return [Segment(from_ns, segment.end_ns) for segment, (_, from_ns) in zip(segments, found, strict=True)]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

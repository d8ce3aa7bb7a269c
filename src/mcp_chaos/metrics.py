"""Pure: from a history to windows, rates, quantiles and recovery times.

The windows of a run follow from its events:

    baseline   from the start of the judged load to the first fault
    fault      while a fault was in place (several faults: all their times together)
    recovery   after each heal, until the next fault or the end of the load

Only loads that were running when a fault came are judged; a ramp that went before, to find the capacity, is not.
A call that was under way at any moment of a fault belongs to the fault: one in flight when the network was cut is
not the baseline's failure, and one that is stuck in a fault and ends after it is not the recovery's. Every other
call belongs to the window in which it was *intended*. The recovery's figures begin, after each heal, with the first
call from which on the service was steady again: the time until then is ``recovery_s``, and is not held against the
service twice.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.figures import FIGURE_NAMES as FIGURE_NAMES
from mcp_chaos.figures import Figures as Figures
from mcp_chaos.figures import figures as figures
from mcp_chaos.figures import latencies_ms, opening
from mcp_chaos.history import History
from mcp_chaos.records import CALL, Calls, Event, Lane, Outcome, Reason

WINDOWS = ("baseline", "fault", "recovery")
STEADY_FRACTION = 0.95
STEADY_FOR_NS = 1_000_000_000
_NS_PER_S = 1e9


@dataclass(frozen=True)
class Segment:
    """A stretch of time, ``start_ns`` included, ``end_ns`` not."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return max(0, self.end_ns - self.start_ns) / _NS_PER_S


@dataclass(frozen=True)
class FaultSpan:
    """One fault from the events: what, where, from when to when, and whether it was proven.

    Args:
        fault_id: ties its events together.
        name: for people, for example ``latency 200 ms (downstream)``.
        proxy: the proxy or part it was put on.
        span: from before it was put in place until after it was healed.
        healed: whether it was healed before the run ended.
        proof: what the canary felt, or ``None`` when nothing was proven.
        doubt: why it is not proven.
    """

    fault_id: str
    name: str
    proxy: str
    span: Segment
    healed: bool
    proof: str | None
    doubt: str | None


def fault_spans(events: Sequence[Event], end_ns: int) -> list[FaultSpan]:
    """The faults of a run in the order they came. One that was never healed lasts until ``end_ns``."""
    by_fault: dict[str, list[Event]] = {}
    for event in events:
        by_fault.setdefault(str(event.data.get("fault_id")), []).append(event)
    spans = []
    for event in events:
        if event.kind == "fault_injecting":
            after = [e for e in by_fault[event.data["fault_id"]] if e.at_ns >= event.at_ns]
            if not any(e.kind == "fault_refused" for e in after):
                spans.append(_fault_span(event, after, end_ns))
    return spans


def _fault_span(event: Event, after: Sequence[Event], end_ns: int) -> FaultSpan:
    healed, proven, doubted = (
        next((e for e in after if e.kind == kind), None) for kind in ("fault_healed", "fault_proven", "fault_unproven")
    )
    return FaultSpan(
        fault_id=event.data["fault_id"],
        name=event.data["name"],
        proxy=event.data["proxy"],
        span=Segment(event.at_ns, healed.at_ns if healed else end_ns),
        healed=healed is not None,
        proof=proven.data["proof"] if proven else None,
        doubt=doubted.data["doubt"] if doubted else None,
    )


def merged(segments: Iterable[Segment]) -> list[Segment]:
    """The same time without overlaps, in order."""
    result: list[Segment] = []
    for segment in sorted(segments, key=lambda s: s.start_ns):
        if result and segment.start_ns <= result[-1].end_ns:
            result[-1] = Segment(result[-1].start_ns, max(result[-1].end_ns, segment.end_ns))
        else:
            result.append(segment)
    return result


def load_spans(events: Sequence[Event], end_ns: int) -> dict[str, Segment]:
    """From when to when each load that is to be judged ran; one whose end was not seen ran until ``end_ns``."""
    spans: dict[str, Segment] = {}
    for event in events:
        if event.kind == "load_started" and event.data["judged"]:
            spans[event.data["load"]] = Segment(event.at_ns, end_ns)
        elif event.kind == "load_ended" and event.data["load"] in spans:
            spans[event.data["load"]] = Segment(spans[event.data["load"]].start_ns, event.at_ns)
    return spans


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


def windows(faults: Sequence[Segment], loads: Sequence[Segment]) -> dict[str, list[Segment]]:
    """The stretches of time of each window, all within the time of the loads; all empty when no load met a fault."""
    result: dict[str, list[Segment]] = {name: [] for name in WINDOWS}
    if not loads:
        return result
    start_ns, end_ns = min(load.start_ns for load in loads), max(load.end_ns for load in loads)
    clipped = [Segment(max(f.start_ns, start_ns), min(f.end_ns, end_ns)) for f in faults]
    result["fault"] = merged(f for f in clipped if f.start_ns < f.end_ns)
    if result["fault"] and result["fault"][0].start_ns > start_ns:
        result["baseline"] = [Segment(start_ns, result["fault"][0].start_ns)]
    healthy_until = [segment.start_ns for segment in result["fault"][1:]] + [end_ns]
    for segment, until_ns in zip(result["fault"], healthy_until, strict=False):
        if until_ns > segment.end_ns:
            result["recovery"].append(Segment(segment.end_ns, until_ns))
    return result


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
    def of(cls, calls: Calls, opened: NDArray[np.bool_], seconds: float, recovery_s: float | None) -> "Sample":
        """A sample from its calls; see ``figures``."""
        counts = np.bincount(calls["reason"], minlength=len(Reason))
        reasons = {reason: int(counts[reason]) for reason in Reason if counts[reason]}
        return cls(figures(calls, seconds, recovery_s, opened), latencies_ms(calls, opened), reasons)


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

    def slowest_recovery_s(self, lane: str) -> float | None:
        """The slowest recovery that calls of a lane show; infinity when one never came, ``None`` when none is seen."""
        return slowest(self.recoveries[lane])


def measure(history: History) -> Measured:
    """Measure a history: windows from the events, figures per window and lane from the calls."""
    faults = fault_spans(history.events, end_of(history))
    loads = judged_loads(history, faults)
    spans = windows([fault.span for fault in faults], list(loads.values()))
    mine = [history.calls[name] for name in loads if name in history.calls]
    calls = np.concatenate(mine) if mine else np.empty(0, dtype=CALL)
    opened = np.concatenate([opening(part) for part in mine]) if mine else np.zeros(0, dtype=bool)
    touched = touched_by(calls, spans["fault"])
    recoveries = {
        lane: [_recovery(calls[~touched & (calls["lane"] == lane)], segment) for segment in spans["recovery"]]
        for lane in Lane
    }
    times = {lane.name.lower(): [time for time, _ in found] for lane, found in recoveries.items()}
    samples: dict[str, dict[str, Sample]] = {window: {} for window in WINDOWS}
    for window, segments in spans.items():
        for lane in Lane:
            kept = segments if window != "recovery" else _from_steady_on(segments, recoveries[lane])
            mask = touched if window == "fault" else ~touched & is_within(calls, kept)
            mask = mask & (calls["lane"] == lane)
            slow = _finite(slowest(times[lane.name.lower()])) if window == "recovery" else None
            seconds = sum(segment.seconds for segment in kept)
            samples[window][lane.name.lower()] = Sample.of(calls[mask], opened[mask], seconds, slow)
    return Measured(
        faults,
        loads,
        spans,
        samples,
        recoveries=times,
        unseen_heals=len(spans["fault"]) - sum(time is not None for time in times["faulted"]),
    )


def _from_steady_on(segments: Sequence[Segment], found: Sequence[tuple[float | None, int]]) -> list[Segment]:
    """What is left of the times after heals from the moments of recovery on."""
    return [Segment(from_ns, segment.end_ns) for segment, (_, from_ns) in zip(segments, found, strict=True)]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None

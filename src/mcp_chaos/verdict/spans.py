"""Pure: from the events of a run to stretches of time: its faults, its loads, and the windows that follow from them.

    baseline   from the start of the judged load to the first fault
    fault      from the injection of a fault until its heal was asked for (several faults: all their times together)
    recovery   after each heal was done, until the next fault or the end of the load

What lies between the asking for a heal and its end belongs to no window: Toxiproxy takes its time over some heals, and
nobody can tell whether the fault is still there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mcp_chaos.history.events import Event

WINDOWS = ("baseline", "fault", "recovery")
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
        span: from before it was put in place until its heal was asked for.
        healed: whether it was healed before the run ended.
        proof: what the canary felt, or ``None`` when nothing was proven.
        doubt: why it is not proven.
        healed_ns: when the heal was done; ``None`` when that was the moment in which it was asked for.
        connections_cut: whether its heal cut the connections of everybody.
        disturbed: whether somebody else took it away, or changed its proxy.
    """

    fault_id: str
    name: str
    proxy: str
    span: Segment
    healed: bool
    proof: str | None
    doubt: str | None
    healed_ns: int | None = None
    connections_cut: bool = False
    disturbed: bool = False

    @property
    def until_healed(self) -> Segment:
        """From before it was put in place until after its heal was done."""
        return Segment(self.span.start_ns, self.span.end_ns if self.healed_ns is None else self.healed_ns)

    @property
    def heal(self) -> Segment:
        """From the moment in which its heal was asked for until it was done."""
        return Segment(self.span.end_ns, self.until_healed.end_ns)

    @property
    def on_network(self) -> bool:
        """Whether it is a fault of the network, rather than of a process or of clients."""
        return not self.fault_id.startswith(("process-", "clients-"))


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
    healed, asked, proven, doubted = (
        next((e for e in after if e.kind == kind), None)
        for kind in ("fault_healed", "fault_healing", "fault_proven", "fault_unproven")
    )
    done_ns = healed.at_ns if healed else end_ns
    # An id may be used again; the heal of another fault is not this one's.
    asked_ns = min(asked.at_ns, done_ns) if asked else done_ns
    return FaultSpan(
        fault_id=event.data["fault_id"],
        name=event.data["name"],
        proxy=event.data["proxy"],
        span=Segment(event.at_ns, asked_ns),
        healed=healed is not None,
        proof=proven.data["proof"] if proven else None,
        doubt=doubted.data["doubt"] if doubted else None,
        healed_ns=done_ns if asked_ns < done_ns else None,
        connections_cut=healed is not None and bool(healed.data.get("connections_cut")),
        disturbed=any(e.kind == "fault_disturbed" and e.at_ns <= done_ns for e in after),
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


def windows(faults: Sequence[FaultSpan], loads: Sequence[Segment]) -> dict[str, list[Segment]]:
    """The stretches of time of each window, all within the time of the loads; all empty when no load met a fault."""
    result: dict[str, list[Segment]] = {name: [] for name in WINDOWS}
    if not loads:
        return result
    whole = _whole(loads)
    result["fault"] = _clipped((fault.span for fault in faults), whole)
    unwell = times_until_healed(faults, loads)
    if unwell and unwell[0].start_ns > whole.start_ns:
        result["baseline"] = [Segment(whole.start_ns, unwell[0].start_ns)]
    healthy_until = [segment.start_ns for segment in unwell[1:]] + [whole.end_ns]
    for segment, until_ns in zip(unwell, healthy_until, strict=False):
        if until_ns > segment.end_ns:
            result["recovery"].append(Segment(segment.end_ns, until_ns))
    return result


def times_until_healed(faults: Sequence[FaultSpan], loads: Sequence[Segment]) -> list[Segment]:
    """From each injection to the end of its heal, without overlaps, within the time of the loads."""
    return _clipped((fault.until_healed for fault in faults), _whole(loads)) if loads else []


def _whole(loads: Sequence[Segment]) -> Segment:
    return Segment(min(load.start_ns for load in loads), max(load.end_ns for load in loads))


def _clipped(segments: Iterable[Segment], whole: Segment) -> list[Segment]:
    """What of some segments lies within another, without overlaps."""
    clipped = [Segment(max(s.start_ns, whole.start_ns), min(s.end_ns, whole.end_ns)) for s in segments]
    return merged(s for s in clipped if s.start_ns < s.end_ns)

"""Pure: a measured history and its thresholds → pass, fail or inconclusive, with reasons.

Worst wins, fail over inconclusive over pass: evidence of a weakness stays evidence when the rest of the run proves
nothing. With three exceptions, in which it is told among the reasons and does not fail the run: when some fault was not
felt, what the run shows from the first fault on may not be about the faults; when the load's generator or the machine
could not keep up, nothing that was measured is the server's alone; and when Toxiproxy or another part of the run went
away, or somebody else disturbed a fault, what was missed from then on may be missed for want of it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mcp_chaos.history.calls import LANES
from mcp_chaos.history.event_kinds import excuses
from mcp_chaos.history.events import Event
from mcp_chaos.history.history import History
from mcp_chaos.verdict.doubts import (
    fault_doubts,
    load_doubts,
    lost_calls,
    missed_assumptions,
    never_there,
    troubles,
    undecided,
    unfinished,
)
from mcp_chaos.verdict.evidence import causes, shares
from mcp_chaos.verdict.judgement import Judgement
from mcp_chaos.verdict.measure import Measured, measure, measured_calls
from mcp_chaos.verdict.recovery_order import FirstGoodCalls, recovery_order
from mcp_chaos.verdict.server import SERVER, ServerMeasured, measure_server, with_lies
from mcp_chaos.verdict.thresholds import AllFigures, Threshold, parse_assumptions, parse_thresholds
from mcp_chaos.verdict.wording import plainly

PASS = "pass"
FAIL = "fail"
INCONCLUSIVE = "inconclusive"

_MS_PER_S = 1000.0
_MAX_LABELS = 4
_USUAL_RECOVERY_S = 5.0
_NOT_STEADY = "the service was not steady before the first fault"


@dataclass(frozen=True)
class _Miss:
    """Something that was missed: its name, and the sentence that tells it with its figures."""

    label: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """The answer of a run.

    Args:
        verdict: ``pass``, ``fail`` or ``inconclusive``.
        reasons: sentences, the gravest first; never empty.
        measured: what it rests on.
        judgements: one per threshold, in the order written.
        advice: what the experiment says to do about a *fail*; empty for any other verdict.
        server: what is known of the server besides its answers; ``None`` where the run was not judged.
        order: who was served first after each heal.
    """

    verdict: str
    reasons: list[str]
    measured: Measured
    judgements: list[Judgement]
    advice: str = ""
    server: ServerMeasured | None = None
    order: list[FirstGoodCalls] = field(default_factory=list)

    @property
    def headline(self) -> str:
        """The gravest reason in plain words, for people who see nothing else."""
        first = self.reasons[0]
        said = next((plainly(j) for j in self.judgements if j.outcome == "missed" and j.sentence() == first), first)
        said = said.removeprefix("recovery: ").removeprefix("fault: ")
        return said[:1].upper() + said[1:]

    def as_dict(self) -> dict[str, Any]:
        """The contents of ``verdict.json``."""
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "reasons": self.reasons,
            "advice": self.advice,
            "never_steady": self.measured.never_steady,
            "windows": {
                window: {
                    "segments": [asdict(segment) for segment in self.measured.windows[window]],
                    **{lane: figures.as_dict() for lane, figures in lanes.items()},
                }
                for window, lanes in self.measured.figures.items()
            },
            "thresholds": [asdict(judgement) for judgement in self.judgements],
            "faults": [asdict(fault) for fault in self.measured.faults],
            "loads": {name: asdict(span) for name, span in self.measured.loads.items()},
            "server": {window: found.as_dict() for window, found in self.server.figures.items()} if self.server else {},
            "first_good_calls": [asdict(first) for first in self.order],
        }


def judge(history: History) -> Verdict:
    """Judge a run by its history and by the thresholds in its manifest."""
    measured = measure(history)
    thresholds = parse_thresholds(history.manifest["thresholds"])
    thresholds += parse_assumptions(history.manifest.get("assumptions") or {})
    calls = measured_calls(history, measured.loads)
    server = measure_server(history, measured.windows, calls, measured.faults, _allowed_s(thresholds))
    judgements = _judgements(history, measured, server, thresholds)
    order = recovery_order(calls, measured.windows["recovery"], history.events)
    never = never_there(history.events)
    if never and not measured.faults:
        reasons = [*never, *troubles(history.events)]
        return Verdict(INCONCLUSIVE, reasons, measured, judgements, server=server, order=order)
    failures, doubts = _weigh(history, measured, thresholds, judgements)
    if failures:
        advice = str(history.manifest.get("advice") or "")
        return Verdict(FAIL, [*failures, *doubts], measured, judgements, advice, server, order)
    if doubts:
        return Verdict(INCONCLUSIVE, doubts, measured, judgements, server=server, order=order)
    return Verdict(PASS, [_all_is_well(measured, judgements)], measured, judgements, server=server, order=order)


def _judgements(
    history: History, measured: Measured, server: ServerMeasured, thresholds: Sequence[Threshold]
) -> list[Judgement]:
    """What became of each threshold."""
    lanes = measured.figures
    figures: AllFigures = {window: {**lanes.get(window, {}), SERVER: of} for window, of in server.figures.items()}
    deadline_ms = _deadline_ms(history, measured)
    found = []
    for threshold in thresholds:
        judgement = _with_never(threshold.judge(figures, measured.latencies_ms, deadline_ms), measured)
        judgement = _with_causes(judgement, threshold, measured, history)
        found.append(with_lies(judgement, threshold.server_names(), server))
    return found


def _allowed_s(thresholds: Sequence[Threshold]) -> float:
    """The time that a recovery may take, by the thresholds."""
    limits = [limit for t in thresholds if (limit := t.upper_limit()) is not None and limit[0] == "recovery_s"]
    return max((seconds for _, seconds in limits), default=_USUAL_RECOVERY_S)


def _weigh(
    history: History, measured: Measured, thresholds: Sequence[Threshold], judgements: Sequence[Judgement]
) -> tuple[list[str], list[str]]:
    """What counts against the server, and what the run leaves open, the gravest first; causes without what follows."""
    events = history.events
    doubts = [*never_there(events), *troubles(events)] or unfinished(events)
    told_of_faults = [*lost_calls(history), *fault_doubts(events, measured.faults)]
    failures, excused, root = _held_against_the_server(events, measured, judgements)
    if root == _NOT_STEADY:
        return failures, [*doubts, *excused, *told_of_faults]
    doubts += told_of_faults
    idle = load_doubts(history, measured, thresholds, judgements)
    if not measured.loads:  # no threshold has a figure, which is told with its cause
        return failures, [*doubts, *idle, *excused] or undecided(judgements)
    doubts += [*missed_assumptions(judgements, measured.faults), *idle, *excused]
    doubts += undecided([j for j in judgements if not (measured.unseen_heals and _is_of_recovery_time(j))])
    return failures, doubts


def _is_of_recovery_time(judgement: Judgement) -> bool:
    """Whether it could not be judged for want of a recovery that the load outlasts."""
    return judgement.window == "recovery" and judgement.missing == "recovery.faulted.recovery_s"


def _deadline_ms(history: History, measured: Measured) -> float | None:
    """The longest deadline of the judged calls; ``None`` where one of them is not known."""
    deadlines_s = [history.deadlines_s.get(load) for load in measured.loads]
    known = [deadline_s for deadline_s in deadlines_s if deadline_s is not None]
    return max(known) * _MS_PER_S if known and len(known) == len(deadlines_s) else None


def _held_against_the_server(
    events: Sequence[Event], measured: Measured, judgements: Sequence[Judgement]
) -> tuple[list[str], list[str], str]:
    """What was missed and counts; what was missed and may be somebody else's doing, in words; and why that may be."""
    at_first, promises = _misses(judgements, before_fault=True), _broken_promises(events)
    later = _misses(judgements, before_fault=False)
    found = excuses(events)
    whole = next((excuse for _, excuse in found if not excuse.only_from_then_on), None)
    if whole is not None:
        return [], _excused(whole.why, [*promises, *later, *at_first]), ""
    if at_first:
        said = [miss.sentence for miss in at_first]
        return [], [*said, *_excused(_NOT_STEADY, [*promises, *later])], _NOT_STEADY
    if any(fault.proof is None for fault in measured.faults):
        return [], _excused("not every fault was felt", [*promises, *later]), ""
    moments = [(-1 if excuse.noticed_late else event.at_ns, excuse.why) for event, excuse in found]
    failed_ns, why = min(moments, default=(math.inf, ""))
    excused: list[_Miss] = []
    if failed_ns < max((event.at_ns for event in events if event.kind == "hypothesis_missed"), default=0):
        promises, excused = [], promises
    if failed_ns < max((load.end_ns for load in measured.loads.values()), default=0):
        later, excused = [], [*excused, *later]
    counted = [miss.sentence for miss in [*promises, *later]]
    return counted, _excused(why, excused), ""


def _excused(why: str, misses: Sequence[_Miss]) -> list[str]:
    """That something was missed and does not count, in one sentence; the table of thresholds has the figures."""
    if len(misses) <= 1:
        return [f"not held against the server, as {why}: {miss.sentence}" for miss in misses]
    labels = [miss.label for miss in misses[:_MAX_LABELS]]
    labels += [f"{len(misses) - _MAX_LABELS} more"] if len(misses) > _MAX_LABELS else []
    return [f"not held against the server, as {why}: {len(misses)} misses ({', '.join(labels)})"]


def _with_never(judgement: Judgement, measured: Measured) -> Judgement:
    """A recovery time that was not measured is an answer in itself when calls show that the service never recovered."""
    never = {f"recovery.{lane}.recovery_s" for lane in LANES if measured.slowest_recovery_s(lane) == math.inf}
    return replace(judgement, outcome="missed") if judgement.missing in never else judgement


def _with_causes(judgement: Judgement, threshold: Threshold, measured: Measured, history: History) -> Judgement:
    """A missed share of successes tells why the other calls did not succeed."""
    subject = threshold.subject()
    if judgement.outcome != "missed" or judgement.assumption or subject is None or subject[2] != "success_fraction":
        return judgement
    window, lane, _ = subject
    said = causes(measured, history, window, lane)
    return replace(judgement, shares=shares(measured, window, lane), causes=said) if said else judgement


def _misses(judgements: Sequence[Judgement], *, before_fault: bool) -> list[_Miss]:
    return [
        _Miss(judgement.label, judgement.sentence())
        for judgement in judgements
        if judgement.outcome == "missed"
        and (judgement.window == "baseline") == before_fault
        and not judgement.assumption
    ]


def _broken_promises(events: Sequence[Event]) -> list[_Miss]:
    """What fails a run besides thresholds: its steady state, seen broken after or during the method."""
    missed = [
        _Miss(f"the check '{e.data['name']}'", f"the check '{e.data['name']}' failed: {e.data['why']}")
        for e in events
        if e.kind == "probe_missed"
    ]
    missed += [
        _Miss(
            "the steady state after the method",
            f"recovery: the steady state did not come back after the method: {event.data['probe']}",
        )
        for event in events
        if event.kind == "hypothesis_missed" and event.data["when"] == "after"
    ]
    during = [event for event in events if event.kind == "hypothesis_missed" and event.data["when"] == "during"]
    if during:
        checks = sum(1 for event in events if event.kind == "hypothesis_checked" and event.data["when"] == "during")
        probes = ", ".join(sorted({event.data["probe"] for event in during}))
        said = f"fault: the steady state was broken in {len(during)} of {checks} continuous checks ({probes})"
        missed.append(_Miss("the steady state during the method", said))
    return missed


def _all_is_well(measured: Measured, judgements: Sequence[Judgement]) -> str:
    recovered = measured.figures["recovery"]["faulted"].recovery_s
    met_ones = [judgement for judgement in judgements if judgement.outcome == "met"]
    count = sum(not judgement.assumption for judgement in met_ones) or len(met_ones)
    met = f"all {count} thresholds were met" if count > 1 else "the one threshold was met"
    idle = [judgement for judgement in judgements if judgement.outcome == "not_applicable"]
    met = f"{met}, {len(idle)} did not apply ({idle[0].why})" if idle else met
    felt = f"{len(measured.faults)} faults were felt" if len(measured.faults) > 1 else "the fault was felt"
    return f"{felt}, {met}" + (
        f", the service was steady again {recovered:.2f} s after the heal" if recovered is not None else ""
    )

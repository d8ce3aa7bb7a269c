"""Pure: a measured history and its thresholds → pass, fail or inconclusive, with reasons.

Worst wins, fail over inconclusive over pass: evidence of a weakness stays evidence when the rest of the run proves
nothing. With three exceptions, in which it is told among the reasons and does not fail the run: when some fault was not
felt, what the run shows from the first fault on may not be about the faults; when the load's generator or the machine
could not keep up, nothing that was measured is the server's alone; and when Toxiproxy or another part of the run went
away, or somebody else disturbed a fault, what was missed from then on may be missed for want of it.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mcp_chaos.history.calls import LANES
from mcp_chaos.history.events import COULD_NOT_HEAL, Event
from mcp_chaos.history.history import History
from mcp_chaos.verdict.evidence import causes, shares
from mcp_chaos.verdict.measure import Measured, measure
from mcp_chaos.verdict.spans import FaultSpan
from mcp_chaos.verdict.thresholds import Judgement, Threshold, parse_thresholds
from mcp_chaos.verdict.wording import plainly

PASS = "pass"
FAIL = "fail"
INCONCLUSIVE = "inconclusive"

FEWEST_CALLS = 10
_MS_PER_S = 1000.0


@dataclass(frozen=True)
class Verdict:
    """The answer of a run.

    Args:
        verdict: ``pass``, ``fail`` or ``inconclusive``.
        reasons: sentences, the gravest first; never empty.
        measured: what it rests on.
        judgements: one per threshold, in the order written.
    """

    verdict: str
    reasons: list[str]
    measured: Measured
    judgements: list[Judgement]

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
        }


def judge(history: History) -> Verdict:
    """Judge a run by its history and by the thresholds in its manifest."""
    measured = measure(history)
    thresholds = parse_thresholds(history.manifest["thresholds"])
    deadline_ms = _deadline_ms(history, measured)
    judgements = [
        _with_causes(
            _with_never(threshold.judge(measured.figures, measured.latencies_ms, deadline_ms), measured),
            threshold,
            measured,
            history,
        )
        for threshold in thresholds
    ]
    doubts = [*_doubts(history.events), *lost_calls(history)]
    doubts += [*_fault_doubts(measured.faults), *_load_doubts(measured, thresholds)]
    failures, excused = _held_against_the_server(history.events, measured, judgements)
    doubts += excused
    doubts += [j.sentence() for j in judgements if j.outcome == "missed" and _is_assumption(j)]
    doubts += [j.sentence() for j in judgements if j.outcome in ("no_data", "inconclusive")]
    if failures:
        return Verdict(FAIL, [*failures, *doubts], measured, judgements)
    if doubts:
        return Verdict(INCONCLUSIVE, doubts, measured, judgements)
    return Verdict(PASS, [_all_is_well(measured, judgements)], measured, judgements)


def _deadline_ms(history: History, measured: Measured) -> float | None:
    """The longest deadline of the judged calls; ``None`` where one of them is not known."""
    deadlines_s = [history.deadlines_s.get(load) for load in measured.loads]
    known = [deadline_s for deadline_s in deadlines_s if deadline_s is not None]
    return max(known) * _MS_PER_S if known and len(known) == len(deadlines_s) else None


def _held_against_the_server(
    events: Sequence[Event], measured: Measured, judgements: Sequence[Judgement]
) -> tuple[list[str], list[str]]:
    """What was missed and counts, and what was missed and may be somebody else's doing, with the reason."""
    at_first, promises = _misses(judgements, before_fault=True), _broken_promises(events)
    later = _misses(judgements, before_fault=False)
    if any(event.kind == "dry_run" for event in events):
        return [], _excused("it was a dry run", [*promises, *later, *at_first])
    if _could_not_keep_up(events):
        return [], _excused("something else was too slow", [*promises, *later, *at_first])
    if at_first:
        return [], [*at_first, *_excused("the service was not steady before the first fault", [*promises, *later])]
    if any(fault.proof is None for fault in measured.faults):
        return at_first, _excused("not every fault was felt", [*promises, *later])
    failed_ns = _own_failure_ns(events)
    excused: list[str] = []
    if failed_ns < max((event.at_ns for event in events if event.kind == "hypothesis_missed"), default=0):
        promises, excused = [], promises
    if failed_ns < max((load.end_ns for load in measured.loads.values()), default=0):
        later, excused = [], [*excused, *later]
    if failed_ns < min((fault.span.start_ns for fault in measured.faults), default=0):
        at_first, excused = [], [*excused, *at_first]
    return [*promises, *later, *at_first], _excused("a part of the run itself was not as it should be", excused)


def _excused(why: str, sentences: Sequence[str]) -> list[str]:
    return [f"not held against the server, as {why}: {sentence}" for sentence in sentences]


def _own_failure_ns(events: Sequence[Event]) -> float:
    """When the first of our own parts failed, or somebody disturbed them; infinity when all went well."""
    moments: list[float] = [event.at_ns for event in events if event.kind in _FAILURES_OF_OURS]
    # That a part is gone is noticed at the end only.
    moments += [-1 for event in events if event.kind == "part_died" and event.data["part"] in _OWN_PARTS]
    return min(moments, default=math.inf)


def _with_never(judgement: Judgement, measured: Measured) -> Judgement:
    """A recovery time that was not measured is an answer in itself when calls show that the service never recovered."""
    never = {f"recovery.{lane}.recovery_s" for lane in LANES if measured.slowest_recovery_s(lane) == math.inf}
    return replace(judgement, outcome="missed") if judgement.missing in never else judgement


def _with_causes(judgement: Judgement, threshold: Threshold, measured: Measured, history: History) -> Judgement:
    """A missed share of successes tells why the other calls did not succeed."""
    subject = threshold.subject()
    if judgement.outcome != "missed" or subject is None or subject[2] != "success_fraction":
        return judgement
    window, lane, _ = subject
    said = causes(measured, history, window, lane)
    return replace(judgement, shares=shares(measured, window, lane), causes=said) if said else judgement


def _misses(judgements: Sequence[Judgement], *, before_fault: bool) -> list[str]:
    return [
        judgement.sentence()
        for judgement in judgements
        if judgement.outcome == "missed"
        and (judgement.window == "baseline") == before_fault
        and not _is_assumption(judgement)
    ]


def _is_assumption(judgement: Judgement) -> bool:
    """Whether a threshold is about what the fault did, not about the server: missed, it leaves the question open."""
    return "disturbed_calls" in judgement.text


def _could_not_keep_up(events: Sequence[Event]) -> bool:
    """Whether the machine or a generator was too busy; one that was kept waiting by the server was not."""
    return any(
        event.kind == "machine_overloaded"
        or (event.kind == "generator_overloaded" and event.data.get("by_itself", True))
        for event in events
    )


def _broken_promises(events: Sequence[Event]) -> list[str]:
    """What fails a run besides thresholds: its steady state, seen broken after or during the method."""
    sentences = [f"the check '{e.data['name']}' failed: {e.data['why']}" for e in events if e.kind == "probe_missed"]
    for event in events:
        if event.kind == "hypothesis_missed" and event.data["when"] == "after":
            sentences.append(f"recovery: the steady state did not come back after the method: {event.data['probe']}")
    during = [event for event in events if event.kind == "hypothesis_missed" and event.data["when"] == "during"]
    if during:
        checks = sum(1 for event in events if event.kind == "hypothesis_checked" and event.data["when"] == "during")
        probes = ", ".join(sorted({event.data["probe"] for event in during}))
        sentences.append(
            f"fault: the steady state was broken in {len(during)} of {checks} continuous checks ({probes})"
        )
    return sentences


_DOUBTFUL = {
    "dry_run": "it was a dry run, which leaves out {left_out}, so it proves nothing",
    "activity_failed": "'{name}' did not do its work: {error}",
    "control_failed": "the control '{name}' failed and Chaos Toolkit went on without it: {error}",
    "control_missing": "the control '{name}' cannot be imported and Chaos Toolkit went on without it",
    "interrupted": "the run was interrupted: {why}",
    "load_failed": "the load '{load}' did not end as it should: {error}",
    "worker_died": "worker {worker} of the load '{load}' died (exit code {exit_code}); its calls up to then count",
    "generator_overloaded": "the load '{load}' could not keep up, so its figures are not the server's alone: {why}",
    "machine_overloaded": "the machine was too busy to be in time: one wake-up in twenty came {late_ms:.0f} ms late",
    "fault_skipped": "the fault '{name}' was to come after {from_s:g} s, and the load had ended by then",
    "part_died": "the {part} went away by itself during the run",
    "fault_disturbed": "the fault '{name}' on {proxy} was disturbed by somebody else: {after_s:.1f} s after it was "
    "injected, {found}",
    "proxy_disturbed": "somebody else changed the proxy '{proxy}' while no fault was in place: {found}",
    "toxiproxy_unreachable": "Toxiproxy stopped answering during the run: {error}",
    "heal_failed": "a fault could not be healed: {error}",
    "unfinished": "the run ended without a word ({why}); what it left was healed",
}

_FAILURES_OF_OURS = frozenset(
    {"fault_disturbed", "proxy_disturbed", "toxiproxy_unreachable", "heal_failed", "worker_died", "load_failed"}
)
"""From the moment of such an event on, what the load misses may be missed for want of our own parts."""

_OWN_PARTS = ("toxiproxy", "warehouse")
"""The parts whose end is never what a run is looking for, as that of the server may be."""


def troubles(events: Sequence[Event]) -> list[str]:
    """What went wrong in a run besides what it tested, in words; each cause once, and a reason to doubt its result."""
    told = [event for event in events if event.kind in _DOUBTFUL and not _follows(event, events)]
    told.sort(key=lambda event: event.kind not in ("dry_run", "toxiproxy_unreachable"))
    return list(dict.fromkeys(_DOUBTFUL[event.kind].format(**event.data) for event in told))


def _follows(event: Event, events: Sequence[Event]) -> bool:
    """Whether an event is only what followed from a Toxiproxy that did not answer, or from a heal that failed."""
    causes = [e.data["error"] for e in events if e.kind in ("toxiproxy_unreachable", "heal_failed")]
    unreachable = any(e.kind == "toxiproxy_unreachable" for e in events)
    if event.kind == "heal_failed":
        return unreachable
    if event.kind == "part_died":
        return unreachable and event.data["part"] == "toxiproxy"
    if event.kind == "activity_failed":
        error = event.data["error"]
        return (unreachable and "Toxiproxy at " in error) or any(cause in error for cause in causes)
    return event.kind == "unfinished" and bool(causes) and event.data["why"] == COULD_NOT_HEAL


def lost_calls(history: History) -> list[str]:
    """Loads whose calls are not all there, in words: what is missing may be just what failed."""
    return [
        f"{len(history.calls[load])} of {expected} calls are in the files of the load '{load}'"
        for load, expected in history.expected_calls.items()
        if len(history.calls[load]) != expected
    ]


def _doubts(events: Sequence[Event]) -> list[str]:
    sentences = troubles(events)
    for event in events:
        if event.kind == "hypothesis_missed" and event.data["when"] == "before":
            sentences.insert(
                0, f"the steady state was not there before the method ({event.data['probe']}): nothing was tested"
            )
    if not any(event.kind == "method_ended" for event in events) and not sentences:
        sentences.append("the run did not get to the end of its method")
    return sentences


def _fault_doubts(faults: Sequence[FaultSpan]) -> list[str]:
    if not faults:
        return ["no fault was injected, so the run shows nothing about one"]
    sentences = [
        f"the fault '{fault.name}' on {fault.proxy} was not felt: {fault.doubt or 'no proof was made'}"
        for fault in faults
        if fault.proof is None
    ]
    sentences += [
        f"the fault '{fault.name}' on {fault.proxy} was still in place when the run ended"
        for fault in faults
        if not fault.healed
    ]
    return sentences


def _load_doubts(measured: Measured, thresholds: Sequence[Threshold]) -> list[str]:
    if measured.faults and not measured.loads:
        return ["no load was running while the fault was in place"]
    thin = _too_few_disturbed(measured, thresholds)
    if measured.unseen_heals and any(threshold.window == "recovery" for threshold in thresholds):
        which = "the heal" if len(measured.windows["fault"]) == 1 else f"{measured.unseen_heals} of the heals"
        thin.append(f"recovery: the load did not go on long enough after {which} to show whether the service recovered")
    named = [name for threshold in thresholds for name in [(threshold.window, "faulted"), *threshold.names()]]
    for window, lane in dict.fromkeys(named):
        calls = measured.figures[window][lane].calls
        if 0 < calls < FEWEST_CALLS:
            where = window if lane == "faulted" else f"{window}, {lane} lane"
            thin.append(f"{where}: only {calls} calls were made, fewer than {FEWEST_CALLS}")
    return thin


def _too_few_disturbed(measured: Measured, thresholds: Sequence[Threshold]) -> list[str]:
    """Network faults that hardly a call met; an experiment that has a threshold of its own for it knows better."""
    if any("disturbed_calls" in threshold.text for threshold in thresholds):
        return []
    figures = measured.figures["fault"]["faulted"]
    met = figures.disturbed_calls
    if met is None or met >= FEWEST_CALLS or not any(fault.on_network for fault in measured.faults):
        return []
    if any(fault.disturbed or fault.proof is None for fault in measured.faults):
        return []  # that is why
    return [f"fault: the fault met {met} of {max(met, figures.calls)} calls, at least {FEWEST_CALLS} needed"]


def _all_is_well(measured: Measured, judgements: Sequence[Judgement]) -> str:
    recovered = measured.figures["recovery"]["faulted"].recovery_s
    met = f"all {len(judgements)} thresholds were met" if len(judgements) > 1 else "the one threshold was met"
    felt = f"{len(measured.faults)} faults were felt" if len(measured.faults) > 1 else "the fault was felt"
    return f"{felt}, {met}" + (
        f", the service was steady again {recovered:.2f} s after the heal" if recovered is not None else ""
    )

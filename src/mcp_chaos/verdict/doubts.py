"""Pure: why a run may prove nothing, in words; each cause once, and nothing that only follows from it."""

from collections.abc import Sequence

from mcp_chaos.history.event_kinds import KINDS
from mcp_chaos.history.events import Event
from mcp_chaos.history.history import History
from mcp_chaos.verdict.evidence import causes, shares
from mcp_chaos.verdict.judgement import Judgement
from mcp_chaos.verdict.measure import Measured
from mcp_chaos.verdict.spans import FaultSpan
from mcp_chaos.verdict.thresholds import Threshold

MIN_CALLS = 10

_BACKENDS = ("backend", "warehouse")
_UNNEEDED = "the calls do not need this backend, or hide that it is gone"
_UNASKED = "the fault did not do what the experiment assumes"


def troubles(events: Sequence[Event]) -> list[str]:
    """What went wrong in a run besides what it tested, in words; each cause once, and a reason to doubt its result."""
    kinds = [(KINDS[event.kind], event) for event in events if event.kind in KINDS]
    told = [(kind, event) for kind, event in kinds if kind.doubt and not kind.follows(event, events)]
    told.sort(key=lambda one: not one[0].is_cause)
    return list(dict.fromkeys(kind.doubt.format(**event.data) for kind, event in told))


def lost_calls(history: History) -> list[str]:
    """Loads whose calls are not all there, in words: what is missing may be just what failed."""
    return [
        f"{len(history.calls[load])} of {expected} calls are in the files of the load '{load}'"
        for load, expected in history.expected_calls.items()
        if len(history.calls[load]) != expected
    ]


def never_there(events: Sequence[Event]) -> list[str]:
    """That the steady state was not there before the method, in words: nothing was tested then."""
    return [
        f"the steady state was not there before the method, so nothing was tested: {event.data['probe']}"
        for event in events
        if event.kind == "hypothesis_missed" and event.data["when"] == "before"
    ]


def unfinished(events: Sequence[Event]) -> list[str]:
    """That the method did not come to its end, in words."""
    ended = any(event.kind == "method_ended" for event in events)
    return [] if ended else ["the run did not get to the end of its method"]


def fault_doubts(events: Sequence[Event], faults: Sequence[FaultSpan]) -> list[str]:
    """Why the faults of a run may show nothing, in words."""
    if not faults:
        explained = any(event.kind in KINDS and KINDS[event.kind].stops_method for event in events)
        return [] if explained else ["no fault was injected, so the run shows nothing about one"]
    sentences = [
        f"the fault '{fault.name}' on {fault.proxy} was not felt: {fault.doubt or 'no proof was made'}"
        for fault in faults
        if fault.proof is None
    ]
    if any(event.kind == "heal_failed" for event in events):
        return sentences  # which says that it is still there
    sentences += [
        f"the fault '{fault.name}' on {fault.proxy} was still in place when the run ended"
        for fault in faults
        if not fault.healed
    ]
    return sentences


def load_doubts(
    history: History, measured: Measured, thresholds: Sequence[Threshold], judgements: Sequence[Judgement]
) -> list[str]:
    """Why the loads of a run may show nothing, in words.

    Args:
        history: of the run.
        measured: it, measured.
        thresholds: of it.
        judgements: what became of them; where few calls were made since they failed, that has been told with its cause.
    """
    if measured.faults and not measured.loads:
        return ["no load was running while the fault was in place"]
    thin = _too_few_disturbed(measured, thresholds, judgements)
    if measured.unseen_heals and any(threshold.window == "recovery" for threshold in thresholds):
        which = "the heal" if len(measured.windows["fault"]) == 1 else f"{measured.unseen_heals} of the heals"
        thin.append(f"recovery: the load did not go on long enough after {which} to show whether the service recovered")
    told = {j.window for j in judgements if j.outcome == "missed" and j.causes}
    named = [name for threshold in thresholds for name in [(threshold.window, "faulted"), *threshold.names()]]
    for window, lane in dict.fromkeys(name for name in named if name[0] in measured.figures):
        calls = measured.figures[window][lane].calls
        if 0 < calls < MIN_CALLS and window not in told:
            where = window if lane == "faulted" else f"{window}, {lane} lane"
            made = "1 call was" if calls == 1 else f"{calls} calls were"
            why = causes(measured, history, window, lane)
            because = f"; {shares(measured, window, lane)}: {why}" if why else ""
            thin.append(f"{where}: {made} made, at least {MIN_CALLS} needed{because}")
    return thin


def _too_few_disturbed(
    measured: Measured, thresholds: Sequence[Threshold], judgements: Sequence[Judgement]
) -> list[str]:
    """Network faults that hardly a call met; an experiment that has an assumption of its own about it knows better."""
    if any(name == "disturbed_calls" for threshold in thresholds for _, _, name in threshold.places()):
        return []
    figures = measured.figures["fault"]["faulted"]
    met = figures.disturbed_calls
    if met is None or met >= MIN_CALLS or not any(fault.on_network for fault in measured.faults):
        return []
    if any(fault.disturbed or fault.proof is None for fault in measured.faults) or not all(
        j.outcome == "met" for j in judgements if j.assumption
    ):
        return []  # that is why
    return [f"fault: the fault met {met} of {max(met, figures.calls)} calls, at least {MIN_CALLS} needed"]


def missed_assumptions(judgements: Sequence[Judgement], faults: Sequence[FaultSpan]) -> list[str]:
    """What a fault did not do, in words, and should have done for the question to be asked."""
    of_backend = any(fault.proxy in _BACKENDS for fault in faults)
    return [
        f"{_UNNEEDED if of_backend and j.text.startswith('success_fraction <') else _UNASKED}: {j.sentence()}"
        for j in judgements
        if j.assumption and j.outcome == "missed"
    ]


def undecided(judgements: Sequence[Judgement]) -> list[str]:
    """Thresholds that cannot be judged, in words; those without a figure in one sentence for each window."""
    if judgements and all(j.outcome == "not_applicable" for j in judgements):
        return [f"no threshold applies: {judgements[0].why}"]
    sentences = [j.sentence() for j in judgements if j.outcome == "inconclusive"]
    for window in dict.fromkeys(j.window for j in judgements):
        blind = [j for j in judgements if j.window == window and j.outcome == "no_data"]
        missing = ", ".join(dict.fromkeys(str(j.missing) for j in blind))
        if len(blind) == 1:
            sentences.append(blind[0].sentence())
        elif blind:
            sentences.append(f"{window}: {len(blind)} thresholds cannot be judged, for want of {missing}")
    return sentences

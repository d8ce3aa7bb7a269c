"""Pure: why a run may prove nothing, in words; each cause once, and nothing that only follows from it."""

from collections.abc import Sequence

from mcp_chaos.history.events import COULD_NOT_HEAL, Event
from mcp_chaos.history.history import History
from mcp_chaos.verdict.evidence import causes, shares
from mcp_chaos.verdict.judgement import Judgement
from mcp_chaos.verdict.measure import Measured
from mcp_chaos.verdict.spans import FaultSpan
from mcp_chaos.verdict.thresholds import Threshold

MIN_CALLS = 10

_DOUBTFUL = {
    "dry_run": "it was a dry run, which leaves out {left_out}, so it proves nothing",
    "fault_withheld": "a fault was not injected, as no call that is judged would have met it: {why}",
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
_FIRST = ("dry_run", "toxiproxy_unreachable", "heal_failed", "fault_withheld")
"""Causes that others follow from, so that they are told first."""

_STOPS = ("dry_run", "fault_withheld", "activity_failed", "interrupted", "toxiproxy_unreachable", "heal_failed")
"""What explains that a method injected nothing."""

_BACKENDS = ("backend", "warehouse")
_UNNEEDED = "the calls do not need this backend, or hide that it is gone"
_UNASKED = "the fault did not do what the experiment assumes"


def troubles(events: Sequence[Event]) -> list[str]:
    """What went wrong in a run besides what it tested, in words; each cause once, and a reason to doubt its result."""
    told = [event for event in events if event.kind in _DOUBTFUL and not _follows(event, events)]
    told.sort(key=lambda event: event.kind not in _FIRST)
    return list(dict.fromkeys(_DOUBTFUL[event.kind].format(**event.data) for event in told))


def _follows(event: Event, events: Sequence[Event]) -> bool:
    """Whether an event is only what followed from another: no Toxiproxy, no heal, no load."""
    heals = [e for e in events if e.kind == "heal_failed"]
    causes = [e.data["error"] for e in events if e.kind in ("toxiproxy_unreachable", "heal_failed")]
    unreachable = any(e.kind == "toxiproxy_unreachable" for e in events)
    withheld = [e.data for e in events if e.kind == "fault_withheld"]
    if event.kind == "heal_failed":
        # What fails at the end of a run, proxies that cannot be removed, has the cause of the heal before it.
        return unreachable or (event is not heals[0] and "fault_id" not in event.data)
    if event.kind == "part_died":
        return unreachable and event.data["part"] == "toxiproxy"
    if event.kind == "load_failed":
        return any(event.data["load"] == cause["load"] for cause in withheld)
    if event.kind == "activity_failed":
        error = event.data["error"]
        if any(
            cause["why"] in error or error in cause["why"] or f"load '{cause['load']}'" in error for cause in withheld
        ):
            return True
        return (unreachable and "Toxiproxy at " in error) or any(cause in error for cause in causes)
    return event.kind == "unfinished" and bool(causes) and event.data["why"] == COULD_NOT_HEAL


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
        explained = any(event.kind in _STOPS for event in events)
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
    if any("disturbed_calls" in threshold.text for threshold in thresholds):
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

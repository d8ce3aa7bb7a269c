"""The kinds of events there are, one record each.

What is read back and checked, what makes a run inconclusive and in which words, what excuses what a run missed, and the
table in ``docs/reference.md`` follow from the records.
"""

from collections.abc import Sequence

from mcp_chaos.history.events import Event, EventKind, Excuse

COULD_NOT_HEAL = "the run could not heal its faults"
"""Why a watchdog cleaned up, when the run was still there to ask it to."""

_MAYBE_TEXT = (str, type(None))
_NUMBER = (int, float)
_OWN_PARTS = ("toxiproxy", "warehouse")
"""The parts whose end is never what a run is looking for, as that of the server may be."""

_TOO_SLOW = "something else was too slow"
_NOT_OURS = Excuse("a part of the run itself was not as it should be", only_from_then_on=True)


def _has(kind: str, events: Sequence[Event]) -> bool:
    return any(event.kind == kind for event in events)


def _waited_for_nobody(event: Event) -> bool:
    """Whether a generator was late by itself; one that was kept waiting by the server was not."""
    return bool(event.data.get("by_itself", True))


def _was_of_the_run(event: Event) -> bool:
    return event.data["part"] in _OWN_PARTS


def _load_had_a_cause(event: Event, events: Sequence[Event]) -> bool:
    return any(e.kind == "fault_withheld" and e.data["load"] == event.data["load"] for e in events)


def _part_was_toxiproxy(event: Event, events: Sequence[Event]) -> bool:
    return event.data["part"] == "toxiproxy" and _has("toxiproxy_unreachable", events)


def _heal_had_a_cause(event: Event, events: Sequence[Event]) -> bool:
    """What fails at the end of a run, proxies that cannot be removed, has the cause of the heal before it."""
    first = next(e for e in events if e.kind == "heal_failed")
    return _has("toxiproxy_unreachable", events) or (event is not first and "fault_id" not in event.data)


def _activity_had_a_cause(event: Event, events: Sequence[Event]) -> bool:
    error = event.data["error"]
    for cause in (e.data for e in events if e.kind == "fault_withheld"):
        if cause["why"] in error or error in cause["why"] or f"load '{cause['load']}'" in error:
            return True
    if _has("toxiproxy_unreachable", events) and "Toxiproxy at " in error:
        return True
    return any(e.kind in ("toxiproxy_unreachable", "heal_failed") and e.data["error"] in error for e in events)


def _heal_had_failed(event: Event, events: Sequence[Event]) -> bool:
    failed = _has("toxiproxy_unreachable", events) or _has("heal_failed", events)
    return failed and event.data["why"] == COULD_NOT_HEAL


def _was_stopped(event: Event, events: Sequence[Event]) -> bool:
    """By SIGTERM, or by SIGKILL where that did not help."""
    return _has("run_stopped", events)


def _stopped_or_could_not_heal(event: Event, events: Sequence[Event]) -> bool:
    return _was_stopped(event, events) or _heal_had_failed(event, events)


def _was_suspended(event: Event, events: Sequence[Event]) -> bool:
    return _has("run_suspended", events)


_OF_THE_RUN = (
    EventKind("run_started", "A run began.", is_promise=True),
    EventKind("parts_ready", "All that the run needs answers."),
    EventKind("earlier_run_healed", "What a killed run had left was healed before this one began."),
    EventKind("rest_began", "All loads have ended, and the server is left to come to rest."),
    EventKind("rest_ended", "It has, or its time for that is over."),
    EventKind("run_ended", "All that the run started has ended."),
    EventKind(
        "dry_run",
        "The run left something out, as it was asked to.",
        {"left_out": str},
        doubt="it was a dry run, which leaves out {left_out}, so it proves nothing",
        is_cause=True,
        stops_method=True,
        excuse=Excuse("it was a dry run"),
    ),
    EventKind(
        "interrupted",
        "A person or a signal ended the run.",
        {"why": str},
        doubt="the run was interrupted: {why}",
        stops_method=True,
        follows=_was_stopped,
    ),
    EventKind(
        "run_stopped",
        "Somebody stopped the run from another shell.",
        {"why": str},
        doubt="the run was stopped from outside: {why}",
        is_cause=True,
        stops_method=True,
    ),
    EventKind(
        "run_suspended",
        "The run stood still, and its watchdog healed it.",
        {"after_s": _NUMBER, "faults": list},
        doubt="the run was suspended for more than {after_s:g} s, and no fault stays in place meanwhile",
        is_cause=True,
    ),
    EventKind(
        "unfinished",
        "The run's process died, and its watchdog, or `mcp-chaos heal`, cleaned up.",
        {"why": str},
        doubt="the run ended without a word ({why}); what it left was healed",
        # Its server is ended while its loads still call; that is told at the end only.
        excuse=Excuse("the run was ended with its parts", only_from_then_on=True, noticed_late=True),
        follows=_stopped_or_could_not_heal,
    ),
    EventKind(
        "part_died",
        "A process that the run had started ended by itself.",
        {"part": str},
        doubt="the {part} went away by itself during the run",
        # That a part is gone is noticed at the end only.
        excuse=Excuse(_NOT_OURS.why, only_from_then_on=True, noticed_late=True, applies=_was_of_the_run),
        follows=_part_was_toxiproxy,
    ),
    EventKind("watchdog_died", "The run's watchdog ended by itself."),
    EventKind("watchdog_replaced", "Another watchdog took its place."),
    EventKind(
        "machine_overloaded",
        "The machine itself was too busy.",
        {"late_ms": _NUMBER},
        doubt="the machine was too busy to be in time: one wake-up in twenty came {late_ms:.0f} ms late",
        excuse=Excuse(_TOO_SLOW),
    ),
    EventKind(
        "machine_crowded",
        "More was ready to run on the machine than its processors could run.",
        {"tasks_per_core": _NUMBER},
        doubt="the machine had too much else to do: {tasks_per_core:.1f} tasks were ready to run for each processor",
        excuse=Excuse(_TOO_SLOW),
    ),
)

_OF_LOADS = (
    EventKind("load_started", "A load began.", {"load": str, "lane": str, "judged": bool}, is_promise=True),
    EventKind("load_step", "A load went on to its next step.", {"load": str, "users": int}),
    EventKind("load_ended", "A load made its last call.", {"load": str}),
    EventKind(
        "load_failed",
        "A load did not end as it should.",
        {"load": str, "error": str},
        doubt="the load '{load}' did not end as it should: {error}",
        excuse=_NOT_OURS,
        follows=_load_had_a_cause,
    ),
    EventKind(
        "worker_died",
        "One of the processes that share a load ended by itself.",
        {"load": str, "worker": int, "exit_code": (int, type(None))},
        doubt="worker {worker} of the load '{load}' died (exit code {exit_code}); its calls up to then count",
        excuse=_NOT_OURS,
    ),
    EventKind(
        "generator_overloaded",
        "A load could not be made as it was asked for.",
        {"load": str, "why": _MAYBE_TEXT},
        doubt="the load '{load}' could not keep up, so its figures are not the server's alone: {why}",
        excuse=Excuse(_TOO_SLOW, applies=_waited_for_nobody),
    ),
)

_OF_FAULTS = (
    EventKind(
        "fault_injecting",
        "A fault is about to be put in place.",
        {"fault_id": str, "name": str, "proxy": str, "toxics": list},
        is_promise=True,
    ),
    EventKind("fault_injected", "It is in place.", {"fault_id": str}),
    EventKind("fault_refused", "It was not put in place.", {"fault_id": str}),
    EventKind("fault_proven", "It was felt.", {"fault_id": str, "proof": str}),
    EventKind("fault_unproven", "It was not felt, which makes the run inconclusive.", {"fault_id": str, "doubt": str}),
    EventKind("fault_healing", "Its heal was asked for.", {"fault_id": str}),
    EventKind("fault_healed", "Its heal is done.", {"fault_id": str}),
    EventKind("fault_ended", "Nothing is left to be healed of it.", {"fault_id": str}),
    EventKind(
        "fresh_session_served",
        "The first session that was opened after its heal was served.",
        {"fault_id": str, "took_s": _NUMBER},
    ),
    EventKind(
        "fault_withheld",
        "It was not injected, as no call to be judged would have met it.",
        {"name": str, "load": str, "why": str},
        doubt="a fault was not injected, as no call that is judged would have met it: {why}",
        is_cause=True,
        stops_method=True,
    ),
    EventKind(
        "fault_skipped",
        "The load had ended before its time came.",
        {"name": str, "from_s": _NUMBER},
        doubt="the fault '{name}' was to come after {from_s:g} s, and the load had ended by then",
    ),
    EventKind(
        "fault_disturbed",
        "Somebody else took it away, or changed its proxy.",
        {"fault_id": str, "name": str, "proxy": str, "after_s": _NUMBER, "found": str},
        doubt="the fault '{name}' on {proxy} was disturbed by somebody else: {after_s:.1f} s after it was injected, "
        "{found}",
        excuse=_NOT_OURS,
        follows=_was_suspended,
    ),
    EventKind(
        "heal_failed",
        "Something could not be taken back.",
        {"error": str},
        doubt="a fault could not be healed: {error}",
        is_cause=True,
        stops_method=True,
        excuse=_NOT_OURS,
        follows=_heal_had_a_cause,
    ),
)

_OF_TOXIPROXY = (
    EventKind("toxiproxy_ready", "Toxiproxy answers.", {"url": str, "embedded": bool}, is_promise=True),
    EventKind("proxy_created", "A proxy is about to be made.", {"proxy": str}, is_promise=True),
    EventKind("proxy_removed", "It was removed.", {"proxy": str}),
    EventKind(
        "proxy_recreating",
        "It is about to be deleted and made anew, as this is.",
        {"proxy": str, "listen": str, "upstream": str, "enabled": bool, "toxics": dict},
    ),
    EventKind("proxy_recreated", "It was made anew.", {"proxy": str}),
    EventKind(
        "proxy_disturbed",
        "Somebody else changed it while no fault was in place.",
        {"proxy": str, "found": str},
        doubt="somebody else changed the proxy '{proxy}' while no fault was in place: {found}",
        excuse=_NOT_OURS,
    ),
    EventKind(
        "toxiproxy_unreachable",
        "Toxiproxy stopped answering.",
        {"error": str},
        doubt="Toxiproxy stopped answering during the run: {error}",
        is_cause=True,
        stops_method=True,
        excuse=_NOT_OURS,
    ),
    EventKind("toxiproxy_restarted", "The run's own Toxiproxy was started again.", {"error": str}),
)

_OF_CHAOS_TOOLKIT = (
    EventKind("method_ended", "The method came to its end."),
    EventKind("hypothesis_checked", "The steady state was checked.", {"when": str}),
    EventKind("hypothesis_missed", "It was not there.", {"when": str, "probe": str}),
    EventKind("probe_missed", "A probe of the method missed its tolerance.", {"name": str, "why": str}),
    EventKind(
        "activity_failed",
        "An action or a probe raised.",
        {"name": _MAYBE_TEXT, "error": str},
        doubt="'{name}' did not do its work: {error}",
        stops_method=True,
        follows=_activity_had_a_cause,
    ),
    EventKind(
        "control_failed",
        "A control raised, and Chaos Toolkit went on.",
        {"name": _MAYBE_TEXT, "error": str},
        doubt="the control '{name}' failed and Chaos Toolkit went on without it: {error}",
    ),
    EventKind(
        "control_missing",
        "A control cannot be imported, and Chaos Toolkit went on.",
        {"name": _MAYBE_TEXT},
        doubt="the control '{name}' cannot be imported and Chaos Toolkit went on without it",
    ),
)

KINDS = {kind.name: kind for kind in (*_OF_THE_RUN, *_OF_LOADS, *_OF_FAULTS, *_OF_TOXIPROXY, *_OF_CHAOS_TOOLKIT)}
"""Every kind by its name."""


def is_valid(event: Event) -> bool:
    """Whether an event has a time, a kind, and what an event of its kind has to carry."""
    return event.has_time_and_kind and (event.kind not in KINDS or KINDS[event.kind].fits(event))


def excuses(events: Sequence[Event]) -> list[tuple[Event, Excuse]]:
    """The events that excuse what a run missed, those of the kinds that were listed first before others."""
    found = []
    for kind in KINDS.values():
        excuse = kind.excuse
        if excuse is not None:
            found += [(event, excuse) for event in events if event.kind == kind.name and excuse.applies(event)]
    return found

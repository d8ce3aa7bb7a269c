"""What Chaos Toolkit's journal knows and the verdict has to."""

import re
from typing import Any

from chaoslib import substitute
from chaoslib.hypothesis import within_tolerance

from mcp_chaos.run.run import Run
from mcp_chaos.toolkit.journal_facts import failed_actions, left_out
from mcp_chaos.toolkit.log import LogWatch


def record_journal(run: Run, journal: dict[str, Any], watch: LogWatch | None) -> None:
    """Put into the history what the journal knows and the verdict has to."""
    for name, error in watch.failed if watch else []:
        run.event("control_failed", name=name, error=error)
    states = journal.get("steady_states") or {}
    for when, checks in (
        ("before", [states.get("before")]),
        ("during", states.get("during") or []),
        ("after", [states.get("after")]),
    ):
        for state in checks:
            if state:
                _record_hypothesis(run, when, state)
    for entry in [*(journal.get("run") or []), *(journal.get("rollbacks") or [])]:
        if entry.get("status") == "failed":
            run.event(
                "activity_failed", name=str(entry["activity"].get("name")), error=_last_line(entry.get("exception"))
            )
    for name, error in failed_actions(journal):
        run.event("activity_failed", name=name, error=error)
    if journal.get("status") in ("interrupted", "aborted"):
        otherwise = f"Chaos Toolkit's status is '{journal['status']}'"
        run.event("interrupted", why=watch.why_stopped(otherwise) if watch is not None else otherwise)
    elif watch is not None and watch.terminated:
        run.event("interrupted", why="SIGTERM came and was swallowed")


def record_judged_probes(run: Run, journal: dict[str, Any], configuration: dict[str, Any]) -> None:
    """A probe of the method that has a tolerance is judged by it, which Chaos Toolkit leaves out."""
    for entry in journal.get("run") or []:
        activity = entry.get("activity") or {}
        if activity.get("tolerance") is None or entry.get("status") != "succeeded":
            continue
        if entry.get("output") is None and left_out(journal.get("experiment") or {}):
            continue  # it was not made
        tolerance = activity["tolerance"]
        if isinstance(tolerance, str):
            tolerance = substitute(tolerance, configuration, {})
        if not within_tolerance(tolerance, entry.get("output"), configuration, {}):
            name = str(activity.get("name"))
            why = run.reasons.get(name) or f"it gave {entry.get('output')!r}"
            run.event("probe_missed", name=name, why=why)


def _record_hypothesis(run: Run, when: str, state: dict[str, Any]) -> None:
    run.event("hypothesis_checked", when=when)
    if not state.get("steady_state_met"):
        missed = (state.get("probes") or [{}])[-1]
        name = str(missed.get("activity", {}).get("name", "no probe"))
        # A run keeps the last reason of each probe only, which is not that of checks in between.
        why = run.reasons.get(name, "") if when != "during" else ""
        run.event("hypothesis_missed", when=when, probe=_missed_probe(name, missed, why))


def _missed_probe(name: str, missed: dict[str, Any], why: str) -> str:
    """The probe of a steady state that missed its tolerance, in words: its name, what it gave, and why."""
    if missed.get("status") != "succeeded":
        error = _last_line(missed.get("exception"))
        return f"'{name}': {error}"
    gave = "" if why and isinstance(missed.get("output"), bool) else f", it gave {missed.get('output')!r}"
    return f"'{name}'{gave}" + (f": {why}" if why else "")


def _last_line(exception: Any) -> str:
    """What an activity's exception says, without the names of the classes it went through."""
    text = str(exception[-1]).strip() if isinstance(exception, list) and exception else ""
    return re.sub(r"^(\w+\.[\w.]+: )+", "", text) or "no reason was given"

"""Runs that were killed together with their watchdogs, found in the register of this machine and cleaned up after."""

import shutil
from collections.abc import Sequence

from mcp_chaos.errors import McpChaosError
from mcp_chaos.faults.ledger import clean_up
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.lock import tidy_locks
from mcp_chaos.machine.register import Entry, cleaning, entries, entry_of, forget


def leftover_runs(targets: Sequence[str] | None = None) -> list[Entry]:
    """The runs of this user whose process is no more and that were not cleaned up after.

    Args:
        targets: only those that worked on one of these, each as ``host:port``, or on parts of their own; all without.
    """
    return [
        entry
        for entry in entries()
        if entry.is_mine
        and not entry.is_going_on
        and (targets is None or not entry.targets or set(entry.targets) & set(targets))
    ]


def clean_up_entry(entry: Entry, why: str) -> list[str]:
    """Clean up after a run and take it out of the register. May be repeated, and by several at a time.

    Args:
        entry: of the run, whose process is no more.
        why: what became of it; goes into its history when something was left.

    Returns:
        What was done, in words; empty when nothing was left.

    Raises:
        ToxiproxyError: Toxiproxy could not be asked; the run stays in the register.
    """
    with cleaning(entry.run):
        if entry_of(entry.run) is None:
            return []  # its watchdog was quicker
        done = clean_up(RunFolder(entry.run), Clock.start(), why)
        if entry.is_scratch:
            shutil.rmtree(entry.run, ignore_errors=True)
        tidy_locks(entry.targets)
        forget(entry.run)
    return done


def clean_up_earlier(targets: Sequence[str]) -> list[str]:
    """Clean up after earlier runs on some targets; what cannot be done stands in the way of nothing, and is told.

    Returns:
        What was done, a sentence per run of which something was left.
    """
    told = []
    for entry in leftover_runs(targets):
        try:
            done = clean_up_entry(entry, "its process and its watchdog were killed")
        except McpChaosError as error:
            told.append(f"The run {entry.run} was killed with its watchdog and cannot be healed now: {error}")
            continue
        if done:
            told.append(f"The run {entry.run} was killed with its watchdog; of what it left: {', '.join(done)}")
    return told

"""``mcp-chaos stop``: ends runs from another shell and sees to it that they are healed, also those that hang."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from mcp_chaos.errors import McpChaosError, PartError
from mcp_chaos.faults.ledger import leftovers
from mcp_chaos.faults.leftover_runs import clean_up_entry
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.register import Entry, entry_of, user_name

HEAL_S = 5.0
END_S = 30.0
_CLEAN_UP_S = 15.0
_POLL_S = 0.1
_KILLED = "it did not end and was killed by mcp-chaos stop"


def stop_runs(runs: Sequence[Entry], because: str, say: Callable[[str], None]) -> list[str]:
    """End runs, all at once, and wait until nothing of them is left.

    Each is told to end (SIGTERM, and SIGCONT where it is suspended), and heals by itself. One that has not healed after
    ``HEAL_S``, or not ended after ``END_S``, is killed and cleaned up after.

    Args:
        runs: that go on.
        because: why, for their histories.
        say: told what was done, a line at a time.

    Returns:
        What could not be done, in words.
    """
    problems, told = [], []
    began_s = time.monotonic()
    for run in runs:
        try:
            _put_on_record(run, because)
            _signal(run, signal.SIGCONT, signal.SIGTERM)
            told.append(run)
        except PermissionError:
            problems.append(f"{run.run} is a run of {user_name(run.owner)}: only that user, or root, can stop it.")
    for run in told:
        try:
            say(_see_to_its_end(run, began_s))
        except McpChaosError as error:
            problems.append(f"{run.run} was ended, but not healed: {error}")
    return problems


def _put_on_record(run: Entry, because: str) -> None:
    with suppress(McpChaosError, OSError):
        if run.run.is_dir() and run.is_mine:
            RunFolder(run.run).event(Clock.start().now_ns(), "run_stopped", why=because)


def _see_to_its_end(run: Entry, began_s: float) -> str:
    """Wait for the end of a run, kill it where that does not come, and clean up where nobody else does.

    Raises:
        ToxiproxyError, PartError: it cannot be healed.
    """
    how = f"Stopped {run.run}"
    while run.is_going_on:
        passed_s = time.monotonic() - began_s
        if passed_s > END_S or (passed_s > HEAL_S and _has_faults(run)):
            _signal(run, signal.SIGKILL)
            how = f"Killed {run.run}, which did not end by itself"
            break
        time.sleep(_POLL_S)
    until = time.monotonic() + _CLEAN_UP_S
    while entry_of(run.run) is not None and time.monotonic() < until:
        time.sleep(_POLL_S)  # its watchdog is at work
    if not run.is_mine and entry_of(run.run) is not None:
        raise PartError(f"{user_name(run.owner)} can heal it: mcp-chaos heal")
    done = clean_up_entry(run, _KILLED) if run.is_mine else []
    return ", ".join([how, *done])


def _has_faults(run: Entry) -> bool:
    """Whether faults of a run are in place, as far as its files tell; yes where they are gone."""
    return not run.run.is_dir() or bool(leftovers(RunFolder(run.run).readable_events()).faults)


def _signal(run: Entry, *numbers: int) -> None:
    for number in numbers:
        with suppress(ProcessLookupError):
            if run.is_going_on:
                os.kill(int(run.process["pid"]), number)

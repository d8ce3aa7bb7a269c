"""``mcp-chaos stop``, ``allow`` and ``heal``: ends runs from outside, and takes back what others left behind."""

from pathlib import Path
from typing import NoReturn

import click

from mcp_chaos.cli.paths import AnyPath
from mcp_chaos.commands.stop import stop_runs
from mcp_chaos.errors import EXIT_INCONCLUSIVE, EXIT_PASS, HistoryError, McpChaosError, UsageError
from mcp_chaos.faults.ledger import clean_up
from mcp_chaos.faults.leftover_runs import clean_up_entry, leftover_runs
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.printable import printable, printable_lines
from mcp_chaos.machine.processes import is_alive
from mcp_chaos.machine.register import Entry, allow_runs, entries, entry_of, forbid_runs, user_name
from mcp_chaos.machine.streams import tell

_BY_HAND = "it was healed by hand"
_RUN = AnyPath()


@click.command()
@click.argument("run", type=_RUN, required=False)
@click.option("--all", "is_all", is_flag=True, help="All runs of this machine; new ones are refused until allow.")
@click.option("--because", metavar="TEXT", help="Why; needed with --all, and told to whoever starts a run.")
def stop(run: Path | None, is_all: bool, because: str | None) -> None:
    """End a run from another shell and heal it: RUN, its folder; the one that goes on without; or --all.

    A run that hangs is killed and cleaned up after.

    Exit code: 0 when nothing of them is left, 3 when something may be, 2 when nothing was done.
    """
    if is_all and (run is not None or not (because or "").strip()):
        raise UsageError('All runs are stopped with a reason, and no folder: mcp-chaos stop --all --because "..."')
    problems = _forbid(str(because)) if is_all else []
    going_on = [entry for entry in entries() if entry.is_going_on]
    chosen = going_on if is_all else _chosen(run, [entry for entry in going_on if entry.is_mine])
    why = f"mcp-chaos stop{' --all' if is_all else ''}" + (f", {because}" if because else "")
    problems += stop_runs(chosen, why, lambda line: tell(printable(line)))
    if run is None and not chosen:
        tell("No run goes on.")
    if run is None:
        problems += _clean_up_all()
    _end(problems)


def _forbid(because: str) -> list[str]:
    """Forbid new runs; that this is not possible keeps nobody from stopping those that go on."""
    try:
        forbid_runs(because)
    except McpChaosError as error:
        return [str(error)]
    tell("New runs are refused from now on. To allow them again: mcp-chaos allow")
    return []


def _chosen(run: Path | None, going_on: list[Entry]) -> list[Entry]:
    """The run that is meant."""
    if run is None:
        if len({entry.process["pid"] for entry in going_on}) > 1:  # a suite of pytest has several
            raise UsageError([str(entry.run) for entry in going_on], "Several runs go on; say which, or --all")
        return going_on
    entry = entry_of(run.resolve())
    if entry is not None and entry.is_going_on:
        return [entry]
    if entry is None:
        RunFolder.open(run.resolve())
    elif not entry.is_mine:
        raise UsageError(f"{run} has ended, and is a run of {user_name(entry.owner)}, who can heal it: mcp-chaos heal")
    done = clean_up_entry(entry, _BY_HAND) if entry is not None else []
    tell("\n".join(map(printable, ["It has ended.", *done])))
    return []


@click.command()
def allow() -> None:
    """Let runs start again on this machine, after stop --all."""
    tell("Runs are allowed again." if allow_runs() else "Runs are allowed; nobody has stopped them.")


@click.command()
@click.argument("run", type=_RUN, required=False)
def heal(run: Path | None) -> None:
    """Take back what a RUN left behind: its faults, its proxies, its processes.

    Without RUN: look for all runs of yours on this machine that were killed, and heal them.
    """
    if run is None:
        if not leftover_runs():
            tell("No run was left behind on this machine.")
        problems = _clean_up_all()
        for other in entries():
            if other.is_going_on and other.is_mine:
                tell(f"{printable(str(other.run))} still goes on. To end and heal it: mcp-chaos stop")
        _end(problems)
    path = run.resolve()
    entry = entry_of(path)
    if entry is not None and entry.is_mine and not entry.is_going_on:
        done = clean_up_entry(entry, _BY_HAND)
    else:
        folder = RunFolder.open(path)
        if (entry is not None and entry.is_going_on) or _names_a_process(folder):
            raise UsageError(f"{run} still goes on. To end and heal it: mcp-chaos stop {run}")
        done = clean_up(folder, Clock.start(), _BY_HAND)
    if not done:
        RunFolder(path).events()  # where they cannot be read, nobody knows what was left
    tell("\n".join(map(printable, done)) if done else "Nothing was left behind.")


def _names_a_process(folder: RunFolder) -> bool:
    """Whether the process of a run is there; a manifest that cannot be read names none, which may be healed."""
    try:
        manifest = folder.read("manifest.json")
    except HistoryError:
        return False
    return isinstance(manifest, dict) and is_alive(manifest.get("process"))


def _clean_up_all() -> list[str]:
    """Clean up after all runs of this user that were killed; says what could not be done."""
    problems = []
    for entry in leftover_runs():
        try:
            done = clean_up_entry(entry, _BY_HAND)
        except McpChaosError as error:
            problems.append(f"{entry.run}: {error}")
            continue
        tell(printable(f"{entry.run}: {', '.join(done) or 'it was killed, and nothing was left behind'}"))
    return problems


def _end(problems: list[str]) -> NoReturn:
    for problem in problems:
        tell(f"Error: {printable_lines(problem)}", err=True)
    raise SystemExit(EXIT_INCONCLUSIVE if problems else EXIT_PASS)

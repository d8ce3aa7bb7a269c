"""The command ``mcp-chaos``: arguments and exit codes only."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from mcp_chaos import __version__
from mcp_chaos.child import is_alive
from mcp_chaos.doctor import FAIL as FAILED
from mcp_chaos.doctor import examine
from mcp_chaos.errors import (
    EXIT_ABORTED,
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_INTERNAL,
    EXIT_PASS,
    McpChaosError,
    UsageError,
)
from mcp_chaos.faults.ledger import clean_up
from mcp_chaos.history import History, RunFolder, to_json, write_atomically
from mcp_chaos.init_command import EXPERIMENTS, starting_set, write
from mcp_chaos.lab import toxiproxy_server
from mcp_chaos.load.shape import SHAPES
from mcp_chaos.load.workload_file import AUTO
from mcp_chaos.load_command import KIND, SPEC, Plan, PlannedFault, Report, make_load
from mcp_chaos.records import Clock
from mcp_chaos.report.load import render_load
from mcp_chaos.report.terminal import render
from mcp_chaos.settings import resolve
from mcp_chaos.verdict import FAIL, INCONCLUSIVE, PASS, judge

T = TypeVar("T")

_EXIT_CODES = {PASS: EXIT_PASS, FAIL: EXIT_FAIL, INCONCLUSIVE: EXIT_INCONCLUSIVE}


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Break the network of MCP servers on purpose, under load, and get a verdict.

    Experiments are run by Chaos Toolkit: chaos run experiments/network_partition.yaml
    """


@cli.group()
def toxiproxy() -> None:
    """The Toxiproxy server."""


@toxiproxy.command()
def install() -> None:
    """Find the Toxiproxy server, or download or build it, once per machine; print where it is."""
    click.echo(toxiproxy_server.ensure(lambda line: click.echo(line, err=True)))


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Judge a RUN folder again from its files and print the table; the exit code is the verdict's."""
    folder = RunFolder.open(run)
    if folder.manifest().get("kind") == KIND:
        raise SystemExit(_show_load(Report.read(folder)))
    verdict = judge(History.read(folder))
    click.echo(render(verdict, colour=sys.stdout.isatty(), width=_width()))
    raise SystemExit(_EXIT_CODES[verdict.verdict])


_NUMBERS = {
    "requests": (int, "burst: how many calls"),
    "concurrency": (int, "burst: how many users at a time"),
    "users": (int, "sustained, locust: how many users"),
    "max_users": (int, "ramp: the last step's users; constant: the most calls under way"),
    "step_users": (int, "ramp: how many users a step adds"),
    "requests_per_user": (int, "ramp, sustained: calls per user and step or cycle"),
    "pause_s": (float, "ramp: seconds between steps"),
    "stop_below_fraction": (float, "ramp: the success below which it ends"),
    "cycle_s": (float, "sustained: seconds from one cycle to the next"),
    "duration_s": (float, "sustained, constant, locust: how long"),
    "rate_per_s": (float, "constant: calls due in a second"),
    "arrivals": (str, "constant: constant or poisson"),
    "spawn_rate_per_s": (float, "locust: users added in a second"),
}


def _number_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, (kind, text) in reversed(_NUMBERS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=text)(command)
    return command


@cli.command()
@click.argument("shape", type=click.Choice([SPEC, *SHAPES]))
@click.option("--url", help="The MCP endpoint to load (or MCP_URL); without one, the embedded reference server.")
@click.option("--dialect", help="How to speak to it (or MCP_DIALECT).")
@click.option("--allow-host", "hosts", multiple=True, help="A host besides this machine that may be loaded.")
@click.option(
    "--workload", multiple=True, help="What to call: a built-in workload, a file, or auto. Several are mixed."
)
@click.option("--workers", type=int, default=1, show_default=True, help="Processes that share the load.")
@click.option("--deadline-s", type=float, default=10.0, show_default=True, help="The longest a call may take.")
@click.option("--seed", type=int, help="Of the choices and of random arrivals (or MCP_CHAOS_SEED).")
@click.option("--fault", "faults", multiple=True, help="Such as 'add_latency latency_ms=200 from_s=3 for_s=5'.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, and nothing else, on stdout.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the result as JSON to a file.")
@_number_options
def load(
    shape: str,
    url: str | None,
    dialect: str | None,
    hosts: tuple[str, ...],
    workload: tuple[str, ...],
    workers: int,
    deadline_s: float,
    seed: int | None,
    faults: tuple[str, ...],
    as_json: bool,
    out: Path | None,
    **numbers: Any,
) -> None:
    """Load a server and say how it did.

    \b
    spec       the specification's script: burst, ramp, and a sustained load at
               the ramp's last step, if that held
    burst      so many calls by so many users
    ramp       users step by step, until fewer than 95 % of the calls succeed
    sustained  cycles of calls for a time
    constant   an open loop: a rate held whatever the server does
    locust     Locust's users, if it is installed

    Numbers not given are the specification's. Exit code: 0 when the load was made, 3 when its result says little
    (the generator could not keep up, a fault was not felt, ...), 4 when it was interrupted.
    """  # noqa: D301  # the backspace keeps the lines after it as they are
    settings: dict[str, Any] = {
        "mcp_url": url,
        "mcp_dialect": dialect,
        "mcp_workload": ",".join(workload),
        "mcp_chaos_seed": seed,
    }
    if hosts:
        settings["mcp_chaos_allow_hosts"] = ",".join([*hosts, os.environ.get("MCP_CHAOS_ALLOW_HOSTS", "")])
    given = {name: value for name, value in numbers.items() if value is not None}
    problems: list[str] = []
    parsed = [_collected(problems, partial(PlannedFault.parse, fault)) for fault in faults]
    plan = Plan(shape, given, [fault for fault in parsed if fault is not None], deadline_s, workers)
    _collected(problems, plan.check)
    resolved = _collected(problems, lambda: resolve(settings))
    if out is not None and not out.resolve().parent.is_dir():
        problems.append(f"--out: there is no folder {out.resolve().parent}")
    if problems or resolved is None:
        raise UsageError(problems, "The load cannot be started, and nothing was touched")
    made = make_load(plan, resolved, lambda line: click.echo(line, err=True))
    text = to_json(made.as_dict())
    if out is not None:
        write_atomically(out.resolve(), text)
    if as_json:
        click.echo(text, nl=False)
        raise SystemExit(_exit_code(made))
    raise SystemExit(_show_load(made))


def _collected(problems: list[str], act: Callable[[], T]) -> T | None:
    """What ``act`` gives; ``None`` when it found problems, which are added to the others."""
    try:
        return act()
    except UsageError as error:
        problems += error.problems
        return None


def _show_load(made: Report) -> int:
    colour = sys.stdout.isatty()
    click.echo(render_load(made.results, made.measured, made.doubts, colour=colour, width=_width()), nl=False)
    click.echo(f"\nThe run is kept in {made.folder.path}")
    return _exit_code(made)


def _exit_code(made: Report) -> int:
    if made.interrupted:
        return EXIT_ABORTED
    return EXIT_INCONCLUSIVE if made.doubts else EXIT_PASS


def _width() -> int:
    return max(80, shutil.get_terminal_size((120, 24)).columns)


_MARKS = {"ok": "green", "warn": "yellow", "fail": "red"}


@cli.command()
@click.option("--url", help="The MCP endpoint to look at (or MCP_URL); without one, the embedded reference server.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, and nothing else, on stdout.")
def doctor(url: str | None, as_json: bool) -> None:
    """Look at the server, Toxiproxy and this machine, and say what a run would find; changes nothing.

    Exit code: 0 when nothing is wrong (warnings may be there), 3 when something is.
    """
    checks = []
    for check in examine({"mcp_url": url}):
        checks.append(check)
        if not as_json:
            click.echo(f"{click.style(f'{check.status:5}', fg=_MARKS[check.status])}{check.name:10} {check.found}")
            if check.advice:
                click.echo(f"{'':16}{check.advice}")
    if as_json:
        click.echo(to_json([asdict(check) for check in checks]), nl=False)
    raise SystemExit(EXIT_INCONCLUSIVE if any(check.status == FAILED for check in checks) else EXIT_PASS)


@cli.command()
@click.option("--url", help="The MCP endpoint of your server (or MCP_URL).")
@click.option("--command", help="The command of your stdio server (or MCP_COMMAND).")
@click.option("--folder", default="chaos", show_default=True, help="Where the experiments go.")
@click.option("--start", default="", help="The command that starts your server in CI, where it is not over stdio.")
def init(url: str | None, command: str | None, folder: str, start: str) -> None:
    """Write experiments, a workload, a profile and a CI workflow for your server into this repository."""
    settings = resolve(
        {"mcp_url": url, "mcp_command": command, "mcp_workload": "" if os.environ.get("MCP_TOOL") else AUTO}
    )
    if settings.embedded:
        raise UsageError("Say which server it is for: --url http://127.0.0.1:8000/mcp, or --command 'uvx my-server'.")
    left_out: list[str] = []
    made = starting_set(settings, folder, start, left_out)
    write(made, Path())
    for sentence in left_out:
        click.echo(f"Not called: {sentence}")
    click.echo("\n".join(f"Wrote {path}" for path in made))
    click.echo(f"Next: cd {folder} && chaos run {EXPERIMENTS[0]}.yaml")


@cli.command()
def locustfile() -> None:
    """Print where the locustfile is, for locust -f."""
    click.echo(Path(__file__).parent / "load" / "locustfile.py")


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
def heal(run: Path) -> None:
    """Take back what a RUN left behind: its faults, its proxies, its processes."""
    folder = RunFolder.open(run.resolve())
    manifest = folder.read("manifest.json")  # of any version: what a run left behind is healed all the same
    if isinstance(manifest, dict) and is_alive(manifest.get("process")):
        raise UsageError(f"{run} still goes on. Stop it (Ctrl-C, or SIGTERM to its process): it heals by itself.")
    done = clean_up(folder, Clock.start(), "it was healed by hand")
    click.echo("\n".join(done) if done else "Nothing was left behind.")


def main() -> None:
    """Run the command; every error ends in a message and a code of the table in ``errors``."""
    try:
        cli(standalone_mode=False)
    except McpChaosError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("Aborted.", err=True)
        raise SystemExit(EXIT_ABORTED) from None
    except Exception as error:
        click.echo(f"mcp_chaos has a bug: {error!r}. Please report it, with the command you ran.", err=True)
        raise SystemExit(EXIT_INTERNAL) from error


if __name__ == "__main__":
    main()

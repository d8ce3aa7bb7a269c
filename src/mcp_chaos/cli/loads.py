"""``mcp-chaos load``."""

import os
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from mcp_chaos.cli.paths import AnyPath
from mcp_chaos.commands.load import make_load
from mcp_chaos.commands.load_plan import SPEC, Plan, PlannedFault
from mcp_chaos.commands.load_report import Report
from mcp_chaos.config.settings import resolve
from mcp_chaos.errors import EXIT_ABORTED, EXIT_INCONCLUSIVE, EXIT_PASS, UsageError
from mcp_chaos.history.files import to_json, write_atomically
from mcp_chaos.load.checks import shape_numbers
from mcp_chaos.load.shapes import SHAPES
from mcp_chaos.machine.streams import has_colours, tell, width
from mcp_chaos.report.load import render_load
from mcp_chaos.run.preconditions import machine_problems

T = TypeVar("T")

_HELP_WIDTH = 78


def number_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command with an option for each number of each load shape."""
    for name, (kind, text) in reversed(shape_numbers().items()):
        command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=text)(command)
    return command


def load_help() -> str:
    """What ``mcp-chaos load --help`` says, with all load shapes."""
    known = {
        SPEC: "the specification's script: burst, ramp, and a sustained load at the ramp's last step, if that held"
    }
    known |= {kind: shape.summary for kind, shape in SHAPES.items()}
    lines = "\n".join(
        textwrap.fill(summary, _HELP_WIDTH, initial_indent=f"{kind:<11}", subsequent_indent=" " * 11)
        for kind, summary in known.items()
    )
    return (
        f"Load a server and say how it did.\n\n\b\n{lines}\n\n"
        "Numbers not given are the specification's. Exit code: 0 when the load was made, 3 when its result says little "
        "(the generator could not keep up, a fault was not felt, ...), 4 when it was interrupted."
    )


@click.command(help=load_help())
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
@click.option("--out", type=AnyPath(dir_okay=False), help="Write the result as JSON to a file.")
@number_options
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
    """Load a server and say how it did: see ``load_help``."""
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
    parsed = [collected(problems, partial(PlannedFault.parse, fault)) for fault in faults]
    plan = Plan(shape, given, [fault for fault in parsed if fault is not None], deadline_s, workers)
    collected(problems, plan.check)
    resolved = collected(problems, lambda: resolve(settings))
    problems += machine_problems(resolved) if resolved is not None else []
    if out is not None and (out.is_dir() or not out.resolve().parent.is_dir()):
        problems.append(f"--out: a file in a folder that is there is needed, not {str(out)!r}")
    if problems or resolved is None:
        raise UsageError(problems, "The load cannot be started, and nothing was touched")
    made = make_load(plan, resolved, lambda line: tell(line, err=True))
    text = to_json(made.as_dict())
    if as_json:
        tell(text, nl=False)
    else:
        tell(load_text(made))
    if out is not None:
        _write(out, text, made)
    raise SystemExit(exit_code(made))


def _write(out: Path, text: str, made: Report) -> None:
    """Write the result, which has been shown before.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_atomically(out.absolute(), text)
    except OSError as error:
        raise UsageError(
            f"--out: {out} cannot be written ({error.strerror}). The load was made, and is kept in {made.folder.path}."
        ) from None


def collected(problems: list[str], act: Callable[[], T]) -> T | None:
    """What ``act`` gives; ``None`` when it found problems, which are added to the others."""
    try:
        return act()
    except UsageError as error:
        problems += error.problems
        return None


def load_text(made: Report) -> str:
    """The report of a load for people."""
    text = render_load(made.results, made.measured, made.doubts, colour=has_colours(), width=width())
    return f"{text}\nThe run is kept in {made.folder.path}"


def exit_code(made: Report) -> int:
    """What the report of a load means."""
    if made.interrupted:
        return EXIT_ABORTED
    return EXIT_INCONCLUSIVE if made.doubts else EXIT_PASS

"""``mcp-chaos gate``."""

import fcntl
import math
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from chaoslib import convert_vars

from mcp_chaos.cli.folders import otel_exporter, write_text
from mcp_chaos.cli.loads import collected
from mcp_chaos.cli.paths import AnyPath
from mcp_chaos.commands.doctor import OK, WARN, Check
from mcp_chaos.config import shipped
from mcp_chaos.errors import EXIT_INTERNAL, EXIT_PASS, EXIT_USAGE, McpChaosError, UsageError
from mcp_chaos.gate import formats
from mcp_chaos.gate.baseline import Baseline
from mcp_chaos.gate.item import Item
from mcp_chaos.gate.plan import Plan
from mcp_chaos.gate.plan_file import is_experiment, make_plan
from mcp_chaos.gate.result import Comparison, GateResult
from mcp_chaos.gate.runner import Judge, run_plan
from mcp_chaos.history.files import to_json
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.printable import printable, printable_lines
from mcp_chaos.machine.signals import undisturbed
from mcp_chaos.machine.streams import has_colours, tell, width
from mcp_chaos.report.html import RunPage, render_page, run_page
from mcp_chaos.report.prometheus import as_prometheus
from mcp_chaos.toolkit.given import PROFILE_SUFFIXES, Given, Profile, read, set_variables
from mcp_chaos.verdict.judge import INCONCLUSIVE, PASS


def _as_html(result: GateResult) -> str:
    """The page of a gate, with that of each run that counts."""
    gate = result.as_dict()
    for entry, experiment in zip(gate["experiments"], result.experiments, strict=True):
        entry["anchor"] = experiment.run.name if experiment.run is not None else None
    return render_page(result.plan.title, result.outcome, _shown(result), gate)


def _shown(result: GateResult) -> list[RunPage]:
    return [run_page(folder) for folder in _folders(result)]


def _folders(result: GateResult) -> list[RunFolder]:
    """Of the runs that count."""
    return [RunFolder.open(e.run) for e in result.experiments if e.run is not None]


_FORMATS: dict[str, tuple[str, Callable[[GateResult], str]]] = {
    "junit": ("JUnit XML", formats.as_junit),
    "json": ("JSON, as in gate/result.schema.json", lambda result: to_json(result.as_dict())),
    "markdown": ("Markdown, for a pipeline's summary", formats.as_markdown),
    "html": ("one page for people, which needs no network", _as_html),
    "prometheus": ("a Prometheus text file", lambda result: as_prometheus(_shown(result), result.as_dict())),
}
_FILE = AnyPath(dir_okay=False)
_LONGEST_S = 7 * 24 * 3600.0
_CORE = "core"
"""The tag of those experiments that are run where none are given."""


def _file_options(command: Callable[..., None]) -> Callable[..., None]:
    for name, (text, _) in reversed(_FORMATS.items()):
        command = click.option(f"--{name}", name, type=_FILE, metavar="FILE", help=f"Write the result as {text}.")(
            command
        )
    return command


@click.command()
@click.argument("sources", nargs=-1, type=AnyPath(), metavar="[PLAN | EXPERIMENT...]")
@click.option("--var", "variables", multiple=True, help="A number of the experiments, as key[:type]=value.")
@click.option(
    "--var-file",
    "files",
    multiple=True,
    type=AnyPath(),
    help="A profile with such numbers, one of quick and spec, or a file of variables such as .env.",
)
@click.option(
    "--settings", type=_FILE, metavar="FILE", help="Chaos Toolkit's settings file (~/.chaostoolkit/settings.yaml)."
)
@click.option("--budget-s", type=click.FloatRange(0, _LONGEST_S, min_open=True), help="The time all of it may take.")
@click.option("--stop-on-first/--run-all", default=None, help="Whether the first that does not pass is the last.")
@click.option("--retries", type=click.IntRange(0, 10), help="How often an inconclusive experiment is run again (1).")
@_file_options
@click.option("--baseline", type=_FILE, metavar="FILE", help="Fail what became worse than the runs kept in FILE.")
@click.option("--save-baseline", "save", type=_FILE, metavar="FILE", help="Add the runs that passed to those in FILE.")
@click.option("--all", "everything", is_flag=True, help="Run all experiments of the folder, not the core of them only.")
@click.option("--list", "listing", is_flag=True, help="Show all, whether they apply to the target; run none.")
@click.option("--otel", is_flag=True, help="Export the runs by OpenTelemetry; OTEL_EXPORTER_OTLP_ENDPOINT says where.")
def gate(
    sources: tuple[Path, ...],
    variables: tuple[str, ...],
    files: tuple[Path, ...],
    settings: Path | None,
    budget_s: float | None,
    stop_on_first: bool | None,
    retries: int | None,
    baseline: Path | None,
    save: Path | None,
    everything: bool,
    listing: bool,
    otel: bool,
    **outputs: Path | None,
) -> None:
    """Run experiments in order and give one answer that a pipeline can stop on.

    Without arguments: the experiments in the folder experiments, or else in this one, or else those that come with
    mcp_chaos; where some of them have the tag core, only those, and the rest too with --all. Each that comes with
    mcp_chaos can be given by its name, as network_partition, and so can its profiles: --var-file quick.

    \b
    Exit code   0  pass            every experiment passed, or failed as expected
                1  fail            one failed, or passes though it is expected to fail
                2  usage           nothing was touched; or a file could not be written
                3  inconclusive    one proves nothing, or there was no time for it
                4  aborted         by a person or a signal; everything was healed
                5  internal error  a bug of mcp_chaos
    """  # noqa: D301  # the backspace keeps the lines after it as they are
    problems: list[str] = []
    sources = tuple(shipped.named(source, shipped.experiments()) for source in sources)
    given = _given(variables, [shipped.named(path, shipped.profiles()) for path in files])
    plan = collected(problems, lambda: make_plan(sources or _experiments_here(), given.values))
    earlier = None if baseline is None else collected(problems, lambda: Baseline.read(baseline))
    if save is not None:
        collected(problems, lambda: _kept(save))
    options: dict[str, Any] = {"budget_s": budget_s, "stop_on_first": stop_on_first, "retries": retries}
    core: Sequence[Item] = []
    more = 0
    if plan is not None:
        core = core_of(plan.items)
        if core and not (sources or everything or listing):
            more = len(plan.items) - len(core)
            plan = replace(plan, items=core)
        plan = replace(
            plan, **{name: value for name, value in options.items() if value is not None}, leaves_out=not sources
        )
        problems += _plan_problems(plan, given, earlier)
    else:
        problems += given.problems_so_far
    written = {name: path.absolute() for name, path in outputs.items() if path is not None}
    inputs = [*sources, *files, *(item.path for item in (plan.items if plan is not None else []))]
    problems += _output_problems(written, {"baseline": baseline, "save-baseline": save}, inputs)
    exporter = collected(problems, otel_exporter) if otel else None
    if settings is not None and collected(problems, lambda: read(settings)) is not None and plan is not None:
        plan = replace(plan, items=[replace(item, toolkit_settings=settings) for item in plan.items])
    if sources and everything:
        problems.append("--all: experiments are given, and all of those are run; give one or the other")
    if problems or plan is None:
        raise UsageError(problems, "The gate cannot be run as it is, and nothing was touched")
    if listing:
        tell(_listed(plan, [] if sources else core))
        raise SystemExit(EXIT_PASS)
    if more:
        _say(f"{more} more {'experiment' if more == 1 else 'experiments'} with --all")
    judge: Judge = earlier.judge if earlier is not None else lambda title, attempt: Comparison()
    result = run_plan(plan, _say, judge)
    with undisturbed():  # there is nothing left that a signal could end
        # The answer first: whatever becomes of the files, it has been told.
        tell(formats.as_text(result, colour=has_colours(), width=width()), nl=False)
        codes = [_made(output) for output in _outputs(result, written, save, exporter)]
        raise SystemExit(result.exit_code or max(codes, default=EXIT_PASS))


def core_of(items: Sequence[Item]) -> list[Item]:
    """Those that have the tag core; empty where none has it.

    One that cannot be read is among them, so that it is told what is wrong with it.
    """
    tags = [collected([], item.tags) for item in items]
    if not any(_CORE in (found or ()) for found in tags):
        return []
    return [item for item, found in zip(items, tags, strict=True) if found is None or _CORE in found]


def _listed(plan: Plan, core: Collection[Item]) -> str:
    """Each experiment: is it of the core, where there is one, and does it apply, or what would it take?"""
    wide = max(len(item.title()) for item in plan.items)
    lines = []
    for item in plan.items:
        why = item.why_not_applicable()
        part = f"{'core' if item in core else '--all':5}  " if core else ""
        lines.append(f"{item.title():{wide}}  {part}{(why and f'not applicable: {why}') or 'applies'}")
    return "\n".join(lines)


def applying(url: str | None) -> Iterator[Check]:
    """For the doctor: each experiment that comes with mcp_chaos, whether it applies, or what is missing.

    Args:
        url: of the server, in place of the one that is set.
    """
    whys: dict[str, str] = {}
    for name, path in shipped.experiments().items():
        whys[name] = Item(path, {"mcp_url": url} if url else {}).why_not_applicable()
    yield Check("apply", OK, ", ".join(name for name, why in whys.items() if not why) or "no experiment")
    for why in dict.fromkeys(filter(None, whys.values())):
        yield Check("not apply", WARN, f"{', '.join(name for name in whys if whys[name] == why)}: {why}")


def _plan_problems(plan: Plan, given: Given, earlier: Baseline | None) -> list[str]:
    """What is wrong with a plan as it is to be run."""
    problems: list[str] = []
    if plan.budget_s is not None and not math.isfinite(plan.budget_s):
        problems.append("--budget-s: a number of seconds is needed")
    collected(problems, plan.check)
    known = [item for item in plan.items if collected([], item.title) is not None]
    if known:
        problems += given.problems(plan.declared())
        problems += earlier.problems([item.title() for item in known]) if earlier is not None else []
    return problems


def _outputs(
    result: GateResult,
    written: Mapping[str, Path],
    save: Path | None,
    exporter: Callable[[Sequence[RunFolder]], None] | None,
) -> Iterator[Callable[[], object]]:
    """What is made of a result besides the answer."""
    for name, (_, make) in _FORMATS.items():
        if name in written:
            yield partial(lambda path, make: write_text(path, make(result)), written[name], make)
    if save is not None:
        yield partial(_keep, save, result)
    if exporter is not None:
        yield lambda: exporter(_folders(result))


def _made(output: Callable[[], object]) -> int:
    """Make an output; what that means for the exit code. The others are made, whether this one can be or not."""
    try:
        output()
    except (McpChaosError, OSError) as error:
        tell(f"Error: {printable_lines(str(error))}", err=True)
        return EXIT_USAGE
    except Exception as error:
        tell(f"mcp_chaos has a bug: {error!r}. Please report it, with the command you ran.", err=True)
        return EXIT_INTERNAL
    return EXIT_PASS


def _output_problems(
    written: Mapping[str, Path], baselines: Mapping[str, Path | None], inputs: Sequence[Path]
) -> list[str]:
    """What is wrong with the places of the files: they cannot be written, or would be written over what is needed."""
    problems = []
    taken = {path.resolve(): "what this gate reads" for path in inputs}
    taken |= {path.resolve(): f"that of --{name}" for name, path in baselines.items() if path is not None}
    save = baselines["save-baseline"]
    for name, path in {**written, **({"save-baseline": save.absolute()} if save is not None else {})}.items():
        if path.name == "-":
            problems.append(f"--{name}: a file is needed")
        elif path.is_dir():
            problems.append(f"--{name}: a file is needed, and {path} is a folder")
        elif path.exists() and not path.is_file():  # a device or a pipe is written to as it is
            problems += [] if os.access(path, os.W_OK) else [f"--{name}: {path} cannot be written"]
        elif not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            problems.append(f"--{name}: there is no folder {path.parent} that can be written")
    for name, path in written.items():
        where = path.resolve()
        if where in taken and (where.is_file() or not where.exists()):  # a device takes whatever comes
            problems.append(f"--{name}: {path} is {taken[where]}")
        taken[where] = f"that of --{name}"
    return problems


def _kept(path: Path) -> Baseline:
    """The baseline to add to; an empty one where there is no file yet."""
    return Baseline.read(path) if path.exists() else Baseline({})


def _keep(path: Path, result: GateResult) -> None:
    """Add the runs that passed to a baseline; one of a setting that it did not know yet is the first of its kind."""
    with _alone_in(path.absolute().parent):  # another gate may have added to it meanwhile
        kept = _kept(path)
        for experiment in result.experiments:
            new = experiment.outcome == INCONCLUSIVE and experiment.compared.is_new
            if experiment.run is not None and (experiment.outcome == PASS or new):
                kept.add(experiment.title, RunFolder.open(experiment.run))
        kept.write(path)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Other gates that would write there wait; a lock on the folder itself leaves no file behind."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def tell_result(plan: Plan, page: Path) -> int:
    """Run a checked plan, print its answer, and write its page.

    Returns:
        The exit code.
    """
    result = run_plan(plan, _say, lambda title, attempt: Comparison())
    with undisturbed():
        tell(formats.as_text(result, colour=has_colours(), width=width()), nl=False)
        made = _made(lambda: write_text(page, _as_html(result)))
        return result.exit_code or made


def _say(line: str) -> None:
    tell(printable(line), err=True)


def _experiments_here() -> tuple[Path, ...]:
    """The experiments of the folder ``experiments``, or else of this one, or else those that come with mcp_chaos."""
    for folder in (Path("experiments"), Path()):
        found = [path for path in sorted(folder.glob("*")) if path.suffix in (".yaml", ".yml", ".json")]
        found = [path for path in found if is_experiment(path)]
        if found:
            return tuple(found)
    return tuple(shipped.experiments().values())


def _given(variables: Sequence[str], files: Sequence[Path]) -> Given:
    """What takes the place of the experiments' own numbers: files in order, then single ones."""
    problems: list[str] = []
    for path in files:
        if path.suffix not in PROFILE_SUFFIXES:
            collected(problems, partial(set_variables, path))
    profiles = [collected(problems, partial(Profile.read, path)) for path in files if path.suffix in PROFILE_SUFFIXES]
    made: dict[str, Any] = {}
    for variable in variables:
        try:
            made |= convert_vars([variable])
        except ValueError:
            problems.append(f"--var: {variable!r} is not of the form key[:type]=value, with a value of that type")
    return Given([profile for profile in profiles if profile is not None], made, problems)

"""``mcp-chaos try``: from a server that a person has to a verdict, in one command."""

import os
import shlex
from dataclasses import replace
from pathlib import Path

import click

from mcp_chaos.cli.demos import QUICK
from mcp_chaos.cli.gates import core_of, tell_result
from mcp_chaos.commands.init import EXPERIMENTS
from mcp_chaos.config import shipped
from mcp_chaos.config.client_file import environment_of
from mcp_chaos.config.settings import Settings, resolve
from mcp_chaos.errors import EXIT_INCONCLUSIVE, UsageError
from mcp_chaos.gate.plan import Plan
from mcp_chaos.gate.plan_file import make_plan
from mcp_chaos.history.files import write_atomically
from mcp_chaos.machine.printable import printable, printable_lines
from mcp_chaos.machine.streams import tell
from mcp_chaos.mcp import DIALECTS
from mcp_chaos.observe.advice import shown
from mcp_chaos.run.choice import NothingToCallError, check_workload, choose_workload
from mcp_chaos.run.reachable import reachable
from mcp_chaos.run.trial import sent
from mcp_chaos.toolkit.given import Profile
from mcp_chaos.workload.file import as_yaml, draft
from mcp_chaos.workload.workload import Workload

_SCHEMES = ("http://", "https://", "ws://", "wss://")
_ABOUT_S = 20
"""How long one experiment takes with the quick profile."""
_NAMED = ("MCP_TOOL", "MCP_ARGUMENTS", "MCP_WORKLOAD")
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("try")
@click.argument("target", nargs=-1, metavar="[URL | -- COMMAND... | NAME]")
@click.option(
    "--config", type=_FILE, metavar="FILE", help="A client's file with mcpServers, as .mcp.json; NAME is one."
)
@click.option("--allow", multiple=True, metavar="TOOL", help="A tool that may be called though it is not read-only.")
@click.option("--allow-host", "hosts", multiple=True, help="A host besides this machine that may be tested.")
@click.option("--tool", default="", help="The tool to call.")
@click.option("--arguments", default="", metavar="JSON", help="Its arguments.")
@click.option("--workload", default="", metavar="FILE", help="What to call: a workload's file.")
@click.option(
    "--only", multiple=True, metavar="NAME", help="An experiment to run, instead of the core of those that apply."
)
@click.option("--html", "page", type=_FILE, default="mcp-chaos.html", show_default=True, help="Where the page goes.")
@click.option("--open", "opens", is_flag=True, help="Show the page in a browser.")
@click.option("--yes", is_flag=True, help="Do not ask before anything is called again and again.")
def try_server(
    target: tuple[str, ...],
    config: Path | None,
    allow: tuple[str, ...],
    hosts: tuple[str, ...],
    tool: str,
    arguments: str,
    workload: str,
    only: tuple[str, ...],
    page: Path,
    opens: bool,
    yes: bool,
) -> None:
    """Break the network of your own MCP server, and get a verdict and a page.

    \b
    mcp-chaos try http://127.0.0.1:8000/mcp
    mcp-chaos try -- uvx mcp-server-time
    mcp-chaos try --config .mcp.json NAME

    Looks at the server, tries what may be called (read-only tools, and those of --allow), says what it is about to
    call, asks, and runs the core of the experiments with the quick profile. The exit code is the verdict's.
    """  # noqa: D301  # the backspace keeps the lines after it as they are
    os.environ.update(_target(target, config))
    os.environ.update(_given(allow, hosts, tool, arguments, workload))
    settings = resolve({})
    if settings.embedded:
        raise UsageError("Say which server: a URL, a command after --, or --config FILE. Without one: mcp-chaos demo.")
    if settings.workload is None and not settings.tool:
        settings = replace(settings, auto_workload=True)
    chosen = _chosen(settings)
    if settings.workload is None:
        path = _new(Path("mcp-chaos-workload.yaml"), as_yaml(chosen, "What mcp-chaos try calls."))
        os.environ.update(MCP_WORKLOAD=str(path.absolute()), MCP_TOOL="", MCP_ARGUMENTS="")
    plan = _plan(only)
    applying = [item for item in plan.items if not plan.left_out(item)]
    seconds = _ABOUT_S * len(applying)
    tell(f"Experiments: {', '.join(item.path.stem for item in applying)}, about {seconds} s in all.")
    _ask(yes)
    code = tell_result(plan, page)
    if opens:
        click.launch(page.absolute().as_uri())
    command = "..." if config is not None else shlex.quote(shlex.join(settings.command))  # a file's may have secrets
    told = f"--command {command}" if settings.command else f"--url {settings.mcp_url}"
    allowed = "".join(f" --allow {shlex.quote(name)}" for name in sorted(settings.allowed_tools))
    called = shlex.quote(os.path.relpath(os.environ["MCP_WORKLOAD"]))
    tell(f"Next, for experiments of your own and CI: mcp-chaos init {told} --workload {called}{allowed}")
    raise SystemExit(code)


def _target(target: tuple[str, ...], config: Path | None) -> dict[str, str]:
    """The server, as variables of the environment; those that name another are emptied."""
    nobody = {"MCP_URL": "", "MCP_COMMAND": ""}
    if config is not None:
        if len(target) > 1:
            raise UsageError(f"--config: one name of a server is needed, not {len(target)}.")
        return {**nobody, **environment_of(config, "".join(target))}
    if len(target) == 1 and target[0].lower().startswith(_SCHEMES):
        return {**nobody, "MCP_URL": target[0]}
    return {**nobody, "MCP_COMMAND": shlex.join(target)} if target else {}


def _given(allow: tuple[str, ...], hosts: tuple[str, ...], tool: str, arguments: str, workload: str) -> dict[str, str]:
    """What else was given, as variables of the environment."""
    given = {"MCP_TOOL": tool, "MCP_ARGUMENTS": arguments, "MCP_WORKLOAD": workload}
    named = tool or workload  # what was named here wins over what the environment names
    # The tool that a person names here is one that may be called.
    for name, values in (("MCP_CHAOS_ALLOW_TOOLS", [*allow, tool]), ("MCP_CHAOS_ALLOW_HOSTS", [*hosts])):
        given[name] = ",".join(filter(None, [os.environ.get(name, ""), *values]))
    return {name: value for name, value in given.items() if value or (named and name in _NAMED)}


def _chosen(settings: Settings) -> Workload:
    """What the load will call, which is told."""
    left_out: list[str] = []
    try:
        with reachable(settings) as there:
            url = there.mcp_url or ""
            if not DIALECTS[there.dialect].lists_tools:
                there = replace(there, auto_workload=False)
            workload = check_workload(there, url, choose_workload(there, url, left_out.append))
    except NothingToCallError as error:
        tell(f"Error: {printable_lines(str(error))}", err=True)
        path = _new(Path("mcp-chaos-workload.yaml"), draft(error.tried.tools, "A draft of what a load is to call."))
        tell(f"Wrote a draft: {path}. Fill it in, then: mcp-chaos try ... --workload {path}", err=True)
        raise SystemExit(EXIT_INCONCLUSIVE) from None
    name = f"The stdio server {settings.program}" if settings.command else shown(settings.mcp_url or "")
    tell(f"{name} speaks the dialect '{there.dialect}'. These calls will be made again and again:")
    for operation in workload.mcp_calls:
        tell(f"  {printable(operation.name)} {sent(operation)}")
    for sentence in left_out:
        tell(printable(sentence))
    return workload


def _plan(only: tuple[str, ...]) -> Plan:
    known = shipped.experiments()
    unknown = [name for name in only if name not in known]
    if unknown:
        raise UsageError(f"--only: there is no experiment {unknown[0]!r}; there are {', '.join(known)}.")
    names = list(only) or [*EXPERIMENTS, *(name for name in known if name not in EXPERIMENTS)]
    values = Profile.read(shipped.profiles()[QUICK]).configuration
    plan = replace(make_plan([known[name] for name in names], values), title="try", leaves_out=not only)
    plan = plan if only else replace(plan, items=core_of(plan.items))
    plan.check()
    return plan


def _ask(yes: bool) -> None:
    if yes:
        return
    try:
        goes_on = click.confirm("Go on?", default=True)
    except click.Abort:
        raise UsageError("Nobody answered, so nothing was broken; say --yes.") from None
    if not goes_on:
        raise UsageError("Nothing was broken.")


def _new(path: Path, text: str) -> Path:
    """Write a file over nothing: where there is one of that name, a number is added."""
    free, number = path, 1
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    try:
        write_atomically(free.absolute(), text)
    except OSError as error:
        raise UsageError(f"{free} cannot be written ({error.strerror}).") from None
    return free

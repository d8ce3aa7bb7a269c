"""The command ``mcp-chaos``: arguments and exit codes only.

Commands import what they need when they are called, so that ``--help`` and a misspelt option are answered at once.
"""

import os
import shlex
from dataclasses import asdict
from io import StringIO
from itertools import chain
from pathlib import Path

import click

from mcp_chaos import __version__
from mcp_chaos.cli.lazy import LazyGroup
from mcp_chaos.errors import (
    EXIT_ABORTED,
    EXIT_INCONCLUSIVE,
    EXIT_INTERNAL,
    EXIT_PASS,
    EXIT_USAGE,
    McpChaosError,
    UsageError,
)
from mcp_chaos.history.files import to_json
from mcp_chaos.machine.printable import printable, printable_lines
from mcp_chaos.machine.signals import aborted_by_signals
from mcp_chaos.machine.streams import has_colours, repair_streams, tell


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Break the network of MCP servers on purpose, under load, and get a verdict.

    \b
    mcp-chaos demo                 see it work on an embedded server (extra lab)
    mcp-chaos try URL              break the network of your own server
    mcp-chaos doctor --url URL     look at your own server, change nothing
    mcp-chaos gate                 run the core of the experiments, as far as they apply (MCP_URL)
    mcp-chaos experiments copy     have them here, to change them

    Chaos Toolkit runs them too: chaos run $(mcp-chaos experiments path network_partition)
    """  # noqa: D301  # the backspace keeps the lines after it as they are


cli.add_lazily(
    "mcp_chaos.cli.tries", {"try": "Break the network of your own MCP server, and get a verdict and a page."}
)
cli.add_lazily(
    "mcp_chaos.cli.demos",
    {"demo": "Break the network of an embedded reference server, and show what a verdict looks like."},
)
cli.add_lazily("mcp_chaos.cli.experiments", {"experiments": "The experiments and profiles that come with mcp_chaos."})
cli.add_lazily("mcp_chaos.cli.loads", {"load": "Load a server and say how it did."})
cli.add_lazily(
    "mcp_chaos.cli.gates", {"gate": "Run experiments in order and give one answer that a pipeline can stop on."}
)
cli.add_lazily(
    "mcp_chaos.cli.folders",
    {
        "report": "Judge a RUN folder again from its files, print the table and write its page.",
        "runs": "List past runs with their verdicts, and how their figures went; those in FOLDER, or in runs.",
        "compare": "Put two runs side by side: verdicts, and each figure with its change.",
    },
)
cli.add_lazily(
    "mcp_chaos.cli.safety",
    {
        "heal": "Take back what a RUN left behind: its faults, its proxies, its processes.",
        "stop": "End a run from another shell and heal it: RUN, its folder; the one that goes on without; or --all.",
        "allow": "Let runs start again on this machine, after stop --all.",
    },
)


@cli.group()
def toxiproxy() -> None:
    """The Toxiproxy server."""


@toxiproxy.command()
def install() -> None:
    """Find the Toxiproxy server, or download or build it, once per machine; print where it is."""
    from mcp_chaos.faults import toxiproxy_install

    tell(str(toxiproxy_install.ensure(lambda line: tell(line, err=True))))


_MARKS = {"ok": "green", "warn": "yellow", "fail": "red"}


@cli.command()
@click.option("--url", help="The MCP endpoint to look at (or MCP_URL); without one, the embedded reference server.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON, and nothing else, on stdout.")
def doctor(url: str | None, as_json: bool) -> None:
    """Look at the server, Toxiproxy and this machine, and say what a run would find; changes nothing.

    Exit code: 0 when nothing is wrong (warnings may be there), 3 when something is, 2 when the settings cannot be used.
    """
    from mcp_chaos.cli.gates import applying
    from mcp_chaos.commands.doctor import FAIL, examine

    checks = []
    for check in chain(examine({"mcp_url": url}), applying(url)):
        checks.append(check)
        if not as_json:
            mark = f"{check.status:5}"
            mark = click.style(mark, fg=_MARKS[check.status]) if has_colours() else mark
            tell(f"{mark}{check.name:10} {printable(check.found)}")
            if check.advice:
                tell(f"{'':16}{printable(check.advice)}")
    if as_json:
        tell(to_json([asdict(check) for check in checks]), nl=False)
    failed = [check.name for check in checks if check.status == FAIL]
    raise SystemExit(EXIT_USAGE if "settings" in failed else EXIT_INCONCLUSIVE if failed else EXIT_PASS)


@cli.command()
@click.option("--url", help="The MCP endpoint of your server (or MCP_URL).")
@click.option("--command", help="The command of your stdio server (or MCP_COMMAND).")
@click.option("--folder", default="chaos", show_default=True, help="Where the experiments go.")
@click.option("--install", default="", help="The command that installs your server in CI, such as 'pip install -e .'.")
@click.option("--start", default="", help="The command that starts your server in CI, where it is not over stdio.")
@click.option("--tool", help="The tool to call (or MCP_TOOL); it is allowed by that.")
@click.option("--arguments", metavar="JSON", help="Its arguments (or MCP_ARGUMENTS).")
@click.option("--workload", metavar="FILE", help="What to call: a workload's file, such as mcp-chaos try wrote.")
@click.option("--allow", multiple=True, metavar="TOOL", help="A tool that may be called though it is not read-only.")
def init(
    url: str | None,
    command: str | None,
    folder: str,
    install: str,
    start: str,
    tool: str | None,
    arguments: str | None,
    workload: str | None,
    allow: tuple[str, ...],
) -> None:
    """Write experiments, a workload, a profile and a CI workflow for your server into this repository."""
    from mcp_chaos.commands.init import EXPERIMENTS, InCi, starting_set, write
    from mcp_chaos.config.settings import resolve
    from mcp_chaos.workload.file import AUTO

    tool_given = tool or os.environ.get("MCP_TOOL")
    allowed = ",".join(filter(None, [os.environ.get("MCP_CHAOS_ALLOW_TOOLS"), *allow, tool]))
    settings = resolve(
        {
            "mcp_url": url,
            "mcp_command": command,
            "mcp_tool": tool,
            "mcp_arguments": arguments,
            "mcp_workload": workload or ("" if tool_given else AUTO),
            "mcp_chaos_allow_tools": allowed,
        }
    )
    if settings.embedded:
        raise UsageError("Say which server it is for: --url http://127.0.0.1:8000/mcp, or --command 'uvx my-server'.")
    left_out: list[str] = []
    made = starting_set(settings, folder, InCi(install, start), left_out)
    write(made, Path())
    for sentence in left_out:
        tell(f"Not called: {printable(sentence)}")
    tell("\n".join(f"Wrote {path}" for path in made))
    if not Path(".git").exists():
        tell("This folder is no root of a git repository, where GitHub looks for .github/workflows.")
    tell(f"Next: cd {shlex.quote(folder)} && chaos run {EXPERIMENTS[0]}.yaml")


@cli.command()
def locustfile() -> None:
    """Print where the locustfile is, for locust -f."""
    tell(str(Path(__file__).parents[1] / "load" / "locust" / "locustfile.py"))


def _show(error: click.ClickException) -> None:
    with StringIO() as text:
        error.show(text)
        tell(printable_lines(text.getvalue()), err=True, nl=False)


def main() -> None:
    """Run the command; every error ends in a message and a code of the table in ``errors``."""
    repair_streams()
    try:
        with aborted_by_signals():
            cli(standalone_mode=False)
    except McpChaosError as error:
        tell(f"Error: {printable_lines(str(error))}", err=True)
        raise SystemExit(error.exit_code) from None
    except click.ClickException as error:
        _show(error)
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        tell("Aborted.", err=True)
        raise SystemExit(EXIT_ABORTED) from None
    except Exception as error:
        tell(f"mcp_chaos has a bug: {error!r}. Please report it, with the command you ran.", err=True)
        raise SystemExit(EXIT_INTERNAL) from error

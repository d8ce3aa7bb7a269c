"""The command ``mcp-chaos``: arguments and exit codes only."""

import shutil
import sys
from pathlib import Path

import click

from mcp_chaos import __version__
from mcp_chaos.child import is_alive
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
from mcp_chaos.history import History, RunFolder
from mcp_chaos.lab import toxiproxy_server
from mcp_chaos.records import Clock
from mcp_chaos.report.terminal import render
from mcp_chaos.verdict import FAIL, INCONCLUSIVE, PASS, judge

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
    verdict = judge(History.read(RunFolder.open(run)))
    width = max(80, shutil.get_terminal_size((120, 24)).columns)
    click.echo(render(verdict, colour=sys.stdout.isatty(), width=width))
    raise SystemExit(_EXIT_CODES[verdict.verdict])


@cli.command()
@click.argument("run", type=click.Path(path_type=Path))
def heal(run: Path) -> None:
    """Take back what a RUN left behind: its faults, its proxies, its processes."""
    folder = RunFolder.open(run.resolve())
    if is_alive(folder.read("manifest.json").get("process")):
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

"""What is done with the folders of runs that have ended."""

import sys
from pathlib import Path

import click

from mcp_chaos.cli.loads import show_load, width
from mcp_chaos.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS
from mcp_chaos.history import History, RunFolder
from mcp_chaos.load_command import KIND, Report
from mcp_chaos.report.terminal import render
from mcp_chaos.verdict import FAIL, INCONCLUSIVE, PASS, judge

_EXIT_CODES = {PASS: EXIT_PASS, FAIL: EXIT_FAIL, INCONCLUSIVE: EXIT_INCONCLUSIVE}


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
def report(run: Path) -> None:
    """Judge a RUN folder again from its files and print the table; the exit code is the verdict's."""
    folder = RunFolder.open(run)
    if folder.manifest().get("kind") == KIND:
        raise SystemExit(show_load(Report.read(folder)))
    verdict = judge(History.read(folder))
    click.echo(render(verdict, colour=sys.stdout.isatty(), width=width()))
    raise SystemExit(_EXIT_CODES[verdict.verdict])

"""What is done with the folders of runs that have ended."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from mcp_chaos.cli.loads import exit_code, load_text
from mcp_chaos.cli.paths import AnyPath
from mcp_chaos.commands.load_report import KIND, Report
from mcp_chaos.config.settings import runs_folder
from mcp_chaos.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, HistoryError, UsageError
from mcp_chaos.history.files import to_json, write_atomically
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.streams import has_colours, tell, width
from mcp_chaos.report.html import render_page, run_page
from mcp_chaos.report.past import compare as side_by_side
from mcp_chaos.report.past import differences, past_runs, render_runs
from mcp_chaos.report.prometheus import as_prometheus
from mcp_chaos.report.terminal import render
from mcp_chaos.verdict.judge import FAIL, INCONCLUSIVE, PASS

_FILE = AnyPath(dir_okay=False)
_EXIT_CODES = {PASS: EXIT_PASS, FAIL: EXIT_FAIL, INCONCLUSIVE: EXIT_INCONCLUSIVE}


_UNTHOUGHT_OF = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


@contextmanager
def reading(*folders: RunFolder) -> Iterator[None]:
    """While folders are read: files that are damaged in a way that nobody thought of are no bug.

    Raises:
        HistoryError: one of them is damaged.
    """
    try:
        yield
    except _UNTHOUGHT_OF as error:
        paths = " or ".join(str(folder.path) for folder in folders)
        raise HistoryError(
            f"{paths} is damaged: it has files that no run writes ({error!r}). They were left as they are."
        ) from error


def otel_exporter() -> Callable[[Sequence[RunFolder]], None]:
    """What exports runs by OpenTelemetry.

    Raises:
        UsageError: the extra is not installed.
    """
    try:
        from mcp_chaos.report.otel import export
    except ImportError:
        raise UsageError("--otel needs the extra of that name: pip install 'chaostoolkit-mcp[otel]'") from None
    return export


def write_text(path: Path, text: str) -> None:
    """Write a file that a person asked for, and say where it is.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_atomically(path.absolute(), text)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}).") from None
    tell(f"Wrote {path}")


@click.command()
@click.argument("run", type=AnyPath())
@click.option("--html", type=_FILE, metavar="FILE", help="Where its page goes, by default RUN/report.html.")
@click.option("--prometheus", type=_FILE, metavar="FILE", help="Write its figures as a Prometheus text file.")
@click.option("--otel", is_flag=True, help="Export it by OpenTelemetry; OTEL_EXPORTER_OTLP_ENDPOINT says where.")
def report(run: Path, html: Path | None, prometheus: Path | None, otel: bool) -> None:
    """Judge a RUN folder again from its files, print the table and write its page.

    The exit code is the verdict's.
    """
    exporter = otel_exporter() if otel else None
    folder = RunFolder.open(run)
    with reading(folder):
        if folder.manifest().get("kind") == KIND:
            if prometheus is not None or otel:
                raise UsageError(
                    f"{folder.path} is a load by itself, with no verdict to export; its summary has a page only."
                )
            made = Report.read(folder)
            shown, code, text = run_page(folder, made.answer()), exit_code(made), load_text(made)
        else:
            shown = run_page(folder)
            code = _EXIT_CODES[shown.verdict.verdict]
            text = render(shown.verdict, colour=has_colours(), width=width())
        page = render_page(shown.title, shown.verdict.verdict, [shown])
    tell(text)
    write_text(html or folder.path / "report.html", page)
    if prometheus is not None:
        write_text(prometheus, as_prometheus([shown]))
    if exporter is not None:
        exporter([folder])
    raise SystemExit(code)


@click.command()
@click.argument("folder", type=AnyPath(), required=False)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON, and nothing else, on stdout.")
def runs(folder: Path | None, as_json: bool) -> None:
    """List past runs with their verdicts, and how their figures went; those in FOLDER, or in runs."""
    found = past_runs(folder or runs_folder())
    if as_json:
        tell(to_json([run.as_dict() for run in found]), nl=False)
    elif found:
        tell(render_runs(found, colour=has_colours(), width=width()), nl=False)
    else:
        tell("There is no run yet.")


@click.command()
@click.argument("first", type=AnyPath())
@click.argument("second", type=AnyPath())
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page with both.")
def compare(first: Path, second: Path, html: Path | None) -> None:
    """Put two runs side by side: verdicts, and each figure with its change."""
    folders = [RunFolder.open(path) for path in (first, second)]
    if folders[0].path == folders[1].path:
        raise UsageError(f"{first} and {second} are the same run. Two runs can be compared; mcp-chaos runs lists them.")
    with reading(*folders):
        for folder in folders:
            if folder.manifest().get("kind") == KIND:
                raise UsageError(f"{folder.path} is a load by itself; runs of experiments can be compared.")
        text = side_by_side(*folders, colour=has_colours(), width=width())
        shown = [run_page(folder) for folder in folders] if html is not None else []
    tell(text, nl=False)
    if html is not None:
        found = differences(*(page.verdict for page in shown))
        write_text(html, render_page("Two runs", "compared", shown, differences=found))

"""The table at the end of a run: windows and their figures, faults and their proof, thresholds, the verdict and why."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mcp_chaos.metrics import WINDOWS, FaultSpan, Figures
from mcp_chaos.verdict import FAIL, INCONCLUSIVE, PASS, Verdict

_STYLES = {PASS: "bold green", FAIL: "bold red", INCONCLUSIVE: "bold yellow"}
_OUTCOMES = {"met": "green", "missed": "red", "no_data": "yellow"}
_FIGURES = ("calls", "success", "p50 ms", "p95 ms", "p99 ms", "recovery s")
_WIDTH = 120


def render(verdict: Verdict, *, colour: bool, width: int = _WIDTH) -> str:
    """The verdict as text.

    Args:
        verdict: to show.
        colour: with ANSI colours, for a terminal.
        width: of the text in characters.
    """
    console = Console(
        width=width, force_terminal=colour, no_color=not colour, color_system="standard" if colour else None
    )
    with console.capture() as captured:
        tables = [_windows(verdict), _faults(verdict) if verdict.measured.faults else None, _thresholds(verdict)]
        for table in filter(None, tables):
            console.print()
            console.print(table)
        console.print()
        console.print(Text.assemble("Verdict: ", (verdict.verdict, _STYLES[verdict.verdict])))
        for reason in verdict.reasons:
            console.print(Text(f"  {reason}"), soft_wrap=True)
    return captured.get()


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _windows(verdict: Verdict) -> Table:
    table = _table("Windows", "window", "lane", "seconds", *_FIGURES)
    table.columns[1].justify = "left"
    for window in WINDOWS:
        seconds = sum(segment.seconds for segment in verdict.measured.windows[window])
        for lane, figures in verdict.measured.figures[window].items():
            if lane == "faulted" or figures.calls:
                table.add_row(window, lane, f"{seconds:.1f}", *_cells(figures))
    return table


def _cells(figures: Figures) -> list[str]:
    success = "–" if figures.success_fraction is None else f"{figures.success_fraction:.1%}"
    numbers = (figures.p50_ms, figures.p95_ms, figures.p99_ms)
    recovery = "–" if figures.recovery_s is None else f"{figures.recovery_s:.2f}"
    return [str(figures.calls), success, *("–" if n is None else f"{n:.1f}" for n in numbers), recovery]


def _faults(verdict: Verdict) -> Table:
    table = _table("Faults", "fault", "on", "from (UTC)", "seconds", "felt by the canary")
    for column in table.columns:
        column.justify = "left"
    for fault in verdict.measured.faults:
        table.add_row(fault.name, fault.proxy, _clock(fault), f"{fault.span.seconds:.1f}", _felt(fault))
    return table


def _clock(fault: FaultSpan) -> str:
    return datetime.fromtimestamp(fault.span.start_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]


def _felt(fault: FaultSpan) -> Text:
    return Text(fault.proof) if fault.proof else Text(f"no: {fault.doubt or 'no proof was made'}", "yellow")


def _thresholds(verdict: Verdict) -> Table:
    table = _table("Thresholds", "window", "threshold", "measured", "against", "outcome")
    table.columns[1].justify = "left"
    for j in verdict.judgements:
        left, right = ("–" if side is None else f"{side:.4g}" for side in (j.left, j.right))
        table.add_row(j.window, j.text, left, right, Text(j.outcome.replace("_", " "), _OUTCOMES[j.outcome]))
    return table

"""Tables that more than one report shows: windows and faults."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType
from rich.style import Style, StyleType
from rich.table import Table
from rich.text import Text

from mcp_chaos.machine.printable import printable
from mcp_chaos.verdict.figure import Figure, Shown
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.measure import Measured
from mcp_chaos.verdict.spans import WINDOWS, FaultSpan

WIDTH = 120
_MAX_PERCENT_DIGITS = 6
_DIGITS = {"": 0, "s": 2}


def console(*, colour: bool, width: int) -> Console:
    """A console to capture text with, with ANSI colours or without."""
    # No markup: titles and reasons are other people's texts, and may have brackets in them.
    return Console(
        width=width,
        file=StringIO(),  # of its own: at the end of a capture it would write to a stream that may be full
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        markup=False,
    )


def line(said: str, style: str | Style = "") -> Text:
    """Other people's text as a line or a cell of ours."""
    return Text(printable(said), style)


class Rows(Table):
    """A table whose cells are other people's texts."""

    def add_row(self, *cells: RenderableType | None, style: StyleType | None = None, end_section: bool = False) -> None:
        """Add a row."""
        shown = [line(str(cell), cell.style if isinstance(cell, Text) else "") for cell in cells]
        super().add_row(*shown, style=style, end_section=end_section)


def table(title: str, *columns: str, left: Sequence[int] = (0,)) -> Rows:
    """A table in the house's style: numbers to the right, the columns of ``left`` to the left."""
    made = Rows(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index in left else "right", overflow="fold")
    return made


def number(value: float | None, digits: int = 1) -> str:
    """A number for people; a dash where there is none, *never* for a time that did not end."""
    if value is None:
        return "–"
    return "never" if math.isinf(value) else f"{value:.{digits}f}"


def percent(fraction: float) -> str:
    """A fraction of 0 to 1 in percent; not quite all, or not quite none, does not look like all or none."""
    digits = 1 if round(fraction, 3) == round(fraction, 6) else 2
    while round(fraction, digits + 2) in (0, 1) and fraction not in (0, 1) and digits < _MAX_PERCENT_DIGITS:
        digits += 1
    return f"{fraction:.{digits}%}"


def windows(measured: Measured) -> Table:
    """The windows and their figures; the control lane only where it had calls."""
    shown = [figure for figure in FIGURES.values() if Shown.TERMINAL in figure.shown]
    made = table("Windows", "window", "lane", "seconds", *(figure.heading for figure in shown), left=(0, 1))
    for window in WINDOWS:
        seconds = sum(segment.seconds for segment in measured.windows[window])
        for lane, figures in measured.figures[window].items():
            if lane == "faulted" or figures.calls:
                cells = (_cell(figure, measured.value(window, lane, figure.name)) for figure in shown)
                made.add_row(window, lane, f"{seconds:.1f}", *cells)
    return made


def _cell(figure: Figure[Any], value: float | None) -> str:
    if figure.unit == "fraction":
        return "–" if value is None else percent(value)
    return number(value, _DIGITS.get(figure.unit, 1))


def faults(measured: Measured) -> Table:
    """The faults and whether they were felt."""
    made = table("Faults", "fault", "on", "from (UTC)", "seconds", "felt by the canary", left=range(5))
    for fault in measured.faults:
        made.add_row(fault.name, fault.proxy, _clock(fault), f"{fault.span.seconds:.1f}", _felt(fault))
    return made


def _clock(fault: FaultSpan) -> str:
    return datetime.fromtimestamp(fault.span.start_ns / 1e9, UTC).strftime("%H:%M:%S.%f")[:-3]


def _felt(fault: FaultSpan) -> Text:
    return Text(fault.proof) if fault.proof else Text(f"no: {fault.doubt or 'no proof was made'}", "yellow")

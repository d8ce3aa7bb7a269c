"""The table at the end of a run: windows and their figures, faults and their proof, thresholds, the verdict and why."""

from rich.table import Table
from rich.text import Text

from mcp_chaos.report import tables
from mcp_chaos.verdict.judge import FAIL, INCONCLUSIVE, PASS, Verdict

_STYLES = {PASS: "bold green", FAIL: "bold red", INCONCLUSIVE: "bold yellow"}
_OUTCOMES = {"met": "green", "missed": "red", "no_data": "yellow", "inconclusive": "yellow", "not_applicable": "dim"}


def render(verdict: Verdict, *, colour: bool, width: int = tables.WIDTH) -> str:
    """The verdict as text.

    Args:
        verdict: to show.
        colour: with ANSI colours, for a terminal.
        width: of the text in characters.
    """
    console = tables.console(colour=colour, width=width)
    measured = verdict.measured
    with console.capture() as captured:
        shown = [tables.windows(measured), tables.faults(measured) if measured.faults else None, _thresholds(verdict)]
        for table in filter(None, shown):
            console.print()
            console.print(table)
        for why in dict.fromkeys(j.why for j in verdict.judgements if j.outcome == "not_applicable"):
            console.print(tables.line(f"Not applicable: {why}"), soft_wrap=True)
        console.print()
        console.print(Text.assemble("Verdict: ", (verdict.verdict, _STYLES[verdict.verdict])))
        for reason in verdict.reasons:
            console.print(tables.line(f"  {reason}"), soft_wrap=True)
        if verdict.advice:
            console.print(tables.line(f"What to do: {verdict.advice}"))
    return captured.get()


def _thresholds(verdict: Verdict) -> Table:
    made = tables.table("Thresholds", "window", "threshold", "measured", "against", "outcome", left=(0, 1))
    for j in verdict.judgements:
        made.add_row(j.window, j.shown, *j.sides, Text(j.outcome.replace("_", " "), _OUTCOMES[j.outcome]))
    return made

"""What a torture prints, a line a try, and the table of ``docs/safety.md`` that is made of such lines."""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.torture.tried import Try

PAGE = Path("docs/safety.md")
_BEGIN, _END = "<!-- torture: written by make torture -->", "<!-- /torture -->"
_NOTHING = "nothing left"
_HEADING = re.compile(r"^# (.*)$", re.MULTILINE)
_ROW = re.compile(r"^\d+: ([^|\n]+) \| ([^|\n]+) \| [^|\n]+ \| \d+ s \| (.*)$", re.MULTILINE)


def heading(command: str, seed: int) -> str:
    """The first line: what was run, when and where."""
    where = f"{sys.platform}, Python {sys.version.split()[0]}"
    return f"# `{command}` (seed {seed}), {datetime.now(UTC):%Y-%m-%d}, {where}"


def row_line(number: int, row: Try, moment: str, took_s: float) -> str:
    """The line of a try."""
    said = "; ".join(row.problems).replace("\n", " ").replace("|", "/") or _NOTHING
    return f"{number}: {row.lane} | {row.trouble} | {moment} | {took_s:.0f} s | {said}"


def write_table(outputs: Sequence[str], lanes: Sequence[str], troubles: Sequence[str]) -> None:
    """Write the table of all tries that some outputs have."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(_BEGIN)
    table = render(outputs, lanes, troubles)
    PAGE.write_text(f"{before}{_BEGIN}\n\n{table}\n\n{_END}{rest.partition(_END)[2]}", encoding="utf-8")


def render(outputs: Sequence[str], lanes: Sequence[str], troubles: Sequence[str]) -> str:
    """What was tried, and what held: a cell has how many tries left nothing, of how many."""
    rows = [match.groups() for output in outputs for match in _ROW.finditer(output)]
    tried = Counter((lane, trouble) for lane, trouble, _ in rows)
    held = Counter((lane, trouble) for lane, trouble, said in rows if said == _NOTHING)
    lines = [f"- {found}" for output in outputs for found in _HEADING.findall(output)]
    lines += ["", f"{held.total()} of {tried.total()} tries left nothing; in each cell, of how many.", ""]
    lines += [f"| | {' | '.join(lanes)} |", f"| --- | {' | '.join('---' for _ in lanes)} |"]
    for trouble in troubles:
        cells = [f"{held[lane, trouble]}/{tried[lane, trouble]}" if tried[lane, trouble] else "–" for lane in lanes]
        lines.append(f"| {trouble} | {' | '.join(cells)} |")
    failures = [f"- {lane}, {trouble}: {said}" for lane, trouble, said in rows if said != _NOTHING]
    return "\n".join([*lines, "", *failures]).rstrip()

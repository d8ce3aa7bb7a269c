"""Runs that have ended: a list with their trends, and two of them side by side."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from mcp_chaos.errors import HistoryError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History
from mcp_chaos.report import tables
from mcp_chaos.verdict.figure import Shown
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.judge import FAIL, INCONCLUSIVE, PASS, Verdict, judge
from mcp_chaos.verdict.judgement import number
from mcp_chaos.verdict.spans import WINDOWS

UNFINISHED, UNREADABLE = "unfinished", "unreadable"

_STYLES = {PASS: "green", FAIL: "red", INCONCLUSIVE: "yellow", UNFINISHED: "yellow"}
_BARS = "▁▂▃▄▅▆▇█"
_LONGEST_NAME = 50
_NEVER, _UNMEASURED = "×", "·"
_MOST_IN_A_TREND = 12


@dataclass(frozen=True)
class PastRun:
    """What the files of a run say at a glance.

    Args:
        path: of its folder.
        experiment: its title.
        target: the server.
        verdict: pass, fail, inconclusive, unfinished where there is none, or unreadable.
        reason: the most severe, or why it cannot be read; empty where there is none.
        p95_ms: of the baseline, ``None`` where it was not measured.
        recovery_s: the slowest, ``None`` where it was not measured, or never came.
        never_steady: whether it never came.
    """

    path: Path
    experiment: str
    target: str
    verdict: str
    reason: str
    p95_ms: float | None = None
    recovery_s: float | None = None
    never_steady: bool = False

    @property
    def slowest_recovery_s(self) -> float | None:
        """The slowest recovery: infinity where it never came, which JSON does not have."""
        return math.inf if self.never_steady else self.recovery_s

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {**self.__dict__, "path": str(self.path)}


def past_runs(root: Path) -> list[PastRun]:
    """The runs of experiments in a folder, the oldest first; those that cannot be read say why.

    Raises:
        HistoryError: there is no such folder.
    """
    if not root.is_dir():
        raise HistoryError(
            f"There is no folder {root}. Runs are kept where they were made, in runs/ or MCP_CHAOS_RUNS."
        )
    # Hidden folders are somebody else's, such as .git.
    paths = (path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith("."))
    found = map(_past_run, paths)
    return [run for run in found if run is not None]


def _past_run(path: Path) -> PastRun | None:
    """``None`` for a load by itself, which has no verdict."""
    try:
        folder = RunFolder.open(path)
        manifest = folder.manifest()
        if manifest.get("kind"):
            return None
        verdict = folder.read("verdict.json") if (folder.path / "verdict.json").exists() else {}
        windows = verdict.get("windows") or {}
        return PastRun(
            path,
            str(manifest.get("experiment", "")),
            str(manifest.get("target", "")),
            str(verdict.get("verdict", UNFINISHED)),
            str((verdict.get("reasons") or [""])[0]),
            _figure(windows, "baseline", "p95_ms"),
            _figure(windows, "recovery", "recovery_s"),
            verdict.get("never_steady") is True,
        )
    except HistoryError as error:
        return PastRun(path, "", "", UNREADABLE, str(error))
    except (AttributeError, TypeError, KeyError):
        return PastRun(path, "", "", UNREADABLE, f"{path / 'verdict.json'} is damaged. It was left as it is.")


def _figure(windows: dict[str, Any], window: str, name: str) -> float | None:
    value = windows.get(window, {}).get("faulted", {}).get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def render_runs(runs: Sequence[PastRun], *, colour: bool, width: int) -> str:
    """A table of runs, for each experiment how its figures went from run to run, and what cannot be read and why."""
    console = tables.console(colour=colour, width=width)
    unreadable = [run for run in runs if run.verdict == UNREADABLE]
    runs = [run for run in runs if run.verdict != UNREADABLE]
    with console.capture() as captured:
        for made in _runs_and_trends(runs) if runs else ():
            console.print(made)
            console.print()
        for run in unreadable:
            console.print(tables.line(f"Cannot be read: {run.reason}", "yellow"), soft_wrap=True)
    return captured.get()


def _runs_and_trends(runs: Sequence[PastRun]) -> tuple[Table, Table]:
    listed = tables.table("Runs", "run", "experiment", "verdict", "p95 ms", "recovery s", "why", left=(0, 1, 2, 5))
    # whole on one line, so that it can be copied
    listed.columns[0].min_width = min(_LONGEST_NAME, max((len(run.path.name) for run in runs), default=0))
    for run in runs:
        figures = (tables.number(run.p95_ms), tables.number(run.slowest_recovery_s, 2))
        listed.add_row(
            run.path.name, run.experiment, Text(run.verdict, _STYLES.get(run.verdict, "")), *figures, run.reason
        )
    trends = tables.table("Trends", "experiment on target", "runs", "passed", "p95 ms", "recovery s", left=(0, 3, 4))
    for name, mine in _by_experiment(runs).items():
        passed = sum(run.verdict == PASS for run in mine)
        p95, recovery = [run.p95_ms for run in mine], [run.slowest_recovery_s for run in mine]
        trends.add_row(name, str(len(mine)), f"{passed / len(mine):.0%}", _trend(p95), _trend(recovery))
    return listed, trends


def _by_experiment(runs: Iterable[PastRun]) -> dict[str, list[PastRun]]:
    found: dict[str, list[PastRun]] = {}
    for run in runs:
        found.setdefault(f"{run.experiment} on {run.target}", []).append(run)
    return found


def _trend(values: Sequence[float | None]) -> str:
    """The last runs as bars between the least and the most of their values, and the newest as a number.

    A run that does not have the value keeps its place: a cross where it never came, a dot where it was not measured.
    """
    newest = values[-_MOST_IN_A_TREND:]
    known = [value for value in newest if value is not None and math.isfinite(value)]
    if not known and math.inf not in newest:
        return "–"
    low, high = min(known, default=0.0), max(known, default=0.0)
    return f"{''.join(_mark(value, low, high) for value in newest)} {number(newest[-1])}"


def _mark(value: float | None, low: float, high: float) -> str:
    if value is None:
        return _UNMEASURED
    if math.isinf(value):
        return _NEVER
    steps = len(_BARS) - 1
    return _BARS[round(steps * (value - low) / (high - low))] if high > low else _BARS[steps // 2]


@dataclass(frozen=True)
class Difference:
    """One figure in two runs.

    Args:
        window: baseline, fault or recovery.
        lane: faulted or control.
        figure: its name.
        first: in the first run; ``None`` where it was not measured, infinity for a recovery that never came.
        second: in the second.
    """

    window: str
    lane: str
    figure: str
    first: float | None
    second: float | None

    @property
    def change_fraction(self) -> float | None:
        """How much more the second is, as a fraction of the first; ``None`` where that cannot be said."""
        if self.first is None or self.second is None or not self.first or math.inf in (self.first, self.second):
            return None
        return self.second / self.first - 1


def differences(first: Verdict, second: Verdict) -> list[Difference]:
    """The figures of two runs side by side; those that neither has are left out."""
    one, other = first.measured, second.measured
    found = [
        Difference(window, lane, name, one.value(window, lane, name), other.value(window, lane, name))
        for window in WINDOWS
        for lane in one.figures[window]
        for name, figure in FIGURES.items()
        if Shown.COMPARISON in figure.shown
    ]
    return [d for d in found if d.first is not None or d.second is not None]


def compare(first: RunFolder, second: RunFolder, *, colour: bool, width: int) -> str:
    """Two runs side by side.

    Raises:
        HistoryError: the files of one of them are not those of a run.
    """
    histories = [History.read(folder) for folder in (first, second)]
    verdicts = [judge(history) for history in histories]
    console = tables.console(colour=colour, width=width)
    made = tables.table("Figures", "window", "lane", "figure", "first", "second", "change", left=(0, 1, 2))
    for d in differences(*verdicts):
        change = "–" if d.change_fraction is None else f"{d.change_fraction:+.0%}"
        made.add_row(d.window, d.lane, d.figure, number(d.first), number(d.second), change)
    lines = [*_head("First", first, histories[0], verdicts[0]), *_head("Second", second, histories[1], verdicts[1])]
    unlike = _unlike(*(history.manifest for history in histories))
    if unlike:
        lines.append(tables.line(f"These runs are not alike: they have {unlike}", "yellow"))
    with console.capture() as captured:
        for line in lines:
            console.print(line, soft_wrap=True)
        console.print()
        console.print(made)
    return captured.get()


def _head(name: str, folder: RunFolder, history: History, verdict: Verdict) -> list[Text]:
    path = tables.line(f"{name}: {folder.path}  ").append(verdict.verdict, _STYLES[verdict.verdict])
    called = f"{history.manifest.get('experiment', '')} on {history.manifest.get('target', '')}"
    return [path, *(tables.line(f"  {said}") for said in (called, verdict.reasons[0]))]


def _unlike(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """What two runs do not have in common of what their figures depend on, in words; empty when they are alike."""
    differ = [
        said
        for key, said in (("experiment", "other experiments"), ("target", "other targets"))
        if first.get(key) != second.get(key)
    ]
    one, other = (dict(manifest.get("numbers") or {}) for manifest in (first, second))
    numbers = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    if numbers:
        differ.append(f"other numbers ({', '.join(numbers)})")
    return " and ".join(differ)

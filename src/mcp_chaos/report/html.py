"""The page of a run, or of a gate: one file, which opens without a network and is readable without scripts.

Plotly draws the charts; its script is in the page. What a server or a person said is escaped by the template.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import numpy as np
import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mcp_chaos import __version__
from mcp_chaos.errors import HistoryError
from mcp_chaos.history.calls import CALL, LANES, Calls, Reason
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History, began_ns
from mcp_chaos.machine.printable import printable_lines
from mcp_chaos.report.charts import Chart, bands, charts, colours
from mcp_chaos.report.details import details
from mcp_chaos.report.past import Difference
from mcp_chaos.report.series import OperationRow, TimeLine, latency_figures, operation_rows, time_line
from mcp_chaos.report.server import ServerPart, server_part
from mcp_chaos.report.summary import RunSummary
from mcp_chaos.verdict.figure import Shown
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.judge import Verdict, judge
from mcp_chaos.verdict.judgement import number
from mcp_chaos.verdict.measure import end_of, figures, touched_by
from mcp_chaos.verdict.server import REST
from mcp_chaos.verdict.spans import WINDOWS, Segment, load_spans

_MOST_ROWS = 60
_NS_PER_S = 1e9


@dataclass(frozen=True)
class RunPage(RunSummary):
    """What the page shows of one run besides its summary.

    Args:
        anchor: of its part of the page.
        began: when, for people.
        dialect: how it was spoken to.
        key_figures: a name, a value and its unit.
        bands: of the faults, see ``charts.bands``.
        charts: in their order.
        lanes: those with calls.
        rows: the time line for people without scripts.
        windows, recoveries, faults: the rows of these tables.
        outcomes: how calls ended, by lane.
        operations: what became of each operation.
        server: what was seen of the server besides its answers.
        facts: of the environment, names and values.
        command: to run it again; empty where it is not known.
        data: what the page's script draws from, JSON that is safe in HTML.
    """

    anchor: str
    began: str
    dialect: str
    key_figures: list[tuple[str, str, str]]
    bands: list[dict[str, Any]]
    charts: list[Chart]
    lanes: list[str]
    rows: list[dict[str, Any]]
    windows: list[dict[str, Any]]
    recoveries: list[dict[str, Any]]
    faults: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]
    operations: list[OperationRow]
    server: ServerPart
    facts: list[tuple[str, str]]
    command: str
    data: Markup


def run_page(folder: RunFolder, answer: Verdict | None = None) -> RunPage:
    """What there is to show of a run, from its files.

    Args:
        folder: of the run.
        answer: of a run that has no thresholds to be judged by.

    Raises:
        HistoryError: the files are not those of a run.
    """
    history = History.read(folder)
    verdict = answer or judge(history)
    spans = load_spans(history.events, end_of(history))
    begin_ns = began_ns(folder, history)
    whole = _whole(spans, verdict, begin_ns)
    loads = {name: calls for name, calls in history.calls.items() if name in spans}
    calls = np.concatenate(list(loads.values())) if loads else np.empty(0, dtype=CALL)
    line = time_line(calls, whole.start_ns, whole.end_ns)
    shaded = bands(verdict.measured.faults, whole.start_ns)
    server = server_part(history.process_samples, history.self_reports, verdict.server, whole.start_ns)
    drawn = [*charts(line), *server.charts] if len(calls) else []
    manifest = history.manifest
    return RunPage(
        title=str(manifest.get("experiment", "experiment")),
        anchor=folder.run_id,
        began=datetime.fromtimestamp(begin_ns / _NS_PER_S, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        start_s=begin_ns / _NS_PER_S,
        target=str(manifest.get("target", "")),
        dialect=str(manifest.get("dialect", "")),
        verdict=verdict,
        key_figures=_key_figures(verdict) if verdict.measured.loads else _load_figures(calls, list(spans.values())),
        bands=shaded,
        charts=drawn,
        lanes=list(line.lanes),
        rows=_rows(time_line(calls, whole.start_ns, whole.end_ns, _MOST_ROWS), shaded),
        windows=_windows(verdict),
        recoveries=_recoveries(verdict, whole.start_ns),
        faults=_faults(verdict, whole.start_ns),
        outcomes=_outcomes(calls, verdict),
        operations=operation_rows([(_operations(folder, name), found) for name, found in loads.items()]),
        server=server,
        facts=_facts(manifest, folder),
        command=str(manifest.get("command", "")),
        data=_in_html(
            {
                "charts": [chart.as_dict() for chart in drawn],
                "details": details(calls, whole, verdict.measured.faults, line),
                "bands": shaded,
                "bucket_s": line.bucket_s,
                "until_s": line.until_s,
            }
        ),
    )


def render_page(
    title: str,
    outcome: str,
    runs: Sequence[RunPage],
    gate: Mapping[str, Any] | None = None,
    differences: Sequence[Difference] | None = None,
) -> str:
    """The page.

    Args:
        title: of the page.
        outcome: for the title bar.
        runs: to show, in order.
        gate: as ``GateResult.as_dict`` gives it, each experiment with the ``anchor`` of its run; ``None`` for one run.
        differences: between two runs; ``None`` where they are not compared.
    """
    environment = Environment(
        loader=PackageLoader("mcp_chaos.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=lambda value: printable_lines(value) if type(value) is str else value,  # Markup is this page's own
    )
    environment.filters["number"] = number
    page = files("mcp_chaos.report") / "page"
    return environment.get_template("report.html.j2").render(
        title=title,
        outcome=outcome,
        version=__version__,
        gate=gate,
        differences=differences,
        figures=[figure for figure in FIGURES.values() if Shown.PAGE in figure.shown],
        lines=latency_figures(),
        runs=runs,
        with_charts=any(run.charts for run in runs),
        css=Markup(colours() + (page / "report.css").read_text(encoding="utf-8")),  # noqa: S704  # our own
        js=Markup((page / "report.js").read_text(encoding="utf-8")),  # noqa: S704  # our own
        plotly=Markup((page / "plotly.min.js").read_text(encoding="utf-8")),  # noqa: S704  # the library's own
    )


def _in_html(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = orjson.dumps(value).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # nothing in it can end an element


def _whole(spans: Mapping[str, Segment], verdict: Verdict, begin_ns: int) -> Segment:
    """The time that the charts show: of loads, faults, and the rest after them; the beginning where there were none."""
    rest = verdict.server.windows[REST] if verdict.server else []
    shown = [*spans.values(), *(fault.span for fault in verdict.measured.faults), *rest]
    if not shown:
        return Segment(begin_ns, begin_ns)
    return Segment(min(s.start_ns for s in shown), max(s.end_ns for s in shown))


def _key_figures(verdict: Verdict) -> list[tuple[str, str, str]]:
    found = verdict.measured.figures
    baseline, fault, recovery = (found[window]["faulted"] for window in WINDOWS)
    aside = found["fault"]["control"]
    return [
        ("calls", f"{sum(found[window][lane].calls for window in WINDOWS for lane in LANES):,}", "judged"),
        ("success before", *_percent(baseline.success_fraction)),
        ("success in faults", *_percent(fault.success_fraction)),
        ("control lane", *_percent(aside.success_fraction)),
        ("success after", *_percent(recovery.success_fraction)),
        ("p95 before", *_number(baseline.p95_ms, 1, "ms")),
        ("p95 after", *_number(recovery.p95_ms, 1, "ms")),
        (
            "slowest recovery",
            *(("never", "") if verdict.measured.never_steady else _number(recovery.recovery_s, 2, "s")),
        ),
    ]


def _load_figures(calls: Calls, spans: Sequence[Segment]) -> list[tuple[str, str, str]]:
    """Of loads that no fault came to; a rate where there was one load only."""
    found = figures(calls, spans[0].seconds if len(spans) == 1 else 0.0)
    return [
        ("calls", f"{found.calls:,}", ""),
        ("success", *_percent(found.success_fraction)),
        ("rate", *_number(found.calls_per_s, 1, "calls/s")),
        ("p50", *_number(found.p50_ms, 1, "ms")),
        ("p95", *_number(found.p95_ms, 1, "ms")),
        ("p99", *_number(found.p99_ms, 1, "ms")),
    ]


def _percent(fraction: float | None) -> tuple[str, str]:
    return _number(None if fraction is None else 100 * fraction, 1, "%")


def _number(value: float | None, digits: int, unit: str) -> tuple[str, str]:
    return ("–", "") if value is None else (f"{value:,.{digits}f}", unit)


def _rows(line: TimeLine, shaded: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for index, middle_s in enumerate(line.times_s):
        from_s, until_s = middle_s - line.bucket_s / 2, middle_s + line.bucket_s / 2
        names = [band["name"] for band in shaded if band["from_s"] < until_s and band["until_s"] > from_s]
        lanes = [
            {
                "calls": lane.calls[index],
                "success": lane.success_fraction[index],
                "latency_ms": {name: values[index] for name, values in lane.latency_ms.items()},
                "not_ok": ", ".join(
                    f"{counts[index]} {reason.title}"
                    for reason, counts in lane.reasons.items()
                    if not reason.record.succeeded and counts[index]
                ),
            }
            for lane in line.lanes.values()
        ]
        rows.append({"from_s": round(from_s, 3), "faults": ", ".join(names), "lanes": lanes})
    return rows


def _windows(verdict: Verdict) -> list[dict[str, Any]]:
    measured = verdict.measured
    return [
        {
            "window": window,
            "lane": lane,
            "seconds": sum(segment.seconds for segment in measured.windows[window]),
            "f": found,
        }
        for window in WINDOWS
        for lane, found in measured.figures[window].items()
        if measured.loads and (lane == "faulted" or found.calls)
    ]


def _recoveries(verdict: Verdict, start_ns: int) -> list[dict[str, Any]]:
    measured = verdict.measured
    rows = []
    for index, segment in enumerate(measured.windows["recovery"]):
        before = [fault for fault in measured.faults if fault.span.end_ns <= segment.start_ns]
        times = {lane: _recovery(found[index]) for lane, found in measured.recoveries.items()}
        first = next((one for one in verdict.order if one.healed_ns == segment.start_ns), None)
        rows.append(
            {
                "after": max(before, key=lambda fault: fault.span.end_ns).name if before else "",
                "healed_s": (segment.start_ns - start_ns) / _NS_PER_S,
                **times,
                "first": first,
            }
        )
    return rows


def _outcomes(calls: Calls, verdict: Verdict) -> list[dict[str, Any]]:
    """How many calls ended for each reason, and how many of them were under way in a fault."""
    touched = touched_by(calls, verdict.measured.windows["fault"])
    rows = []
    for name, lane in LANES.items():
        for reason in Reason:
            mine = (calls["lane"] == lane) & (calls["reason"] == reason)
            if mine.any():
                rows.append(
                    {"lane": name, "reason": reason.title, "calls": mine.sum(), "touched": (mine & touched).sum()}
                )
    return rows


def _recovery(time_s: float | None) -> str:
    if time_s is None:
        return "–"
    return f"{time_s:.2f}" if np.isfinite(time_s) else "never"


def _faults(verdict: Verdict, start_ns: int) -> list[dict[str, Any]]:
    return [
        {**asdict(fault), "at_s": (fault.span.start_ns - start_ns) / _NS_PER_S, "seconds": fault.span.seconds}
        for fault in verdict.measured.faults
    ]


def _operations(folder: RunFolder, load: str) -> list[str]:
    """The names of a load's operations, in the order that its calls count them in."""
    path = folder.path / f"load-{load}.json"
    try:
        workload = folder.read(path.name).get("workload", {}) if path.exists() else {}
        found = [operation for kind in workload.get("kinds", []) for operation in kind.get("operations", [])]
        return [f"GET {o['page']}" if o.get("page") else str(o.get("method") or o.get("tool") or "?") for o in found]
    except (AttributeError, TypeError):
        raise HistoryError(f"{path} is damaged: it is not the record of a load. It was left as it is.") from None


def _facts(manifest: Mapping[str, Any], folder: RunFolder) -> list[tuple[str, str]]:
    toxiproxy = manifest.get("toxiproxy") or {}
    facts = {
        "server": manifest.get("target"),
        "planted defect": manifest.get("defect"),
        "dialect": manifest.get("dialect"),
        "seed": manifest.get("seed"),
        "Toxiproxy": toxiproxy.get("version"),
        "mcp_chaos": manifest.get("mcp_chaos"),
        "machine": manifest.get("platform"),
        "Python": manifest.get("python"),
        "packages": ", ".join(
            f"{name} {version}" for name, version in (manifest.get("versions") or {}).items() if version
        ),
        "folder": folder.path,
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]

"""The summary of a load: what was sent, what came back, how long it took, and how well the generator did."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from mcp_chaos.report import tables
from mcp_chaos.report.tables import number
from mcp_chaos.verdict.measure import Measured

_QUANTILES = ("p50", "p90", "p95", "p99", "p99_9", "max")


def render_load(
    results: Mapping[str, Mapping[str, Any]],
    measured: Measured,
    doubts: list[str],
    *,
    colour: bool,
    width: int = tables.WIDTH,
) -> str:
    """The results of one or more loads as text.

    Args:
        results: by the load's name, as its process wrote them.
        measured: the run, for its windows and faults.
        doubts: why the result says little; empty when all is well.
        colour: with ANSI colours, for a terminal.
        width: of the text in characters.
    """
    console = tables.console(colour=colour, width=width)
    summaries = {name: result["summary"] for name, result in results.items()}
    shown = [_loads(summaries)]
    shown += [_steps(name, result["steps"]) for name, result in results.items() if "steps" in result]
    shown += [_latency(summaries), _outcomes(summaries), _generator(summaries)]
    if measured.faults:
        shown += [tables.windows(measured), tables.faults(measured)]
    with console.capture() as captured:
        for table in shown:
            console.print()
            console.print(table)
        console.print()
        if doubts:
            console.print(Text("Inconclusive", "bold yellow"))
        for doubt in doubts:
            console.print(tables.line(f"  {doubt}"), soft_wrap=True)
    return captured.get().rstrip() + "\n"


def _loads(summaries: Mapping[str, Any]) -> Table:
    made = tables.table("Load", "load", "calls", "busy s", "calls/s", "success", "received")
    for name, summary in summaries.items():
        ok = summary["outcomes"]["ok"]
        success = f"{ok / summary['calls']:.2%}" if summary["calls"] else "–"
        rate, busy_s = number(summary["calls_per_s"]), number(summary["busy_s"])
        made.add_row(name, str(summary["calls"]), busy_s, rate, success, _bytes(summary["received_bytes"]))
    return made


def _steps(name: str, steps: list[Mapping[str, Any]]) -> Table:
    made = tables.table(f"Steps of the {name}", "users", "calls", "success", "calls/s", "median ms", "p95 ms", left=())
    for step in steps:
        times = (step["median_response_time"], step["p95_response_time"])
        rate = "–" if step["success_rate"] is None else f"{step['success_rate']:.1f}%"
        made.add_row(
            str(step["concurrent_users"]),
            str(step["total_requests"]),
            rate,
            number(step["throughput"]),
            *(number(None if time_s is None else 1e3 * time_s) for time_s in times),
        )
    return made


def _latency(summaries: Mapping[str, Any]) -> Table:
    columns = (f"{name.replace('_', '.')} ms" for name in _QUANTILES)
    made = tables.table("Latency of successful calls", "load", "from the", *columns, left=(0, 1))
    for name, summary in summaries.items():
        for kind, quantiles in summary["latency_ms"].items():
            cells = (number(quantiles[quantile]) for quantile in _QUANTILES)
            made.add_row(name, kind.removeprefix("from_").replace("_", " "), *cells)
    return made


def _outcomes(summaries: Mapping[str, Any]) -> Table:
    made = tables.table("Answers", "load", "answer", "calls", left=(0, 1))
    for name, summary in summaries.items():
        for reason, count in summary["reasons"].items():
            made.add_row(name, reason.replace("_", " "), str(count))
    return made


def _generator(summaries: Mapping[str, Any]) -> Table:
    errors = ("send error p50 ms", "p99 ms", "max ms")
    made = tables.table("Generator", "load", "workers", "CPU of a core", *errors, "dropped", "kept up", left=(0,))
    for name, summary in summaries.items():
        health = summary["generator"]
        share = "–" if health["cpu_share"] is None else f"{health['cpu_share']:.0%}"
        error_ms = (number(health["send_error_ms"][quantile], 2) for quantile in ("p50", "p99", "max"))
        kept_up = {True: Text("yes", "green"), False: Text("no", "yellow"), None: Text("–")}[health["kept_up"]]
        dropped = str(health["dropped_arrivals"])
        made.add_row(name, str(len(health["workers"])), share, *error_ms, dropped, kept_up)
    return made


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"

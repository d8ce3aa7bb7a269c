"""A million calls: memory, disk, the time to judge them, and whether a call costs the same all along."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine import load
from measure import echo_server

from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History
from mcp_chaos.report.html import render_page, run_page
from mcp_chaos.verdict.judge import judge

_FEW, _MANY = 10_000, 1_000_000
_THRESHOLDS = {"baseline": ["success_fraction >= 0.99"], "fault": ["hung_calls == 0"], "recovery": ["recovery_s <= 5"]}


def report(echo: Path) -> str:
    """Run and tell, in Markdown."""
    with echo_server(echo, 0.0, "json") as port, TemporaryDirectory() as root:
        few = _burst(port, _FEW)
        runs = Path(root)
        many = _burst(port, _MANY, runs)
        (folder,) = (RunFolder(path) for path in runs.iterdir())
        size_bytes = folder.calls_path("burst").stat().st_size / _MANY
        judged_s = _judge_s(folder)
        page_s, page_mb = _page(folder)
    grown_mb = (_peak(many) - _peak(few)) / 1e6
    lines = [
        f"A burst of {_MANY} calls at 50, beside one of {_FEW}.",
        "",
        "| figure | measured | aim |",
        "| --- | --- | --- |",
        f"| peak memory above that of {_FEW} calls | {grown_mb:.0f} MB | ≤ 50 MB |",
        f"| file per call | {size_bytes:.0f} bytes | ≤ 40 bytes |",
        f"| history read, measured and judged | {judged_s:.2f} s | ≤ 2 s |",
        f"| the page made from its files | {page_s:.2f} s | ≤ 5 s |",
        f"| the page | {page_mb:.1f} MB | ≤ 8 MB |",
        f"| CPU per call, of that of {_FEW} calls | {_cost_us(many) / _cost_us(few):.2f} | 0.8 to 1.2 |",
    ]
    return "\n".join(lines) + "\n"


def _burst(port: int, calls: int, keep: Path | None = None) -> dict[str, Any]:
    return load(port, "burst", "--requests", str(calls), "--concurrency", "50", keep=keep)


def _peak(result: dict[str, Any]) -> float:
    return float(result["summary"]["generator"]["workers"][0]["peak_memory_bytes"])


def _cost_us(result: dict[str, Any]) -> float:
    summary = result["summary"]
    return float(1e6 * summary["generator"]["cpu_share"] * summary["busy_s"] / summary["calls"])


def _judge_s(folder: RunFolder) -> float:
    """The time to read and judge the run, as if a fault had been in place in the middle of it."""
    calls = folder.calls("burst")
    begin, end = int(calls["intended_ns"][0]), int(calls["done_ns"][-1])
    third = (end - begin) // 3
    fault = {"fault_id": "f", "name": "latency", "proxy": "mcp", "toxics": []}
    folder.event(begin + third, "fault_injecting", **fault)
    folder.event(begin + third, "fault_proven", fault_id="f", proof="made up for the benchmark")
    folder.event(begin + 2 * third, "fault_healed", fault_id="f")
    folder.event(end, "method_ended")
    folder.write("manifest.json", {**folder.read("manifest.json"), "thresholds": _THRESHOLDS})
    began = time.perf_counter()
    verdict = judge(History.read(folder))
    took_s = time.perf_counter() - began
    assert sum(lanes["faulted"].calls for lanes in verdict.measured.figures.values()) == len(calls)
    return took_s


def _page(folder: RunFolder) -> tuple[float, float]:
    """The time to make the page of the run, and its megabytes."""
    began = time.perf_counter()
    shown = run_page(folder)
    page = render_page(shown.title, shown.verdict.verdict, [shown])
    return time.perf_counter() - began, len(page.encode()) / 1e6

"""How exact an open load is: sent against due, and measured against a delay that is known."""

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import load
from measure import echo_server

DELAY_MS = 20.0
RATES_PER_S = (500, 2000)
_DURATION_S = 5


def report(echo: Path, rounds: int) -> str:
    """Run and tell, in Markdown.

    Args:
        echo: the compiled server.
        rounds: the medians of so many are told.
    """
    lines = [
        f"Open load of {_DURATION_S} s against answers after exactly {DELAY_MS:g} ms; medians over {rounds} rounds. "
        "Aims: send error p99 ≤ 0.3 ms; p50 of the latency within 0.5 ms and p99 within 1.5 ms of the delay.",
        "",
        "| calls/s | send error p50 / p99 / max ms | latency p50 / p99 / max ms | CPU of a core | aims |",
        "| --- | --- | --- | --- | --- |",
    ]
    with echo_server(echo, DELAY_MS, "json") as port:
        for rate in RATES_PER_S:
            results = [_run(port, rate) for _ in range(rounds)]
            lines.append(_row(rate, results))
    return "\n".join(lines) + "\n"


def _run(port: int, rate: int) -> dict[str, Any]:
    summary = load(port, "constant", "--rate-per-s", str(rate), "--duration-s", str(_DURATION_S))["summary"]
    return {
        "error": summary["generator"]["send_error_ms"],
        "latency": summary["latency_ms"]["from_intended_send"],
        "cpu": summary["generator"]["cpu_share"],
    }


def _row(rate: int, results: Sequence[dict[str, Any]]) -> str:
    error, latency = ({q: _median(results, kind, q) for q in ("p50", "p99", "max")} for kind in ("error", "latency"))
    cpu = statistics.median(result["cpu"] for result in results)
    missed = []
    if error["p99"] > 0.3:
        missed.append("send error")
    if abs(latency["p50"] - DELAY_MS) > 0.5:
        missed.append("p50")
    if abs(latency["p99"] - DELAY_MS) > 1.5:
        missed.append("p99")
    verdict = f"missed: {', '.join(missed)}" if missed else "met"
    cells = (" / ".join(f"{value:.2f}" for value in figures.values()) for figures in (error, latency))
    return f"| {rate} | {' | '.join(cells)} | {cpu:.0%} | {verdict} |"


def _median(results: Sequence[dict[str, Any]], kind: str, quantile: str) -> float:
    return float(statistics.median(result[kind][quantile] for result in results))

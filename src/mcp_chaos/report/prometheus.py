"""Runs as a Prometheus text file, for the textfile collector of node_exporter or a Pushgateway."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from mcp_chaos.machine.printable import printable
from mcp_chaos.report.summary import RunSummary
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.judge import FAIL, INCONCLUSIVE, PASS
from mcp_chaos.verdict.measure import Figures

_RUN = ("experiment", "target")
_MS_PER_S = 1e3


def as_prometheus(runs: Sequence[RunSummary], gate: Mapping[str, Any] | None = None) -> str:
    """The text. Of several runs of one experiment on one target, the last counts.

    Args:
        runs: whose figures are told.
        gate: as ``GateResult.as_dict`` gives it, where they are those of a gate.
    """
    registry = CollectorRegistry()
    if gate is not None:
        _gate(registry, gate)

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"mcp_chaos_{name}", text, [*_RUN, *labels], registry=registry)

    verdict = gauge("verdict", "1 for the verdict of the last run, 0 for the others", "verdict")
    began = gauge("run_timestamp_seconds", "When the last run began, in seconds since the epoch")
    calls = gauge("calls", "Calls of the last run", "window", "lane", "outcome")
    success = gauge("success_ratio", "The part of the calls that were answered well", "window", "lane")
    latency = gauge("latency_seconds", "Latency of successful calls", "window", "lane", "percentile")
    recovery = gauge(
        "recovery_seconds", "How long after a heal the service was steady again, the slowest; +Inf: never", "lane"
    )
    faults = gauge("faults", "Faults of the last run, and whether the canary felt them", "felt")
    for run in {(run.title, run.target): run for run in runs}.values():
        where = (printable(run.title), printable(run.target))
        for name in (PASS, FAIL, INCONCLUSIVE):
            verdict.labels(*where, name).set(run.verdict.verdict == name)
        began.labels(*where).set(run.start_s)
        measured = run.verdict.measured
        for felt in (True, False):
            faults.labels(*where, str(felt).lower()).set(sum((f.proof is not None) == felt for f in measured.faults))
        for window, lanes in measured.figures.items():
            for lane, figures in lanes.items():
                if figures.calls:
                    _set(calls, success, latency, (*where, window, lane), figures)
        for lane in measured.recoveries:
            slowest_s = measured.slowest_recovery_s(lane)
            if slowest_s is not None:
                recovery.labels(*where, lane).set(slowest_s)
    return generate_latest(registry).decode()


def _gate(registry: CollectorRegistry, gate: Mapping[str, Any]) -> None:
    """What is there also when no experiment could be run."""

    def gauge(name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"mcp_chaos_{name}", text, ["plan", *labels], registry=registry)

    gauge("gate_exit_code", "0 pass, 1 fail, 3 inconclusive, 4 aborted, 5 error").labels(gate["plan"]).set(
        gate["exit_code"]
    )
    began = datetime.fromisoformat(gate["began"]).timestamp()
    gauge("gate_timestamp_seconds", "When the last gate began, in seconds since the epoch").labels(gate["plan"]).set(
        began
    )
    outcomes = gauge("experiment_outcome", "1 for what came of each experiment", "experiment", "outcome")
    for experiment in gate["experiments"]:
        outcomes.labels(gate["plan"], printable(experiment["title"]), experiment["outcome"]).set(1)


def _set(calls: Gauge, success: Gauge, latency: Gauge, where: tuple[str, ...], figures: Figures) -> None:
    for outcome, count in {"ok": figures.ok_calls, "fail": figures.failed_calls, "info": figures.unknown_calls}.items():
        calls.labels(*where, outcome).set(count)
    if figures.success_fraction is not None:
        success.labels(*where).set(figures.success_fraction)
    # A label named quantile is a summary's own.
    for name, figure in FIGURES.items():
        if figure.quantile is not None and figure.quantile < 1 and figures[name] is not None:
            latency.labels(*where, f"{100 * figure.quantile:g}").set(figures[name] / _MS_PER_S)

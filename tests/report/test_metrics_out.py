"""Runs as OpenTelemetry and as a Prometheus text file."""

import math
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client.parser import text_string_to_metric_families

from mcp_chaos.cli import cli
from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.history.calls import Lane, Outcome, Reason
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History, began_ns
from mcp_chaos.report.html import run_page
from mcp_chaos.report.otel import export
from mcp_chaos.report.prometheus import as_prometheus
from mcp_chaos.verdict.spans import WINDOWS
from tests.histories import S, calls_of, event, every
from tests.report.runs import HOSTILE, START_S, write_run


def points(reader: InMemoryMetricReader) -> dict[str, list[Any]]:
    data = reader.get_metrics_data()
    assert data is not None
    metrics = [m for r in data.resource_metrics for scope in r.scope_metrics for m in scope.metrics]
    return {metric.name: list(metric.data.data_points) for metric in metrics}


class Reader(InMemoryMetricReader):
    """Keeps what it read over the end of its provider."""

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self.found = points(self)
        super().shutdown(timeout_millis, **kwargs)


def test_run_faults_and_windows_are_spans(tmp_path: Path) -> None:
    spans, reader = InMemorySpanExporter(), Reader()
    export([write_run(tmp_path, target="embedded")], spans, reader)
    found = {span.name: span for span in spans.get_finished_spans()}
    root = found["experiment network partition"]
    assert root.attributes is not None
    assert root.attributes["mcp_chaos.verdict"] == "pass"
    fault = found["fault partition"]
    assert (fault.start_time, fault.end_time) == ((START_S + 3) * S, (START_S + 5) * S)
    assert fault.parent is not None
    assert fault.parent.span_id == root.context.span_id
    assert {"window baseline", "window fault", "window recovery"} <= set(found)
    assert root.attributes["mcp_chaos.fault.faulted.success_fraction"] == 0
    assert root.attributes["mcp_chaos.baseline.control.p95_ms"] == pytest.approx(5)
    assert not any(found[f"window {window}"].attributes for window in WINDOWS)


def test_a_doubtful_run_is_no_error_and_says_nothing_in_its_status(tmp_path: Path) -> None:
    spans = InMemorySpanExporter()
    export([write_run(tmp_path, more=[event(START_S + 1, "interrupted", why="SIGTERM")])], spans, Reader())
    (root,) = (span for span in spans.get_finished_spans() if span.parent is None)
    assert (root.status.status_code, root.status.description) == (StatusCode.UNSET, None)


def test_a_run_without_events_is_exported_at_its_own_time(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    folder.events_file.path.unlink()
    spans = InMemorySpanExporter()
    export([folder], spans, InMemoryMetricReader())
    (root,) = spans.get_finished_spans()
    assert root.start_time == root.end_time == began_ns(folder, History.read(folder)) > START_S


def test_calls_of_loads_that_met_no_fault_are_no_metrics(tmp_path: Path) -> None:
    aside = event(START_S + 1, "load_started", load="aside", lane="faulted", judged=False)
    folder, reader = write_run(tmp_path, more=[aside]), Reader()
    calls_of(every(0.1, START_S + 1, START_S + 2)).tofile(folder.calls_path("aside"))
    export([folder], InMemorySpanExporter(), reader)
    assert {point.attributes["load"] for point in reader.found["mcp_chaos.calls"]} == {"sustained"}


def test_variables_that_make_no_sense_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(UsageError, match=r"OpenTelemetry's variables.*OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"):
        export([write_run(tmp_path)])


def test_calls_are_metrics(tmp_path: Path) -> None:
    reader = Reader()
    export([write_run(tmp_path)], InMemorySpanExporter(), reader)
    counts = {(p.attributes["lane"], p.attributes["reason"]): p.value for p in reader.found["mcp_chaos.calls"]}
    assert counts == {("faulted", "ok"): 100, ("faulted", "refused"): 20, ("control", "ok"): 24}
    durations = {p.attributes["lane"]: p for p in reader.found["mcp_chaos.call.duration"]}
    assert durations["faulted"].count == 100
    assert durations["control"].sum == pytest.approx(24 * 0.005)


def test_a_failed_run_is_an_error(tmp_path: Path) -> None:
    spans = InMemorySpanExporter()
    thresholds = {"fault": ["hung_calls == 0"]}
    export([write_run(tmp_path, reason=Reason.TIMED_OUT, thresholds=thresholds)], spans, Reader())
    (root,) = (span for span in spans.get_finished_spans() if span.parent is None)
    assert root.status.status_code is StatusCode.ERROR
    assert "hung_calls" in (root.status.description or "")


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, and keeps it."""

    taken: dict[str, list[bytes]]
    refused: tuple[str, ...] = ()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        if self.path in self.server.refused:
            self.send_error(404)
            return
        self.server.taken.setdefault(self.path, []).append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector(("127.0.0.1", 0), Handler)
    server.taken = {}
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_it_goes_to_a_collector(tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    made = CliRunner().invoke(cli, ["report", str(write_run(tmp_path).path), "--otel"])
    assert made.exit_code == 0, made.output
    spans = [ExportTraceServiceRequest.FromString(body) for body in collector.taken["/v1/traces"]]
    names = {span.name for r in spans for rs in r.resource_spans for ss in rs.scope_spans for span in ss.spans}
    assert "fault partition" in names
    metrics = [ExportMetricsServiceRequest.FromString(body) for body in collector.taken["/v1/metrics"]]
    names = {m.name for r in metrics for rm in r.resource_metrics for sm in rm.scope_metrics for m in sm.metrics}
    assert names == {"mcp_chaos.calls", "mcp_chaos.call.duration"}


@pytest.mark.parametrize("path", ["/v1/metrics", "/v1/traces"])
def test_half_a_collector_is_told(tmp_path: Path, collector: Collector, path: str, monkeypatch: Any) -> None:
    collector.refused = (path,)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    with pytest.raises(TargetError, match="nobody took them"):
        export([write_run(tmp_path)])


def test_nobody_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with pytest.raises(TargetError, match="nobody took them"):
        export([write_run(tmp_path)])


def test_without_the_extra_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mcp_chaos.report.otel", None)
    made = CliRunner().invoke(cli, ["report", str(tmp_path), "--otel"])
    assert "pip install 'chaostoolkit-mcp[otel]'" in str(made.exception)


def prometheus(text: str, name: str) -> list[tuple[dict[str, str], float]]:
    """The samples of a metric."""
    families = text_string_to_metric_families(text)
    return [(s.labels, float(s.value)) for family in families for s in family.samples if s.name == name]


def test_a_prometheus_file_is_read_by_its_own_parser(tmp_path: Path) -> None:
    before = event(START_S - 2, "run_started")
    runs = [write_run(tmp_path, more=[before]), write_run(tmp_path, title="again")]
    text = as_prometheus([run_page(folder) for folder in runs])
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    where = (("experiment", "network partition"), ("target", HOSTILE))

    def value(name: str, **labels: str) -> float:
        return float(samples[(f"mcp_chaos_{name}", *sorted([*where, *labels.items()]))])

    assert value("verdict", verdict="pass") == 1
    assert value("verdict", verdict="fail") == 0
    assert value("success_ratio", window="fault", lane="faulted") == 0
    assert value("latency_seconds", window="recovery", lane="faulted", percentile="95") == pytest.approx(0.02)
    assert value("calls", window="fault", lane="faulted", outcome="fail") == 20
    assert value("faults", felt="true") == 1
    assert value("run_timestamp_seconds") == START_S - 2


@pytest.mark.parametrize("lane", [Lane.FAULTED, Lane.CONTROL])
def test_a_service_that_never_became_steady_takes_for_ever(tmp_path: Path, lane: Lane) -> None:
    folder = write_run(tmp_path)
    calls = folder.calls("sustained")
    after = (calls["intended_ns"] >= (START_S + 5) * S) & (calls["lane"] == lane)
    calls["reason"][after], calls["outcome"][after] = Reason.REFUSED, Outcome.FAIL
    calls.tofile(folder.calls_path("sustained"))
    found = prometheus(as_prometheus([run_page(folder)]), "mcp_chaos_recovery_seconds")
    assert {labels["lane"]: value for labels, value in found}[lane.name.lower()] == math.inf
    assert sorted(value for _, value in found)[0] < 1


def test_a_run_without_events_began_when_its_folder_was_made(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    folder.events_file.path.unlink()
    named = folder.path.rename(tmp_path / "20260102T030405.678Z-x")
    ((_, value),) = prometheus(as_prometheus([run_page(RunFolder.open(named))]), "mcp_chaos_run_timestamp_seconds")
    assert value == pytest.approx(datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC).timestamp(), abs=1e-3)
    other = RunFolder.open(named.rename(tmp_path / "renamed"))
    assert began_ns(other, History.read(other)) == (other.path / "manifest.json").stat().st_mtime_ns


def test_every_metric_is_documented_and_named_as_prometheus_wants_it(tmp_path: Path) -> None:
    gate = {"plan": "p", "exit_code": 0, "began": "2026-01-01T00:00:00+00:00", "experiments": []}
    text = as_prometheus([run_page(write_run(tmp_path))], gate)
    page = Path("docs/gate.md").read_text()
    for family in text_string_to_metric_families(text):
        assert f"`{family.name}`" in page
        labels = {label for sample in family.samples for label in sample.labels}
        assert not labels & {"quantile", "le"}, "these are of summaries and histograms"
        assert all(f"`{label}`" in page for label in labels)


def test_report_writes_it(tmp_path: Path) -> None:
    file = tmp_path / "mcp_chaos.prom"
    made = CliRunner().invoke(cli, ["report", str(write_run(tmp_path).path), "--prometheus", str(file)])
    assert made.exit_code == 0
    assert "mcp_chaos_verdict" in file.read_text()

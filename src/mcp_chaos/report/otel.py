"""A run as OpenTelemetry: the run, its faults and its windows as spans, its calls as metrics. Needs the extra ``otel``.

Where it goes is said by OpenTelemetry's own variables, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``. Spans have the times of
the run; metrics can have none but that of the export.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context

from mcp_chaos import __version__
from mcp_chaos.errors import TargetError
from mcp_chaos.history import History, RunFolder
from mcp_chaos.metrics import end_of
from mcp_chaos.records import Calls, Lane, Outcome, Reason
from mcp_chaos.verdict import FAIL, PASS, Verdict, judge

_NAME = "mcp_chaos"
_NS_PER_S = 1e9
_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def export(folders: Sequence[RunFolder], spans: SpanExporter | None = None, reader: MetricReader | None = None) -> None:
    """Export runs.

    Args:
        folders: of the runs.
        spans: takes the spans; OTLP over HTTP by default.
        reader: reads the metrics; OTLP over HTTP by default.

    Raises:
        HistoryError: the files are not those of a run.
        TargetError: nobody took them.
    """
    resource = Resource.create({"service.name": _NAME, "service.version": __version__})
    watched = _Watched(spans or OTLPSpanExporter())
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(SimpleSpanProcessor(watched))
    metrics = _WatchedMetrics()
    reader = reader or PeriodicExportingMetricReader(metrics, export_interval_millis=float("inf"))
    meters = MeterProvider(metric_readers=[reader], resource=resource)
    for folder in folders:
        history = History.read(folder)
        _spans(tracers.get_tracer(_NAME), history, judge(history), folder.run_id)
        _metrics(meters, history)
    meters.force_flush()  # says that it went well whatever becomes of it
    meters.shutdown()
    tracers.shutdown()
    if watched.failed or metrics.failed:
        raise TargetError(
            "The runs could not be exported: nobody took them at the OTLP endpoint "
            "(see OTEL_EXPORTER_OTLP_ENDPOINT, by default http://localhost:4318). They are kept in their folders."
        )


class _Watched(SpanExporter):
    """An exporter whose failures are noticed: OpenTelemetry only logs them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.failed = False

    def export(self, spans: Any) -> Any:
        """Pass them on, unless an earlier one was not taken: each would wait for its retries."""
        if self.failed:
            return None
        result = self._exporter.export(spans)
        self.failed = result.value != 0
        return result

    def shutdown(self) -> None:
        """End."""
        self._exporter.shutdown()


class _WatchedMetrics(OTLPMetricExporter):
    """The same for metrics."""

    failed = False

    def export(
        self, metrics_data: MetricsData, timeout_millis: float | None = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        """Pass them on."""
        result = super().export(metrics_data, timeout_millis, **kwargs)
        self.failed = self.failed or result is not MetricExportResult.SUCCESS
        return result


def _spans(tracer: Tracer, history: History, verdict: Verdict, run_id: str) -> None:
    begin_ns = history.events[0].at_ns if history.events else 0
    manifest = history.manifest
    facts = {"run": run_id, "target": str(manifest.get("target")), "dialect": str(manifest.get("dialect"))}
    root = tracer.start_span(
        f"experiment {manifest.get('experiment')}",
        start_time=begin_ns,
        attributes={f"{_NAME}.{key}": value for key, value in facts.items()},
    )
    root.set_attribute(f"{_NAME}.verdict", verdict.verdict)
    root.set_attribute(f"{_NAME}.reasons", list(verdict.reasons))
    if verdict.verdict != PASS:
        root.set_status(Status(StatusCode.ERROR if verdict.verdict == FAIL else StatusCode.UNSET, verdict.reasons[0]))
    measured = verdict.measured
    for fault in measured.faults:
        more = {"proxy": fault.proxy, "felt": fault.proof is not None, "proof": fault.proof or fault.doubt or ""}
        _span(tracer, root, f"fault {fault.name}", fault.span.start_ns, fault.span.end_ns, more)
    for window, segments in measured.windows.items():
        figures = measured.figures[window]["faulted"]
        more = {name: value for name, value in figures.as_dict().items() if value is not None}
        for segment in segments:
            _span(tracer, root, f"window {window}", segment.start_ns, segment.end_ns, more)
    root.end(end_of(history))


def _span(tracer: Tracer, parent: Span, name: str, start_ns: int, end_ns: int, more: Mapping[str, Any]) -> None:
    attributes = {f"{_NAME}.{key}": value for key, value in more.items()}
    tracer.start_span(name, set_span_in_context(parent), start_time=start_ns, attributes=attributes).end(end_ns)


def _metrics(meters: MeterProvider, history: History) -> None:
    meter = meters.get_meter(_NAME)
    counter = meter.create_counter(f"{_NAME}.calls", unit="{call}", description="Calls by lane and how they ended")
    durations = meter.create_histogram(
        f"{_NAME}.call.duration",
        unit="s",
        description="Of successful calls, from their intended send",
        explicit_bucket_boundaries_advisory=_BOUNDS_S,
    )
    experiment = str(history.manifest.get("experiment"))
    for load, calls in history.calls.items():
        for lane in Lane:
            where = {"experiment": experiment, "load": load, "lane": lane.name.lower()}
            mine: Calls = calls[calls["lane"] == lane]
            for reason, count in enumerate(np.bincount(mine["reason"], minlength=len(Reason))):
                if count:
                    counter.add(int(count), {**where, "reason": Reason(reason).name.lower()})
            ok = mine[mine["outcome"] == Outcome.OK]
            for duration_s in ((ok["done_ns"] - ok["intended_ns"]) / _NS_PER_S).tolist():
                durations.record(duration_s, where)

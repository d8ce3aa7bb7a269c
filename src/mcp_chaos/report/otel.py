"""A run as OpenTelemetry: run, faults and windows as spans, the judged calls as metrics. Needs the extra ``otel``.

Where it goes is said by OpenTelemetry's own variables, such as ``OTEL_EXPORTER_OTLP_ENDPOINT``. Spans have the times of
the run; metrics can have none but that of the export.
"""

from collections.abc import Iterable, Mapping, Sequence
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
from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.history.calls import Calls, Lane, Outcome, Reason
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History, began_ns
from mcp_chaos.verdict.judge import FAIL, Verdict, judge
from mcp_chaos.verdict.measure import Measured, end_of
from mcp_chaos.verdict.spans import Segment

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
        UsageError: OpenTelemetry's variables make no sense.
        TargetError: nobody took them.
    """
    resource = Resource.create({"service.name": _NAME, "service.version": __version__})
    try:
        watched, metrics = _Watched(spans or OTLPSpanExporter()), _WatchedMetrics()
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(SimpleSpanProcessor(watched))
        reader = reader or PeriodicExportingMetricReader(metrics, export_interval_millis=float("inf"))
        meters = MeterProvider(metric_readers=[reader], resource=resource)
    except ValueError as error:
        raise UsageError(f"--otel: one of OpenTelemetry's variables (OTEL_...) cannot be used: {error}") from None
    for folder in folders:
        history = History.read(folder)
        verdict = judge(history)
        _spans(tracers.get_tracer(_NAME), folder, history, verdict)
        _metrics(meters, history, verdict.measured.loads)
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


def _spans(tracer: Tracer, folder: RunFolder, history: History, verdict: Verdict) -> None:
    begin_ns = began_ns(folder, history)
    manifest, measured = history.manifest, verdict.measured
    facts: dict[str, Any] = {
        "run": folder.run_id,
        "target": str(manifest.get("target")),
        "dialect": str(manifest.get("dialect")),
        "verdict": verdict.verdict,
        "reasons": list(verdict.reasons),
        "never_steady": measured.never_steady,
        **_figures(measured),
    }
    root = tracer.start_span(
        f"experiment {manifest.get('experiment')}",
        start_time=begin_ns,
        attributes={f"{_NAME}.{key}": value for key, value in facts.items()},
    )
    if verdict.verdict == FAIL:
        root.set_status(Status(StatusCode.ERROR, verdict.reasons[0]))
    for fault in measured.faults:
        more = {"proxy": fault.proxy, "felt": fault.proof is not None, "proof": fault.proof or fault.doubt or ""}
        _span(tracer, root, f"fault {fault.name}", fault.span, more)
    for window, segments in measured.windows.items():
        for segment in segments:
            _span(tracer, root, f"window {window}", segment, {})
    root.end(max(begin_ns, end_of(history)))


def _figures(measured: Measured) -> dict[str, float]:
    """Those of a window are of all its segments together, so they are the run's and not of a segment's span."""
    return {
        f"{window}.{lane}.{name}": value
        for window, lanes in measured.figures.items()
        for lane, figures in lanes.items()
        for name, value in figures.as_dict().items()
        if figures.calls and value is not None
    }


def _span(tracer: Tracer, parent: Span, name: str, span: Segment, more: Mapping[str, Any]) -> None:
    attributes = {f"{_NAME}.{key}": value for key, value in more.items()}
    made = tracer.start_span(name, set_span_in_context(parent), start_time=span.start_ns, attributes=attributes)
    made.end(span.end_ns)


def _metrics(meters: MeterProvider, history: History, judged: Iterable[str]) -> None:
    meter = meters.get_meter(_NAME)
    counter = meter.create_counter(f"{_NAME}.calls", unit="{call}", description="Calls by lane and how they ended")
    durations = meter.create_histogram(
        f"{_NAME}.call.duration",
        unit="s",
        description="Of successful calls, from their intended send",
        explicit_bucket_boundaries_advisory=_BOUNDS_S,
    )
    experiment = str(history.manifest.get("experiment"))
    for load in judged:
        calls = history.calls[load]
        for lane in Lane:
            where = {"experiment": experiment, "load": load, "lane": lane.name.lower()}
            mine: Calls = calls[calls["lane"] == lane]
            counts = np.bincount(mine["reason"], minlength=len(Reason))
            for reason, count in zip(Reason, counts, strict=True):
                if count:
                    counter.add(int(count), {**where, "reason": reason.key})
            ok = mine[mine["outcome"] == Outcome.OK]
            for duration_s in ((ok["done_ns"] - ok["intended_ns"]) / _NS_PER_S).tolist():
                durations.record(duration_s, where)

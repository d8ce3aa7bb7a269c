"""The lines of a report, from calls."""

import numpy as np
import plotly.graph_objects as go
import pytest

from mcp_chaos.history.calls import CALL, Lane, Reason
from mcp_chaos.report.charts import bands, charts
from mcp_chaos.report.series import MOST_BUCKETS, operation_rows, time_line
from mcp_chaos.verdict.spans import FaultSpan, Segment
from tests.histories import S, call, calls_of, every

CALLS = calls_of(
    [
        *every(0.1, 0, 4, took_ms=10),
        *every(0.1, 4, 6, reason=Reason.REFUSED),
        *every(0.1, 6, 10, took_ms=40),
        *every(0.5, 0, 10, lane=Lane.CONTROL, took_ms=5),
    ]
)


def test_each_call_is_in_its_bucket() -> None:
    line = time_line(CALLS, 0, 10 * S)
    assert line.bucket_s == 0.5
    assert line.times_s[:2] == [0.25, 0.75]
    faulted, control = line.lanes["faulted"], line.lanes["control"]
    assert sum(faulted.calls) == 100
    assert sum(control.calls) == 20
    assert faulted.calls_per_s[2] == 10
    assert faulted.success_fraction[0] == 1
    assert faulted.success_fraction[9] == 0
    assert faulted.latency_ms["p95_ms"][0] == pytest.approx(10)
    assert faulted.latency_ms["p50_ms"][9] is None
    assert faulted.reasons[Reason.REFUSED][9] == 5
    assert Reason.REFUSED not in control.reasons


def test_quantiles_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    rows = [
        call(at_s, took_ms=took) for at_s, took in zip(rng.uniform(0, 5, 2000), rng.lognormal(3, 1, 2000), strict=True)
    ]
    line = time_line(calls_of(rows), 0, 5 * S)
    for index, middle_s in enumerate(line.times_s):
        mine = [(row[2] - row[0]) / 1e6 for row in rows if middle_s - 0.25 <= row[0] / S < middle_s + 0.25]
        for name, quantile in {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}.items():
            assert line.lanes["faulted"].latency_ms[name][index] == pytest.approx(np.quantile(mine, quantile), abs=2e-3)


@pytest.mark.parametrize("end_s", [6.0, 6.05, 6.3])
def test_a_part_of_a_bucket_at_the_end_has_no_rate(end_s: float) -> None:
    line = time_line(calls_of(every(0.1, 0.05, end_s)), 0, round(end_s * S))
    rates = line.lanes["faulted"].calls_per_s
    assert rates[:12] == [10] * 12
    assert rates[12:] == [None] * (end_s > 6)
    assert sum(line.lanes["faulted"].calls) == round(end_s * 10)


def test_a_short_run_has_short_buckets() -> None:
    line = time_line(calls_of(every(0.01, 0.005, 1.2)), 0, round(1.2 * S))
    assert line.bucket_s == 0.2
    assert line.lanes["faulted"].calls_per_s == pytest.approx([100] * 6)


@pytest.mark.parametrize("seconds", [0.1, 10, 1000, 100_000, 20_000_000])
def test_there_are_never_too_many_points(seconds: float) -> None:
    line = time_line(calls_of([call(0), call(seconds / 2)]), 0, round(seconds * S))
    assert len(line.times_s) <= MOST_BUCKETS
    assert sum(line.lanes["faulted"].calls) == 2


def test_all_successful_calls_are_in_the_heat_map() -> None:
    heat = time_line(CALLS, 0, 10 * S).heat
    assert sum(map(sum, heat.counts)) == 80
    assert heat.edges_ms[0] <= 10
    assert heat.edges_ms[-1] >= 40


@pytest.mark.parametrize(
    "calls", [np.empty(0, dtype=CALL), calls_of([call(1, Reason.TIMED_OUT)]), calls_of([call(1, took_ms=0)]), CALLS]
)
def test_what_is_drawn_is_what_plotly_knows(calls: np.ndarray) -> None:
    for chart in charts(time_line(calls, 0, 10 * S)):
        traces = [
            {k: v for k, v in trace.items() if k not in ("line", "marker", "colorscale")} for trace in chart.traces
        ]
        go.Figure(data=traces, layout={"yaxis": chart.y_axis})


def test_faults_are_shaded_where_they_were() -> None:
    fault = FaultSpan("f", "partition", "mcp", Segment(3 * S, 5 * S), True, None, "nothing happened")
    assert bands([fault], S) == [{"name": "partition", "proxy": "mcp", "from_s": 2, "until_s": 4, "felt": False}]


def test_operations_are_told_apart_by_name_and_lane() -> None:
    calls = CALLS.copy()
    calls["operation"][: len(calls) // 2] = 1
    calls["operation"][0] = 7
    rows = operation_rows([(["list", "query"], calls), (["query"], calls_of([call(1)]))])
    assert {(row.name, row.lane) for row in rows} == {
        ("list", "faulted"),
        ("list", "control"),
        ("query", "faulted"),
        ("query", "control"),
        ("operation 7", "control"),
    }
    assert sum(row.calls for row in rows) == len(CALLS) + 1
    assert [row.calls for row in rows] == sorted((row.calls for row in rows), reverse=True)
    assert all(0 <= row.success_fraction <= 1 for row in rows)

"""Finer time lines around the faults of a long run."""

from mcp_chaos.report.details import details
from mcp_chaos.report.series import time_line
from mcp_chaos.verdict.spans import FaultSpan, Segment
from tests.histories import S, calls_of, every

CALLS = calls_of(every(0.5, 0, 3600))
WHOLE = Segment(0, 3600 * S)
LINE = time_line(CALLS, WHOLE.start_ns, WHOLE.end_ns)


def span(start_s: float, end_s: float) -> FaultSpan:
    return FaultSpan("x", "partition", "mcp", Segment(round(start_s * S), round(end_s * S)), True, "felt", None)


def test_the_time_around_each_fault_has_buckets_of_its_own() -> None:
    first, second = details(CALLS, WHOLE, [span(100, 102), span(200, 260)], LINE)
    assert (first["from_s"], first["until_s"], first["bucket_s"]) == (97, 105, 0.5)
    assert (second["from_s"], second["until_s"], second["bucket_s"]) == (140, 320, 1)
    times = first["charts"][0]["traces"][0]["x"]
    assert (times[0], times[-1]) == (97.25, 104.75)


def test_at_the_end_of_the_run_they_go_as_far_as_its_axis() -> None:
    whole = Segment(0, 3601 * S)
    line = time_line(CALLS, whole.start_ns, whole.end_ns)
    (last,) = details(CALLS, whole, [span(3595, 3601)], line)
    assert last["until_s"] == line.until_s == 3630


def test_faults_that_are_near_each_other_are_looked_at_together() -> None:
    (both,) = details(CALLS, WHOLE, [span(105, 106), span(100, 101)], LINE)
    assert (both["from_s"], both["until_s"]) == (97, 109)


def test_there_is_nothing_where_it_would_show_no_more() -> None:
    assert details(CALLS, WHOLE, [span(100, 3000)], LINE) == []
    assert details(CALLS, WHOLE, [], LINE) == []
    assert len(details(CALLS, WHOLE, [span(at, at + 1) for at in range(50, 3500, 50)], LINE)) == 12

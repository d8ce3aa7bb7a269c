"""Finer time lines around the faults of a long run."""

from mcp_chaos.metrics import FaultSpan, Segment
from mcp_chaos.report.details import details
from tests.histories import S, calls_of, every

CALLS = calls_of(every(0.5, 0, 3600))
WHOLE = Segment(0, 3600 * S)


def span(start_s: float, end_s: float) -> FaultSpan:
    return FaultSpan("x", "partition", "mcp", Segment(round(start_s * S), round(end_s * S)), True, "felt", None)


def test_the_time_around_each_fault_has_buckets_of_its_own() -> None:
    first, second = details(CALLS, WHOLE, [span(100, 102), span(200, 260)], 15)
    assert (first["from_s"], first["until_s"], first["bucket_s"]) == (97, 105, 0.5)
    assert (second["from_s"], second["until_s"], second["bucket_s"]) == (140, 320, 1)
    times = first["charts"][0]["traces"][0]["x"]
    assert (times[0], times[-1]) == (97.25, 104.75)


def test_faults_that_are_near_each_other_are_looked_at_together() -> None:
    (both,) = details(CALLS, WHOLE, [span(105, 106), span(100, 101)], 15)
    assert (both["from_s"], both["until_s"]) == (97, 109)


def test_there_is_nothing_where_it_would_show_no_more() -> None:
    assert details(CALLS, WHOLE, [span(100, 3000)], 15) == []
    assert details(CALLS, WHOLE, [], 15) == []
    assert len(details(CALLS, WHOLE, [span(at, at + 1) for at in range(50, 3500, 50)], 15)) == 12

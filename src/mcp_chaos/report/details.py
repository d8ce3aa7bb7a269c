"""Pure: finer time lines around the faults of a long run, for whoever looks closer than its buckets are."""

from collections.abc import Iterable
from typing import Any

from mcp_chaos.history.calls import Calls
from mcp_chaos.report.charts import charts
from mcp_chaos.report.series import TimeLine, time_line
from mcp_chaos.verdict.spans import FaultSpan, Segment, merged

_MOST = 12
_LEAST_NS = 3_000_000_000
_NS_PER_S = 1e9


def details(calls: Calls, whole: Segment, faults: Iterable[FaultSpan], coarse: TimeLine) -> list[dict[str, Any]]:
    """The charts of the time around each fault, where they show more than those of the whole run.

    Args:
        calls: of all lanes.
        whole: the time that the charts show.
        faults: of the run; those that are near each other are shown together, and no more than the first few.
        coarse: the time line of the whole run.

    Returns:
        ``from_s``, ``until_s``, ``bucket_s``, and ``charts`` as those of the whole run, on the same axis.
    """
    found = []
    for around in merged(_around(fault.span, whole) for fault in faults)[:_MOST]:
        line = time_line(calls, around.start_ns, around.end_ns, zero_ns=whole.start_ns)
        if line.bucket_s < coarse.bucket_s:
            from_s, until_s = ((at - whole.start_ns) / _NS_PER_S for at in (around.start_ns, around.end_ns))
            if around.end_ns == whole.end_ns:
                until_s = coarse.until_s  # the axis ends with a whole bucket
            made = [chart.as_dict() for chart in charts(line)]
            found.append({"from_s": from_s, "until_s": until_s, "bucket_s": line.bucket_s, "charts": made})
    return found


def _around(span: Segment, whole: Segment) -> Segment:
    """A fault, and as much of the time before and after it."""
    more_ns = max(_LEAST_NS, span.end_ns - span.start_ns)
    return Segment(max(whole.start_ns, span.start_ns - more_ns), min(whole.end_ns, span.end_ns + more_ns))

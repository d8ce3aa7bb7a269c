"""Pure: from calls to the lines of a report. However many calls there were, a line has at most a few hundred points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.history.calls import Calls, Lane, Outcome, Reason
from mcp_chaos.verdict.figure import Figure
from mcp_chaos.verdict.figures import FIGURES

MOST_BUCKETS = 240
_SHORT_S = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Buckets of runs of a few seconds, which are to have ten; of longer runs they would have few calls, and draw noise."""
_BUCKETS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200)
_HEAT_ROWS = 28
_NS_PER_S = 1e9
_NS_PER_MS = 1e6

Line = list[float | None]
"""One value a bucket; ``None`` where its calls give none."""


@dataclass(frozen=True)
class LaneLines:
    """The lines of one lane, a value a bucket.

    Args:
        calls: how many were intended in it.
        calls_per_s: the same as a rate; ``None`` in a last bucket that is cut off, where few calls would make a peak.
        success_fraction: of those, 0 to 1.
        latency_ms: quantiles of the successful ones, from their intended send, see ``latency_figures``.
        reasons: how many ended for each reason that came up.
    """

    calls: list[int]
    calls_per_s: Line
    success_fraction: Line
    latency_ms: dict[str, Line]
    reasons: dict[Reason, list[int]]


@dataclass(frozen=True)
class Heat:
    """How many successful calls took how long, when.

    Args:
        edges_ms: of the rows, one more than there are rows; each is as many times the one before.
        counts: by row, then bucket.
    """

    edges_ms: list[float]
    counts: list[list[int]]


@dataclass(frozen=True)
class TimeLine:
    """All lines of a run.

    Args:
        start_ns: the moment that is 0 s.
        bucket_s: how long a bucket is.
        times_s: the middle of each bucket, from that moment.
        lanes: by the name of the lane; only those with calls.
        heat: of the faulted lane.
    """

    start_ns: int
    bucket_s: float
    times_s: list[float]
    lanes: dict[str, LaneLines]
    heat: Heat

    @property
    def until_s(self) -> float:
        """The end of the last bucket."""
        return round(self.times_s[-1] + self.bucket_s / 2, 3)


def latency_figures() -> list[Figure[Any]]:
    """The figures that are lines in the chart of latencies."""
    return [figure for figure in FIGURES.values() if figure.line is not None and figure.quantile is not None]


def time_line(
    calls: Calls, start_ns: int, end_ns: int, most: int = MOST_BUCKETS, zero_ns: int | None = None
) -> TimeLine:
    """The lines of some calls.

    Args:
        calls: of all lanes, in any order.
        start_ns: of the time to show.
        end_ns: its end.
        most: buckets that there may be.
        zero_ns: the moment that is 0 s, where it is another than the start.
    """
    seconds = max(0.1, (end_ns - start_ns) / _NS_PER_S)
    fitting = [float(b) for b in _SHORT_S if b >= seconds / 10] + [float(b) for b in _BUCKETS_S if seconds / b <= most]
    bucket_s = next(iter(fitting), seconds / most)
    count = int(np.ceil(seconds / bucket_s))
    whole = count if seconds >= count * bucket_s - 1e-6 else count - 1
    where = ((calls["intended_ns"] - start_ns) / _NS_PER_S // bucket_s).astype(np.int64)
    inside = (where >= 0) & (where < count)
    calls, where = calls[inside], where[inside]
    lanes = {}
    for lane in Lane:
        mine = calls["lane"] == lane
        if mine.any():
            lanes[lane.name.lower()] = _lines(calls[mine], where[mine], count, bucket_s, whole)
    faulted = calls["lane"] == Lane.FAULTED
    zero_ns = start_ns if zero_ns is None else zero_ns
    times_s = [round((start_ns - zero_ns) / _NS_PER_S + (index + 0.5) * bucket_s, 3) for index in range(count)]
    return TimeLine(zero_ns, bucket_s, times_s, lanes, _heat(calls[faulted], where[faulted], count))


def _lines(calls: Calls, where: NDArray[np.int64], count: int, bucket_s: float, whole: int) -> LaneLines:
    total = np.bincount(where, minlength=count)
    ok = calls["outcome"] == Outcome.OK
    good = np.bincount(where[ok], minlength=count)
    reasons = {
        reason: np.bincount(where[calls["reason"] == reason], minlength=count).tolist()
        for reason in Reason
        if (calls["reason"] == reason).any()
    }
    return LaneLines(
        calls=total.tolist(),
        calls_per_s=[round(float(rate), 3) if n < whole else None for n, rate in enumerate(total / bucket_s)],
        success_fraction=[round(float(g / n), 5) if n else None for g, n in zip(good, total, strict=True)],
        latency_ms=_quantiles(_latencies_ms(calls[ok]), where[ok], count),
        reasons=reasons,
    )


def _latencies_ms(ok: Calls) -> NDArray[np.float64]:
    times: NDArray[np.float64] = (ok["done_ns"] - ok["intended_ns"]) / _NS_PER_MS
    return times


def _quantiles(latencies_ms: NDArray[np.float64], where: NDArray[np.int64], count: int) -> dict[str, Line]:
    """Quantiles in each bucket, by linear interpolation, all from one sorting."""
    order = np.lexsort((latencies_ms, where))
    ordered = latencies_ms[order]
    ends = np.cumsum(np.bincount(where, minlength=count))
    starts = np.concatenate(([0], ends[:-1]))
    quantiles = {figure.name: figure.quantile or 0.0 for figure in latency_figures()}
    lines: dict[str, Line] = {name: [] for name in quantiles}
    for start, end in zip(starts, ends, strict=True):
        for name, quantile in quantiles.items():
            at = start + quantile * (end - start - 1)
            low = int(at)
            high = min(low + 1, int(end) - 1)
            value = None if start == end else ordered[low] + (at - low) * (ordered[high] - ordered[low])
            lines[name].append(None if value is None else round(float(value), 3))
    return lines


def _heat(calls: Calls, where: NDArray[np.int64], count: int) -> Heat:
    ok = calls["outcome"] == Outcome.OK
    latencies_ms = np.maximum(_latencies_ms(calls[ok]), 1e-3)
    if not len(latencies_ms):
        return Heat([], [])
    low, high = float(latencies_ms.min()), float(latencies_ms.max())
    edges_ms = np.geomspace(low * 0.999, max(high, low * 1.1) * 1.001, _HEAT_ROWS + 1)
    rows = np.clip(np.searchsorted(edges_ms, latencies_ms, side="right") - 1, 0, _HEAT_ROWS - 1)
    flat = np.bincount(rows * count + where[ok], minlength=_HEAT_ROWS * count)
    return Heat([round(float(edge), 4) for edge in edges_ms], flat.reshape(_HEAT_ROWS, count).tolist())


@dataclass(frozen=True)
class OperationRow:
    """What became of the calls of one operation on one lane.

    Args:
        name: of the operation.
        lane: its lane.
        calls: how many.
        success_fraction: of those, 0 to 1.
        p50_ms, p95_ms, p99_ms: of the successful ones; ``None`` where there is none.
        received_bytes: of all their answers.
    """

    name: str
    lane: str
    calls: int
    success_fraction: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    received_bytes: int


def operation_rows(loads: Sequence[tuple[Sequence[str], Calls]]) -> list[OperationRow]:
    """The calls of each operation, loads together that call the same; the most called first.

    Args:
        loads: the names of a load's operations in their order, and its calls.
    """
    parts: dict[tuple[str, Lane], list[Calls]] = {}
    for names, calls in loads:
        for index in np.unique(calls["operation"]):
            name = names[index] if index < len(names) else f"operation {index}"
            of_operation = calls[calls["operation"] == index]
            for lane in Lane:
                mine = of_operation[of_operation["lane"] == lane]
                if len(mine):
                    parts.setdefault((name, lane), []).append(mine)
    rows = [_row(name, lane, np.concatenate(found)) for (name, lane), found in parts.items()]
    return sorted(rows, key=lambda row: (-row.calls, row.name, row.lane))


def _row(name: str, lane: Lane, calls: Calls) -> OperationRow:
    ok = calls["outcome"] == Outcome.OK
    latencies_ms = _latencies_ms(calls[ok])
    found = [float(q) for q in np.quantile(latencies_ms, [0.5, 0.95, 0.99])] if ok.any() else [None] * 3
    received = int(calls["bytes"].sum(dtype=np.int64))
    return OperationRow(name, lane.name.lower(), len(calls), float(ok.mean()), found[0], found[1], found[2], received)

"""The specification's result fields, from calls. Times are in seconds, ``success_rate`` is in percent, as there.

Response times are of successful calls. A field that the calls do not give, such as the average of none, is ``None``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mcp_chaos.records import Calls, Outcome

_NS_PER_S = 1e9


def burst_result(calls: Calls, concurrent_limit: int, total_time_s: float) -> dict[str, Any]:
    """The result of a burst, or of one step of another shape."""
    ok = calls[calls["outcome"] == Outcome.OK]
    times_s = (ok["done_ns"] - ok["sent_ns"]) / _NS_PER_S
    quantiles = [float(q) for q in np.quantile(times_s, [0.5, 0.95, 0.99])] if len(ok) else [None] * 3
    return {
        "total_requests": len(calls),
        "concurrent_limit": concurrent_limit,
        "total_time": total_time_s,
        "successful_requests": len(ok),
        "failed_requests": len(calls) - len(ok),
        "success_rate": 100.0 * len(ok) / len(calls) if len(calls) else None,
        "throughput": len(ok) / total_time_s if total_time_s > 0 else None,
        "avg_response_time": float(times_s.mean()) if len(ok) else None,
        "median_response_time": quantiles[0],
        "p95_response_time": quantiles[1],
        "p99_response_time": quantiles[2],
    }


def ramp_result(steps: Sequence[dict[str, Any]], stop_below_fraction: float) -> dict[str, Any]:
    """The result of a ramp: its steps, the capacity, and the breaking point where there was one.

    ``capacity_users`` is the most users of a step that held, 0 when none did; ``breaking_point_users`` the first step
    that did not, ``None`` when all held.
    """
    held = [step["concurrent_users"] for step in steps if _held(step, stop_below_fraction)]
    broke = [step["concurrent_users"] for step in steps if not _held(step, stop_below_fraction)]
    return {
        "steps": list(steps),
        "capacity_users": max(held, default=0),
        "breaking_point_users": min(broke, default=None),
    }


def sustained_result(cycles: Sequence[dict[str, Any]], users: int, duration_s: float) -> dict[str, Any]:
    """The result of a sustained load: averages over its cycles, and each of them."""
    return {
        "test_duration_minutes": duration_s / 60,
        "concurrent_users": users,
        "total_test_cycles": len(cycles),
        "avg_throughput": _mean(cycles, "throughput"),
        "avg_success_rate": _mean(cycles, "success_rate"),
        "avg_response_time": _mean(cycles, "avg_response_time"),
        "detailed_results": list(cycles),
    }


def _held(step: dict[str, Any], fraction: float) -> bool:
    total = step["total_requests"]
    return bool(total) and step["successful_requests"] / total >= fraction


def _mean(rows: Sequence[dict[str, Any]], name: str) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return sum(values) / len(values) if values else None

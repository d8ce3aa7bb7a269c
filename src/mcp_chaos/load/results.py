"""The result of a load, from its calls: the specification's fields, and a summary that tells more.

In the specification's fields times are in seconds and ``success_rate`` is in percent, as there. Response times are of
successful calls. A field that the calls do not give, such as the average of none, is ``None``.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.history.calls import Calls, Outcome, Reason

_NS_PER_S = 1e9
_NS_PER_MS = 1e6
_QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}

_MAYBE_NUMBER = (int, float, type(None))
_LATENCIES = dict.fromkeys(_QUANTILES, _MAYBE_NUMBER)
_READ: dict[str, Any] = {
    "calls": int,
    "busy_s": (int, float),
    "calls_per_s": _MAYBE_NUMBER,
    "outcomes": {"ok": int},
    "reasons": dict,
    "received_bytes": int,
    "latency_ms": {"from_intended_send": _LATENCIES, "from_actual_send": _LATENCIES},
    "generator": {
        "cpu_share": _MAYBE_NUMBER,
        "dropped_arrivals": int,
        "kept_up": (bool, type(None)),
        "send_error_ms": dict.fromkeys(("p50", "p99", "max"), _MAYBE_NUMBER),
        "workers": list,
    },
}
"""What reports read of a summary."""


class Tally:
    """What is kept of any number of calls: counts, bytes, and the times of those that succeeded, 16 bytes each."""

    def __init__(self, parts: Iterable[Calls] = ()) -> None:
        self.reasons = np.zeros(len(Reason), dtype=np.int64)
        self.outcomes = np.zeros(len(Outcome), dtype=np.int64)
        self.received_bytes = 0
        self._from_send: list[NDArray[np.int64]] = []
        self._from_intended: list[NDArray[np.int64]] = []
        for part in parts:
            self.add(part)

    def add(self, calls: Calls) -> None:
        """Count some more calls."""
        self.reasons += np.bincount(calls["reason"], minlength=len(Reason))
        self.outcomes += np.bincount(calls["outcome"], minlength=len(Outcome))
        self.received_bytes += int(calls["bytes"].sum(dtype=np.int64))
        ok = calls["outcome"] == Outcome.OK
        self._from_send.append((calls["done_ns"] - calls["sent_ns"])[ok])
        self._from_intended.append((calls["done_ns"] - calls["intended_ns"])[ok])

    @property
    def calls(self) -> int:
        """How many there were."""
        return int(self.outcomes.sum())

    @property
    def ok_calls(self) -> int:
        """How many succeeded."""
        return int(self.outcomes[Outcome.OK])

    def times_s(self) -> NDArray[np.float64]:
        """The times of successful calls from their sending, in seconds."""
        return _joined(self._from_send) / _NS_PER_S

    def latency_ms(self) -> dict[str, dict[str, float | None]]:
        """Quantiles in milliseconds, from the intended and from the actual sending."""
        kinds = {"from_intended_send": self._from_intended, "from_actual_send": self._from_send}
        return {kind: _quantiles_ms(_joined(parts)) for kind, parts in kinds.items()}


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _quantiles_ms(times_ns: NDArray[np.int64]) -> dict[str, float | None]:
    if not len(times_ns):
        return dict.fromkeys(_QUANTILES)
    found = np.quantile(times_ns, list(_QUANTILES.values()), overwrite_input=True) / _NS_PER_MS
    return dict(zip(_QUANTILES, (float(value) for value in found), strict=True))


def summary(tally: Tally, busy_s: float, generator: dict[str, Any]) -> dict[str, Any]:
    """All that is known of a load, besides the specification's fields.

    Args:
        tally: of its calls.
        busy_s: how long its steps took, the pauses between them left out.
        generator: of the generator's own health, see ``health.generator``.
    """
    return {
        "calls": tally.calls,
        "busy_s": busy_s,
        "calls_per_s": tally.calls / busy_s if busy_s > 0 else None,
        "outcomes": {outcome.name.lower(): int(tally.outcomes[outcome]) for outcome in Outcome},
        "reasons": {reason.key: int(n) for reason in Reason if (n := tally.reasons[reason])},
        "received_bytes": tally.received_bytes,
        "latency_ms": tally.latency_ms(),
        "generator": generator,
    }


def has_summary(result: Any) -> bool:
    """Whether what a file has is the result of a load, as far as reports read it."""
    return _fits(result, {"summary": _READ})


def _fits(value: Any, shape: Any) -> bool:
    if not isinstance(shape, dict):
        return isinstance(value, shape)
    return isinstance(value, dict) and all(name in value and _fits(value[name], shape[name]) for name in shape)


def burst_result(tally: Tally, concurrent_limit: int, total_time_s: float) -> dict[str, Any]:
    """The specification's result of a burst, or of one step of another shape."""
    times_s, ok = tally.times_s(), tally.ok_calls
    average = float(times_s.mean()) if ok else None
    quantiles = [float(q) for q in np.quantile(times_s, [0.5, 0.95, 0.99])] if ok else [None] * 3
    return {
        "total_requests": tally.calls,
        "concurrent_limit": concurrent_limit,
        "total_time": total_time_s,
        "successful_requests": ok,
        "failed_requests": tally.calls - ok,
        "success_rate": 100.0 * ok / tally.calls if tally.calls else None,
        "throughput": ok / total_time_s if total_time_s > 0 else None,
        "avg_response_time": average,
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

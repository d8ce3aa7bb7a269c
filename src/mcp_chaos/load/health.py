"""How well the generator itself did: a load that could not keep up measures itself and not the server."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

_US_PER_MS = 1e3
_MOST_CPU_SHARE = 0.95
_LONG_ENOUGH_S = 1.0
_LATE_MS = 10.0
_LATE_SHARE = 0.1


@dataclass
class Health:
    """What one process of a load knows of itself.

    Args:
        worker: which one, from 0.
        calls: that it made.
        busy_s: how long its steps took.
        cpu_s: user and system time it used meanwhile.
        dropped: calls of an open load that were due while nobody was free to make them.
        send_errors_us: of an open load, how many calls were sent how many microseconds after they were due.
        lags_us: how many times the process woke up how many microseconds late.
        peak_memory_bytes: the most it ever had in memory.
    """

    worker: int = 0
    calls: int = 0
    busy_s: float = 0.0
    cpu_s: float = 0.0
    dropped: int = 0
    send_errors_us: dict[int, int] = field(default_factory=dict)
    lags_us: dict[int, int] = field(default_factory=dict)
    peak_memory_bytes: int = 0

    @property
    def cpu_share(self) -> float:
        """Of one core, while it had calls to make."""
        return self.cpu_s / self.busy_s if self.busy_s else 0.0

    def to_json(self) -> dict[str, Any]:
        """The record as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Health":
        """The record back from JSON, whose keys are texts."""
        counted = {name: {int(us): n for us, n in data[name].items()} for name in ("send_errors_us", "lags_us")}
        return cls(**{**data, **counted})


def generator(
    healths: Sequence[Health], lost_workers: Sequence[int] = (), usual_ms: float | None = None
) -> dict[str, Any]:
    """The health of all processes of a load together.

    Args:
        healths: of those that came to their end.
        lost_workers: those that died.
        usual_ms: the median time of a call. To be late by up to a tenth of it changes no figure that is looked at.

    Returns:
        ``kept_up`` and ``why_not``, ``by_itself`` (it was the generator, and not only a server that kept everybody
        waiting), ``dropped_arrivals``, ``send_error_ms`` and ``wake_up_lag_ms`` with p50, p99 and
        max (``None`` where nothing was measured), ``cpu_share`` of the busiest process, ``workers``, ``lost_workers``.
    """
    send_errors, lags = Counter[int](), Counter[int]()
    for health in healths:
        send_errors.update(health.send_errors_us)
        lags.update(health.lags_us)
    dropped = sum(health.dropped for health in healths)
    error_ms, lag_ms = _quantiles_ms(send_errors), _quantiles_ms(lags)
    why = [f"worker {worker} died" for worker in lost_workers]
    why += [
        f"worker {health.worker} used {health.cpu_share:.0%} of a core; share the load between more (workers)"
        for health in healths
        if health.cpu_share >= _MOST_CPU_SHARE and health.busy_s >= _LONG_ENOUGH_S
    ]
    late_ms = max(_LATE_MS, _LATE_SHARE * (usual_ms or 0))
    if (error_ms["p99"] or 0) > late_ms:
        why.append(f"one call in a hundred was sent {error_ms['p99']:.0f} ms late or later")
    elif (lag_ms["p50"] or 0) > late_ms:
        why.append(f"it woke up {lag_ms['p50']:.0f} ms late at the median: this machine has too much else to do")
    by_itself = bool(why)
    if dropped:
        why.append(f"{dropped} calls were due while nobody was free to make them; allow more (max_users)")
    return {
        "kept_up": not why,
        "why_not": "; ".join(why) or None,
        "by_itself": by_itself,
        "dropped_arrivals": dropped,
        "send_error_ms": error_ms,
        "wake_up_lag_ms": lag_ms,
        "cpu_share": max((health.cpu_share for health in healths), default=None),
        "workers": [_told(health) for health in healths],
        "lost_workers": list(lost_workers),
    }


def _told(health: Health) -> dict[str, Any]:
    return {
        "worker": health.worker,
        "calls": health.calls,
        "cpu_share": health.cpu_share,
        "peak_memory_bytes": health.peak_memory_bytes,
    }


def _quantiles_ms(counted: Counter[int]) -> dict[str, float | None]:
    """Nearest-rank quantiles, exact as the values are whole microseconds."""
    total = counted.total()
    if not total:
        return {"p50": None, "p99": None, "max": None}
    found: dict[str, float | None] = {}
    for name, fraction in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        seen = 0
        for us in sorted(counted):
            seen += counted[us]
            if seen >= fraction * total:
                found[name] = us / _US_PER_MS
                break
    return found

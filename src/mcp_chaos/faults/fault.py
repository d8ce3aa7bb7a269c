"""Faults as frozen records, one class each, validated before anything is sent.

The validation is not politeness: Toxiproxy 2.12 accepts misspelled attributes in silence, panics on a slicer whose
variation exceeds its size and on a negative bandwidth, and a slicer of size 0 hangs its connections.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from mcp_chaos.errors import UsageError

DIRECTIONS = ("upstream", "downstream", "both")
STREAMS = {"upstream": ("upstream",), "downstream": ("downstream",), "both": ("upstream", "downstream")}

_HOUR_MS = 3_600_000


@dataclass(frozen=True)
class ToxicSettings:
    """A toxic as Toxiproxy has it.

    Args:
        type: Toxiproxy's name of it.
        stream: ``upstream`` (towards the server) or ``downstream`` (towards the client).
        toxicity: the fraction of connections it acts on.
        attributes: its settings, Toxiproxy's names and units.
    """

    type: str
    stream: str
    toxicity: float
    attributes: dict[str, int]


@dataclass(frozen=True)
class Fault:
    """A fault on the link of one proxy.

    Args:
        proxy: the name of the proxy.
        direction: upstream, downstream or both.
        connection_fraction: which part of the connections is hit; drawn per connection and direction, not per call.
    """

    proxy: str = "mcp"
    direction: str = "downstream"
    connection_fraction: float = 1.0

    kind: ClassVar[str] = "fault"
    slot: ClassVar[str] = ""
    toxic_type: ClassVar[str | None] = None

    def problems(self) -> list[str]:
        """All that is wrong with it, in words; empty when it can be sent."""
        found = []
        if not isinstance(self.proxy, str) or not self.proxy or "/" in self.proxy:
            found.append(
                f"proxy: the name of a proxy is needed (Toxiproxy's API takes no '/' in it), not {self.proxy!r}"
            )
        if not isinstance(self.direction, str) or self.direction not in DIRECTIONS:
            found.append(f"direction: there is no {self.direction!r}; there are {', '.join(DIRECTIONS)}")
        fraction = self.connection_fraction
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
            found.append(f"connection_fraction: {fraction!r} is not more than 0 and at most 1")
        return found + [
            problem
            for name, low, high in self._limits()
            for problem in _integer_problems(name, getattr(self, name), low, high)
        ]

    def _limits(self) -> list[tuple[str, int, int]]:
        """Each number of the fault with its least and greatest value."""
        return []

    def attributes(self) -> dict[str, int]:
        """The toxic's settings, Toxiproxy's names and units."""
        return {}

    @classmethod
    def place(cls) -> str:
        """What there can be one of per proxy: faults with the same place take each other's."""
        return cls.slot or cls.kind

    def toxics(self) -> list[ToxicSettings]:
        """The toxics that make this fault, one per stream; none when the proxy itself is switched."""
        if self.toxic_type is None:
            return []
        return [
            ToxicSettings(self.toxic_type, stream, float(self.connection_fraction), self.attributes())
            for stream in STREAMS[self.direction]
        ]

    def holds_answers_back(self) -> bool:
        """Whether bytes may be waiting in it: Toxiproxy 2.12 can freeze when such a toxic is removed under load."""
        return True

    def title(self) -> str:
        """The fault in a few words, for tables and reasons."""
        numbers = [f"{name} {getattr(self, name)}" for name, _, _ in self._limits() if getattr(self, name)]
        share = f", {self.connection_fraction:.0%} of connections" if self.connection_fraction < 1 else ""
        return f"{self.kind.replace('_', ' ')} {self.direction}" + "".join(f", {number}" for number in numbers) + share


@dataclass(frozen=True)
class Latency(Fault):
    """Each chunk is held back by ``latency_ms`` ± ``jitter_ms``; open connections too. Connecting is not delayed."""

    latency_ms: int = 0
    jitter_ms: int = 0
    kind: ClassVar[str] = "latency"
    toxic_type: ClassVar[str | None] = "latency"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("latency_ms", 1, _HOUR_MS), ("jitter_ms", 0, _HOUR_MS)]

    def problems(self) -> list[str]:
        found = super().problems()
        if not found and self.jitter_ms > self.latency_ms:
            found.append(f"jitter_ms: {self.jitter_ms} is more than latency_ms ({self.latency_ms})")
        return found

    def attributes(self) -> dict[str, int]:
        return {"latency": self.latency_ms, "jitter": self.jitter_ms}


@dataclass(frozen=True)
class Bandwidth(Fault):
    """Each connection gets ``rate_kb_per_s`` (1 kB = 1000 bytes). A rate of 0 would be a black hole: ask for that."""

    rate_kb_per_s: int = 0
    kind: ClassVar[str] = "bandwidth"
    toxic_type: ClassVar[str | None] = "bandwidth"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("rate_kb_per_s", 1, 100_000_000)]

    def attributes(self) -> dict[str, int]:
        return {"rate": self.rate_kb_per_s}


@dataclass(frozen=True)
class BlackHole(Fault):
    """Bytes vanish, connections stay open. Healing it closes the connections that were in it."""

    direction: str = "both"
    kind: ClassVar[str] = "black_hole"
    toxic_type: ClassVar[str | None] = "timeout"

    def attributes(self) -> dict[str, int]:
        return {"timeout": 0}


@dataclass(frozen=True)
class Reset(Fault):
    """Connections are reset ``after_ms`` after their first bytes. New ones get RST, those open before it a FIN."""

    after_ms: int = 0
    kind: ClassVar[str] = "reset"
    toxic_type: ClassVar[str | None] = "reset_peer"

    def _limits(self) -> list[tuple[str, int, int]]:
        # Removing this toxic blocks Toxiproxy's API for as long as a reset is pending.
        return [("after_ms", 0, 2_000)]

    def attributes(self) -> dict[str, int]:
        return {"timeout": self.after_ms}

    def holds_answers_back(self) -> bool:
        return self.after_ms > 0


@dataclass(frozen=True)
class SlowClose(Fault):
    """The end of a connection is held back by ``delay_ms``; a half-close becomes a full one."""

    delay_ms: int = 0
    kind: ClassVar[str] = "slow_close"
    toxic_type: ClassVar[str | None] = "slow_close"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("delay_ms", 1, _HOUR_MS)]

    def attributes(self) -> dict[str, int]:
        return {"delay": self.delay_ms}


@dataclass(frozen=True)
class Slicer(Fault):
    """Data is cut into pieces of ``average_size_bytes`` ± ``size_variation_bytes``, ``delay_us`` apart."""

    average_size_bytes: int = 0
    size_variation_bytes: int = 0
    delay_us: int = 0
    kind: ClassVar[str] = "slicer"
    toxic_type: ClassVar[str | None] = "slicer"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [
            ("average_size_bytes", 1, 1_000_000),
            ("size_variation_bytes", 0, 1_000_000),
            ("delay_us", 0, 10_000_000),
        ]

    def problems(self) -> list[str]:
        found = super().problems()
        if not found and self.size_variation_bytes >= self.average_size_bytes:
            found.append(
                f"size_variation_bytes: {self.size_variation_bytes} is not less than average_size_bytes "
                f"({self.average_size_bytes}); Toxiproxy would crash"
            )
        return found

    def attributes(self) -> dict[str, int]:
        return {
            "average_size": self.average_size_bytes,
            "size_variation": self.size_variation_bytes,
            "delay": self.delay_us,
        }


@dataclass(frozen=True)
class DataLimit(Fault):
    """Each connection ends after ``limit_bytes``."""

    limit_bytes: int = 0
    kind: ClassVar[str] = "data_limit"
    toxic_type: ClassVar[str | None] = "limit_data"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("limit_bytes", 1, 1_000_000_000)]

    def attributes(self) -> dict[str, int]:
        return {"bytes": self.limit_bytes}

    def holds_answers_back(self) -> bool:
        return False


@dataclass(frozen=True)
class Partition(Fault):
    """The proxy is down: open connections end, new ones are refused. Both ways and for everybody by nature."""

    direction: str = "both"
    kind: ClassVar[str] = "partition"
    slot: ClassVar[str] = "up or down"

    def problems(self) -> list[str]:
        found = super().problems()
        if not found and (self.direction != "both" or self.connection_fraction != 1):
            found.append(
                "a partition takes the whole proxy down, both ways; for one way or a part of them use black_hole"
            )
        return found

    def holds_answers_back(self) -> bool:
        return False

    def title(self) -> str:
        return "partition"


@dataclass(frozen=True)
class Flap(Partition):
    """The proxy goes down for ``down_ms`` and up for ``up_ms``, ``times`` times."""

    down_ms: int = 500
    up_ms: int = 500
    times: int = 3
    kind: ClassVar[str] = "flap"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("down_ms", 10, _HOUR_MS), ("up_ms", 10, _HOUR_MS), ("times", 1, 1_000)]

    def title(self) -> str:
        return f"flap {self.times} times, {self.down_ms} ms down, {self.up_ms} ms up"


FAULTS = {
    "add_latency": Latency,
    "limit_bandwidth": Bandwidth,
    "black_hole": BlackHole,
    "reset_connections": Reset,
    "slow_close": SlowClose,
    "slice_packets": Slicer,
    "limit_data": DataLimit,
    "partition": Partition,
    "flap": Flap,
}
"""The fault that each fault action puts in place; the arguments of the one are the fields of the other, so ``locals()``
of the action makes the fault."""


def make_fault(kind: type[Fault], **settings: Any) -> Fault:
    """A fault that can be sent.

    Raises:
        UsageError: with everything that is wrong with it; nothing was sent.
    """
    fault = kind(**settings)
    problems = fault.problems()
    if problems:
        raise UsageError([f"{fault.kind}: {problem}" for problem in problems])
    return fault


def fault_settings(fault: Fault) -> dict[str, Any]:
    """A fault as JSON, for events and receipts."""
    return {"kind": fault.kind, **dataclasses.asdict(fault)}


def _integer_problems(name: str, value: Any, low: int, high: int) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        return [f"{name}: a whole number is needed, not {value!r}"]
    return [] if low <= value <= high else [f"{name}: {value} is not between {low} and {high}"]

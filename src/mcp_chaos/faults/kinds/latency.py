"""Latency, with or without jitter."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.asking import ONE_REQUEST, Question
from mcp_chaos.faults.comparison import Comparison
from mcp_chaos.faults.fault import HOUR_MS, Fault


@dataclass(frozen=True)
class Latency(Fault):
    """Each chunk is held back by ``latency_ms`` ± ``jitter_ms``; open connections too. Connecting is not delayed."""

    latency_ms: int = 0
    jitter_ms: int = 0
    kind: ClassVar[str] = "latency"
    toxic_type: ClassVar[str | None] = "latency"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("latency_ms", 1, HOUR_MS), ("jitter_ms", 0, HOUR_MS)]

    def problems(self) -> list[str]:
        found = super().problems()
        if not found and self.jitter_ms > self.latency_ms:
            found.append(f"jitter_ms: {self.jitter_ms} is more than latency_ms ({self.latency_ms})")
        return found

    def attributes(self) -> dict[str, int]:
        return {"latency": self.latency_ms, "jitter": self.jitter_ms}

    def delay(self, ways: Comparison) -> tuple[float, Question] | None:
        toxics = len(self.toxics()) if self.connection_fraction >= 1 else 1  # each is drawn for itself
        return 0.8 * max(1, self.latency_ms - self.jitter_ms) * toxics, ONE_REQUEST

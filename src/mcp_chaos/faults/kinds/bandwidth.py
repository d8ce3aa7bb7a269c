"""A bandwidth that is less than what is needed."""

import math
from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.asking import Question
from mcp_chaos.faults.comparison import MAX_HEADER_BYTES, Comparison
from mcp_chaos.faults.fault import Fault

_CLEAR_MS = 20.0


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

    def delay(self, ways: Comparison) -> tuple[float, Question] | None:
        """As much is sent, or asked for, as the rate needs a while for."""
        rate, upstream = self.rate_kb_per_s, self.direction != "downstream"
        size = min(MAX_HEADER_BYTES, rate * 100) if upstream else ways.answer_bytes()
        requests = ways.repeated(math.ceil(_CLEAR_MS * rate / size))
        return 0.5 * requests * size / rate, Question(requests, size) if upstream else Question(requests)

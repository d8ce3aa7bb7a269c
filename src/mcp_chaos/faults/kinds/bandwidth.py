"""A bandwidth that is less than what is needed."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.fault import Fault


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

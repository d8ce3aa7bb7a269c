"""A proxy that goes down and comes up again, several times."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.fault import HOUR_MS
from mcp_chaos.faults.kinds.partition import Partition


@dataclass(frozen=True)
class Flap(Partition):
    """The proxy goes down for ``down_ms`` and up for ``up_ms``, ``times`` times."""

    down_ms: int = 500
    up_ms: int = 500
    times: int = 3
    kind: ClassVar[str] = "flap"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("down_ms", 10, HOUR_MS), ("up_ms", 10, HOUR_MS), ("times", 1, 1_000)]

    def title(self) -> str:
        return f"flap {self.times} times, {self.down_ms} ms down, {self.up_ms} ms up"

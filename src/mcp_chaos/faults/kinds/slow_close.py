"""Connections whose end is held back."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.fault import HOUR_MS, Fault


@dataclass(frozen=True)
class SlowClose(Fault):
    """The end of a connection is held back by ``delay_ms``; a half-close becomes a full one."""

    delay_ms: int = 0
    kind: ClassVar[str] = "slow_close"
    toxic_type: ClassVar[str | None] = "slow_close"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("delay_ms", 1, HOUR_MS)]

    def attributes(self) -> dict[str, int]:
        return {"delay": self.delay_ms}

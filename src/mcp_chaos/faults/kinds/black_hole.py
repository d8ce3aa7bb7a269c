"""A black hole: bytes vanish."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.fault import Fault


@dataclass(frozen=True)
class BlackHole(Fault):
    """Bytes vanish, connections stay open. Healing it closes the connections that were in it."""

    direction: str = "both"
    kind: ClassVar[str] = "black_hole"
    toxic_type: ClassVar[str | None] = "timeout"

    def attributes(self) -> dict[str, int]:
        return {"timeout": 0}

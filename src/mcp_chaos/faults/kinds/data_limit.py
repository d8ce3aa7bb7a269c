"""Connections that end after so many bytes."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.fault import Fault


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

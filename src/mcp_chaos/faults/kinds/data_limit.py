"""Connections that end after so many bytes."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.asking import Question
from mcp_chaos.faults.comparison import MAX_HEADER_BYTES, Comparison, NotFeltError
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

    def feel(self, ways: Comparison) -> str:
        """As much is sent, or asked for, on one connection as passes the limit."""
        upstream = self.direction != "downstream"
        size = min(self.limit_bytes, MAX_HEADER_BYTES) if upstream else ways.answer_bytes()
        requests = ways.repeated(self.limit_bytes // size + 1)
        faulted, clean = ways.both(question=Question(requests, size if upstream else 0))
        if faulted.ended == "answered" or clean.ended != "answered":
            raise NotFeltError(
                f"{requests} requests were {faulted.ended} (on the clean way {clean.ended}), not cut off"
            )
        return f"{requests} requests were {faulted.ended} on the way; on the clean way they were answered"

"""The burst: the specification's basic test."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.load.shape import MAX_REQUESTS, MAX_USERS, Shape, Step, number


@dataclass(frozen=True)
class Burst(Shape):
    """``requests`` calls at ``concurrency`` at once: the specification's basic test."""

    requests: int = number(50, 1, MAX_REQUESTS, "how many calls")
    concurrency: int = number(10, 1, MAX_USERS, "how many users at a time")
    kind: ClassVar[str] = "burst"
    summary: ClassVar[str] = "so many calls by so many users"

    def first(self) -> Step:
        """All of it."""
        return Step(self.concurrency, self.requests)

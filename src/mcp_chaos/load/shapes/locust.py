"""Locust in the place of the engine."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.load.shape import MAX_DURATION_S, MAX_RATE_PER_S, MAX_USERS, Shape, Step, number


@dataclass(frozen=True)
class Locust(Shape):
    """Locust makes the load: ``users`` of them, ``spawn_rate_per_s`` more each second, for ``duration_s``."""

    users: int = number(10, 1, MAX_USERS, "how many users")
    spawn_rate_per_s: float = number(10.0, 0.001, MAX_RATE_PER_S, "users added in a second")
    duration_s: float = number(60.0, 0.1, MAX_DURATION_S, "how long")
    kind: ClassVar[str] = "locust"
    summary: ClassVar[str] = "Locust's users, where it is installed"

    def first(self) -> Step:
        """All of it; how many calls that is, Locust decides."""
        return Step(self.users, 0)

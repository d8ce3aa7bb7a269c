"""The sustained load: cycles of calls for a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mcp_chaos.load.results import Tally, sustained_result
from mcp_chaos.load.shape import MAX_DURATION_S, MAX_PAUSE_S, MAX_REQUESTS, MAX_USERS, CycleStep, Shape, Step, number


@dataclass(frozen=True)
class Sustained(Shape):
    """``requests_per_user`` calls per user every ``cycle_s``, for ``duration_s``; 10 minutes by itself.

    Users do not begin their cycles at the same moment, so that a short fault meets some of them, and never all or none.
    """

    users: int = number(10, 1, MAX_USERS, "how many users")
    duration_s: float = number(600.0, 0.1, MAX_DURATION_S, "how long")
    cycle_s: float = number(10.0, 0, MAX_PAUSE_S, "seconds from one cycle to the next")
    requests_per_user: int = number(5, 1, MAX_REQUESTS, "calls per user and step or cycle")
    kind: ClassVar[str] = "sustained"
    summary: ClassVar[str] = "cycles of calls, which users begin one after the other, spread evenly over the cycle"
    takes_capacity: ClassVar[bool] = True

    def first(self) -> Step:
        """The first cycle."""
        total = self.users * self.requests_per_user
        return CycleStep(self.users, total, self.cycle_s, self.users) if self.cycle_s else Step(self.users, total)

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """The next cycle when its time has come; a cycle that ran over is followed at once."""
        wait_s = max(0.0, self.cycle_s - took_s)
        if elapsed_s + wait_s >= self.duration_s:
            return None
        return wait_s, self.first()

    def result(self, steps: Sequence[dict[str, Any]], everything: Tally, seconds: float) -> dict[str, Any]:
        """Averages over its cycles, and each of them."""
        return sustained_result(steps, self.users, seconds)

    def longest_s(self, call_s: float) -> float:
        """A last cycle that begins at the end."""
        return self.duration_s + self.requests_per_user * call_s

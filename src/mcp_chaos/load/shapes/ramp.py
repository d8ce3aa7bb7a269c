"""The ramp: how many users a server can carry."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mcp_chaos.load.results import Tally, ramp_result
from mcp_chaos.load.shape import MAX_PAUSE_S, MAX_REQUESTS, MAX_USERS, Shape, Step, number


@dataclass(frozen=True)
class Ramp(Shape):
    """Users up to ``max_users`` by ``step_users``; ends below ``stop_below_fraction``, the breaking point."""

    max_users: int = number(50, 1, MAX_USERS, "the last step's users")
    step_users: int = number(5, 1, MAX_USERS, "how many users a step adds")
    requests_per_user: int = number(10, 1, MAX_REQUESTS, "calls per user and step or cycle")
    pause_s: float = number(30.0, 0, MAX_PAUSE_S, "seconds between steps")
    stop_below_fraction: float = number(0.95, 0, 1, "the success below which it ends")
    kind: ClassVar[str] = "ramp"
    summary: ClassVar[str] = "users step by step, until fewer than 95 % of the calls succeed: the breaking point"

    def first(self) -> Step:
        """The smallest step."""
        return self._step(1)

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """The next step after a pause, unless this one broke or was the last."""
        if success_fraction < self.stop_below_fraction or (done + 1) * self.step_users > self.max_users:
            return None
        return self.pause_s, self._step(done + 1)

    def _step(self, number: int) -> Step:
        users = number * self.step_users
        return Step(users, users * self.requests_per_user)

    def problems(self) -> list[str]:
        """A first step that is more than all of it."""
        if self.step_users <= self.max_users:
            return []
        return [
            f"step_users ({self.step_users}) is more than max_users ({self.max_users}): the ramp would have no step"
        ]

    def result(self, steps: Sequence[dict[str, Any]], everything: Tally, seconds: float) -> dict[str, Any]:
        """Its steps, the capacity, and the breaking point."""
        return ramp_result(steps, self.stop_below_fraction)

    def longest_s(self, call_s: float) -> float:
        """All steps, each with its pause."""
        return self.max_users // self.step_users * (self.requests_per_user * call_s + self.pause_s)

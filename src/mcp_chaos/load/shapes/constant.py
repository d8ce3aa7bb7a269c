"""The constant load: an open loop."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mcp_chaos.load.shape import (
    MAX_DURATION_S,
    MAX_RATE_PER_S,
    MAX_REQUESTS,
    MAX_USERS,
    OpenStep,
    Shape,
    choice,
    number,
)

_POISSON = "poisson"
_CAPACITY_FRACTION = 0.5
_LEAST_PER_S = 0.1


@dataclass(frozen=True)
class Constant(Shape):
    """``rate_per_s`` calls a second for ``duration_s``, whatever the server does: an open loop.

    A call that is due while ``max_users`` others are under way is dropped and counted.
    """

    rate_per_s: float = number(10.0, 0.001, MAX_RATE_PER_S, "calls due in a second")
    duration_s: float = number(60.0, 0.1, MAX_DURATION_S, "how long")
    arrivals: str = choice("constant", ("constant", _POISSON), "how they are spread over time")
    max_users: int = number(1_000, 1, MAX_USERS, "the most calls under way")
    kind: ClassVar[str] = "constant"
    summary: ClassVar[str] = "an open loop: calls are due at a rate, whatever the server does"
    takes_capacity: ClassVar[bool] = True

    @classmethod
    def at_capacity(cls, numbers: Mapping[str, Any], ramp: Mapping[str, Any], loads: int) -> dict[str, Any]:
        """A rate of at most half of what the ramp carried, for all loads together: more may be too much by itself."""
        held = next(step for step in ramp["steps"] if step["concurrent_users"] == ramp["capacity_users"])
        given = numbers.get("rate_per_s", cls.rate_per_s)
        most_per_s = max(_LEAST_PER_S, _CAPACITY_FRACTION * held["throughput"] / loads)
        return {**numbers, "rate_per_s": min(given, most_per_s)}

    def first(self) -> OpenStep:
        """All of it."""
        total = max(1, round(self.rate_per_s * self.duration_s))
        return OpenStep(self.max_users, total, self.rate_per_s, self.arrivals == _POISSON)

    def problems(self) -> list[str]:
        """More calls than a load may have."""
        total = self.first().total_requests
        return [f"rate_per_s × duration_s is {total} calls, more than {MAX_REQUESTS}"] if total > MAX_REQUESTS else []

    def longest_s(self, call_s: float) -> float:
        """Its time; gaps that are random may make it longer."""
        return math.inf if self.arrivals == _POISSON else self.duration_s

"""Pure: what all load shapes have in common; the shapes themselves are in ``shapes/``, one file each.

A shape says when a load sends, and how much. It is a row of steps. A step is ``total_requests`` calls made by ``users``
clients that each send as soon as their last call ended and they have thought; what comes after a step depends on how it
went. In an open step calls are due at moments of their own, whatever the server does.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from mcp_chaos.load.results import Tally, burst_result

MAX_USERS = 10_000
MAX_REQUESTS = 10_000_000
MAX_RATE_PER_S = 100_000.0
MAX_DURATION_S = 24 * 3600.0
MAX_PAUSE_S = 3600.0


@dataclass(frozen=True)
class Step:
    """One step of a load.

    Args:
        users: how many clients send at the same time.
        total_requests: how many calls they make together.
    """

    users: int
    total_requests: int


@dataclass(frozen=True)
class OpenStep(Step):
    """One step of an open load: ``users`` is how many calls can be under way at the most.

    Args:
        rate_per_s: how many calls are due in a second.
        poisson: whether the gaps between them are random.
    """

    rate_per_s: float
    poisson: bool = False


@dataclass(frozen=True)
class CycleStep(Step):
    """One cycle of a sustained load: each user makes its share of the calls once, at a moment of its own.

    Args:
        cycle_s: the time over which the users' beginnings are spread.
        all_users: how many users share it, those of all processes.
    """

    cycle_s: float
    all_users: int


@dataclass(frozen=True)
class Number:
    """What is known of a number of a shape, or of a word that stands in its place.

    Args:
        default: what it is by itself, and with it whether it is whole.
        meaning: for people; shapes whose number means the same say it in the same words.
        low, high: the least and the greatest it may be.
        choices: the words that it may be.
    """

    default: Any
    meaning: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    @property
    def kind(self) -> type:
        """Its type."""
        return type(self.default)

    def problems(self, name: str, value: Any) -> list[str]:
        """What is wrong with a value of it, in words; empty when nothing is."""
        if self.choices:
            return [] if value in self.choices else [f"{name}: {' or '.join(self.choices)} is needed, not {value!r}"]
        return number_problems(name, value, self.low, self.high, whole=self.kind is int)


def number(default: float, low: float, high: float, meaning: str) -> Any:
    """A field of a shape that is a number."""
    return field(default=default, metadata={"number": Number(default, meaning, low, high)})


def choice(default: str, choices: tuple[str, ...], meaning: str) -> Any:
    """A field of a shape that is one of some words."""
    return field(default=default, metadata={"number": Number(default, meaning, choices=choices)})


@dataclass(frozen=True)
class Shape(ABC):
    """When a load sends. Its fields are made by :func:`number` and :func:`choice`."""

    kind: ClassVar[str]
    """The name that people give it."""

    summary: ClassVar[str]
    """What it is, for people."""

    takes_capacity: ClassVar[bool] = False
    """Whether its numbers may come from what a ramp could hold."""

    @classmethod
    def at_capacity(cls, numbers: Mapping[str, Any], ramp: Mapping[str, Any], loads: int) -> dict[str, Any]:
        """Its numbers on a server that could hold as much as a ramp found.

        Args:
            numbers: that were given.
            ramp: the result of a ramp that held at one step at least.
            loads: how many of them run at the same time.
        """
        return {**numbers, "users": int(ramp["capacity_users"])}

    @abstractmethod
    def first(self) -> Step:
        """The step to begin with."""

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """What to do after a step; without more, one step is all.

        Args:
            done: how many steps were made.
            elapsed_s: since the load began.
            took_s: how long the last step took.
            success_fraction: of the last step's calls.

        Returns:
            Seconds to wait and the next step, or ``None`` at the end.
        """
        return None

    def problems(self) -> list[str]:
        """What is wrong with its numbers together, each of which is right by itself."""
        return []

    def result(self, steps: Sequence[dict[str, Any]], everything: Tally, seconds: float) -> dict[str, Any]:
        """The result in the specification's fields.

        Args:
            steps: the result of each.
            everything: all calls.
            seconds: from the first call to the end.
        """
        return burst_result(everything, self.first().users, seconds)

    def longest_s(self, call_s: float) -> float:
        """When its last call is made at the latest, from its start, if each takes ``call_s``; infinity if unknown."""
        return math.inf

    @classmethod
    def numbers(cls) -> dict[str, Number]:
        """What is known of its numbers, by their names."""
        return {one.name: one.metadata["number"] for one in fields(cls)}

    def to_json(self) -> dict[str, Any]:
        """It as JSON, for the file a worker reads."""
        return {"kind": self.kind, **asdict(self)}


def number_problems(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> list[str]:
    """What is wrong with a number, in words; empty when nothing is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return [f"{name}: a number is needed, not {value!r}"]
    if whole and value != int(value):
        return [f"{name}: a whole number is needed, not {value!r}"]
    if not low <= value <= high:
        return [f"{name}: {value!r} is not between {low:g} and {high:g}"]
    return []

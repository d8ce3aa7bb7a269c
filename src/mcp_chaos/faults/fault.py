"""Faults as frozen records, one class each, validated before anything is sent.

The validation is not politeness: Toxiproxy 2.12 accepts misspelled attributes in silence, panics on a slicer whose
variation exceeds its size and on a negative bandwidth, and a slicer of size 0 hangs its connections.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from mcp_chaos.errors import UsageError
from mcp_chaos.faults.asking import Question
from mcp_chaos.faults.comparison import Comparison, NotFeltError

DIRECTIONS = ("upstream", "downstream", "both")
STREAMS = {"upstream": ("upstream",), "downstream": ("downstream",), "both": ("upstream", "downstream")}

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class ToxicSettings:
    """A toxic as Toxiproxy has it.

    Args:
        type: Toxiproxy's name of it.
        stream: ``upstream`` (towards the server) or ``downstream`` (towards the client).
        toxicity: the fraction of connections it acts on.
        attributes: its settings, Toxiproxy's names and units.
    """

    type: str
    stream: str
    toxicity: float
    attributes: dict[str, int]


@dataclass(frozen=True)
class Fault:
    """A fault on the link of one proxy.

    Args:
        proxy: the name of the proxy.
        direction: upstream, downstream or both.
        connection_fraction: which part of the connections is hit; drawn per connection and direction, not per call.
    """

    proxy: str = "mcp"
    direction: str = "downstream"
    connection_fraction: float = 1.0

    kind: ClassVar[str] = "fault"
    slot: ClassVar[str] = ""
    toxic_type: ClassVar[str | None] = None

    def problems(self) -> list[str]:
        """All that is wrong with it, in words; empty when it can be sent."""
        found = []
        if not isinstance(self.proxy, str) or not self.proxy or "/" in self.proxy:
            found.append(
                f"proxy: the name of a proxy is needed (Toxiproxy's API takes no '/' in it), not {self.proxy!r}"
            )
        if not isinstance(self.direction, str) or self.direction not in DIRECTIONS:
            found.append(f"direction: there is no {self.direction!r}; there are {', '.join(DIRECTIONS)}")
        fraction = self.connection_fraction
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 < fraction <= 1:
            found.append(f"connection_fraction: {fraction!r} is not more than 0 and at most 1")
        return found + [
            problem
            for name, low, high in self._limits()
            for problem in _integer_problems(name, getattr(self, name), low, high)
        ]

    def _limits(self) -> list[tuple[str, int, int]]:
        """Each number of the fault with its least and greatest value."""
        return []

    def attributes(self) -> dict[str, int]:
        """The toxic's settings, Toxiproxy's names and units."""
        return {}

    @classmethod
    def place(cls) -> str:
        """What there can be one of per proxy: faults with the same place take each other's."""
        return cls.slot or cls.kind

    def toxics(self) -> list[ToxicSettings]:
        """The toxics that make this fault, one per stream; none when the proxy itself is switched."""
        if self.toxic_type is None:
            return []
        return [
            ToxicSettings(self.toxic_type, stream, float(self.connection_fraction), self.attributes())
            for stream in STREAMS[self.direction]
        ]

    def holds_answers_back(self) -> bool:
        """Whether bytes may be waiting in it: Toxiproxy 2.12 can freeze when such a toxic is removed under load."""
        return True

    def delay(self, ways: Comparison) -> tuple[float, Question] | None:
        """By how many ms it delays an answer at the least, and what has to be asked; ``None`` if it is felt otherwise.

        Raises:
            NotFeltError: it cannot be felt on this way.
        """
        return None

    def feel(self, ways: Comparison) -> str:
        """Feel the fault on one connection, where it is no delay.

        Returns:
            What was felt, in words, as proof.

        Raises:
            NotFeltError: it was not.
        """
        raise NotFeltError(f"nobody knows how to feel '{self.kind}'")

    def title(self) -> str:
        """The fault in a few words, for tables and reasons."""
        numbers = [f"{name} {getattr(self, name)}" for name, _, _ in self._limits() if getattr(self, name)]
        share = f", {self.connection_fraction:.0%} of connections" if self.connection_fraction < 1 else ""
        return f"{self.kind.replace('_', ' ')} {self.direction}" + "".join(f", {number}" for number in numbers) + share


def make_fault(kind: type[Fault], **settings: Any) -> Fault:
    """A fault that can be sent.

    Raises:
        UsageError: with everything that is wrong with it; nothing was sent.
    """
    fault = kind(**settings)
    problems = fault.problems()
    if problems:
        raise UsageError([f"{fault.kind}: {problem}" for problem in problems])
    return fault


def fault_settings(fault: Fault) -> dict[str, Any]:
    """A fault as JSON, for events and receipts."""
    return {"kind": fault.kind, **dataclasses.asdict(fault)}


def _integer_problems(name: str, value: Any, low: int, high: int) -> list[str]:
    if isinstance(value, bool) or not isinstance(value, int):
        return [f"{name}: a whole number is needed, not {value!r}"]
    return [] if low <= value <= high else [f"{name}: {value} is not between {low} and {high}"]

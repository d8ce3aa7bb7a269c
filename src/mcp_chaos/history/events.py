"""An event of a run, and what is known of a kind of them. The kinds there are: ``event_kinds.py``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp_chaos.history.calls import LATEST_NS

Types = type | tuple[type, ...]


@dataclass(frozen=True)
class Event:
    """Something that happened at one moment of a run.

    Args:
        at_ns: when, on the run's clock.
        kind: what, for example ``fault_injected``.
        data: the rest, JSON.
    """

    at_ns: int
    kind: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def has_time_and_kind(self) -> bool:
        """Whether it has a moment and a kind, of whichever sort."""
        return type(self.at_ns) is int and 0 <= self.at_ns < LATEST_NS and isinstance(self.kind, str)


def _always(event: Event) -> bool:
    return True


def _never(event: Event, events: Sequence[Event]) -> bool:
    return False


@dataclass(frozen=True)
class Excuse:
    """Why what a run missed does not count against the server.

    Args:
        why: in words.
        only_from_then_on: whether what was missed before the event counts all the same.
        noticed_late: whether the event comes at the end only, whenever it happened.
        applies: to which events of the kind.
    """

    why: str
    only_from_then_on: bool = False
    noticed_late: bool = False
    applies: Callable[[Event], bool] = _always


@dataclass(frozen=True)
class EventKind:
    """What is known of a kind of events.

    Args:
        name: of it.
        meaning: for the documentation.
        needs: what an event of it has to carry, for judgements and clean-ups to read it.
        is_promise: whether it is written before what it tells of is done, or that is not done.
        doubt: why a run that has such an event may prove nothing, in words with the names of ``needs``; empty where it
            may all the same.
        is_cause: whether other doubts follow from it, so that it is told before them.
        stops_method: whether it explains that no fault was injected.
        excuse: why what was missed does not count; ``None`` where it does.
        follows: whether an event only follows from another of the run, which is told instead of it.
    """

    name: str
    meaning: str
    needs: Mapping[str, Types] = field(default_factory=dict)
    is_promise: bool = False
    doubt: str = ""
    is_cause: bool = False
    stops_method: bool = False
    excuse: Excuse | None = None
    follows: Callable[[Event, Sequence[Event]], bool] = _never

    def fits(self, event: Event) -> bool:
        """Whether an event carries what one of this kind has to."""
        return all(name in event.data and isinstance(event.data[name], types) for name, types in self.needs.items())

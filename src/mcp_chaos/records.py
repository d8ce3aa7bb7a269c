"""The records a history is made of: calls and events, and the clock they are timed by."""

import time
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

CALL = np.dtype(
    [
        ("intended_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("done_ns", "<i8"),
        ("bytes", "<u4"),
        ("operation", "<u2"),
        ("user", "<u2"),
        ("worker", "<u2"),
        ("reason", "u1"),
        ("outcome", "u1"),
        ("lane", "u1"),
        ("step", "<u2"),
    ]
)
"""One call, 39 bytes. Times are UTC nanoseconds of the run's clock; ``sent_ns`` is 0 when nothing was sent."""

RECORD = Struct("<qqqIHHHBBBH")
"""Packs one call; the same fields as ``CALL``, in its order."""

Calls = NDArray[np.void]


class Outcome(IntEnum):
    """What is known of a call: it happened, it surely did not, or nobody can tell."""

    OK = 0
    FAIL = 1
    INFO = 2


class Reason(IntEnum):
    """Why a call ended as it did."""

    OK = 0
    RATE_LIMITED = 1
    HTTP_ERROR = 2
    RPC_ERROR = 3
    TOOL_ERROR = 4
    WRONG_ANSWER = 5
    SESSION_LOST = 6
    REFUSED = 7
    RESET = 8
    CLOSED = 9
    TIMED_OUT = 10
    SERVER_ERROR = 11
    WRONG_CONTENT = 12


class Lane(IntEnum):
    """Which way a call took: through the proxy that is poisoned, or through the one that never is."""

    FAULTED = 0
    CONTROL = 1


LANES = {lane.name.lower(): lane for lane in Lane}
"""The lanes by the names that people give them."""

_UNKNOWN_ONCE_SENT = frozenset(
    {Reason.RESET, Reason.CLOSED, Reason.TIMED_OUT, Reason.WRONG_ANSWER, Reason.SERVER_ERROR}
)


def outcome_of(reason: Reason, sent: bool) -> Outcome:
    """What a reason says about whether the call happened.

    A connection that is lost, or a deadline that passes, after the request left, says nothing about the server's
    side of it; before that, the call surely did not happen.
    Source: the three-valued operations of Jepsen and Maelstrom (ok, fail, info).
    """
    if reason is Reason.OK:
        return Outcome.OK
    return Outcome.INFO if sent and reason in _UNKNOWN_ONCE_SENT else Outcome.FAIL


@dataclass(frozen=True)
class Clock:
    """One clock for all processes of a run on one machine: UTC at the start, then monotonic, so it never jumps.

    Args:
        offset_ns: UTC minus the monotonic clock when the run began, in nanoseconds.
    """

    offset_ns: int

    @classmethod
    def start(cls) -> "Clock":
        """A clock that agrees with UTC now."""
        return cls(time.time_ns() - time.monotonic_ns())

    def now_ns(self) -> int:
        """Nanoseconds since the epoch, UTC."""
        return time.monotonic_ns() + self.offset_ns


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

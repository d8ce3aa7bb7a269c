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

LATEST_NS = 2**62
"""No moment of a run is as late: the year 2116, so that sums of times fit 64 bits."""


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
    SESSION_RENEWED = 13


GOOD = frozenset({Reason.OK, Reason.SESSION_RENEWED})
"""Reasons of calls that succeeded: at once, or on a session opened in place of one that the server had ended."""


class Lane(IntEnum):
    """Which way a call took: through the proxy that is poisoned, or through the one that never is."""

    FAULTED = 0
    CONTROL = 1


LANES = {lane.name.lower(): lane for lane in Lane}
"""The lanes by the names that people give them."""

_BELOW = {
    "intended_ns": LATEST_NS,
    "sent_ns": LATEST_NS,
    "done_ns": LATEST_NS,
    "reason": len(Reason),
    "outcome": len(Outcome),
    "lane": len(Lane),
}
"""What fields of a call are below; none is negative."""


def are_calls(records: Calls) -> bool:
    """Whether all records are calls: a file that lost a byte, or holds something else, has others."""
    return not len(records) or all(
        records[name].min() >= 0 and records[name].max() < limit for name, limit in _BELOW.items()
    )


COULD_NOT_HEAL = "the run could not heal its faults"
"""Why a watchdog cleaned up, when the run was still there to ask it to."""

_UNKNOWN_ONCE_SENT = frozenset(
    {Reason.RESET, Reason.CLOSED, Reason.TIMED_OUT, Reason.WRONG_ANSWER, Reason.SERVER_ERROR}
)


def outcome_of(reason: Reason, sent: bool) -> Outcome:
    """What a reason says about whether the call happened.

    A connection that is lost, or a deadline that passes, after the request left, says nothing about the server's
    side of it; before that, the call surely did not happen.
    Source: the three-valued operations of Jepsen and Maelstrom (ok, fail, info).
    """
    if reason in GOOD:
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

    @property
    def is_whole(self) -> bool:
        """Whether it has a time, a kind, and what an event of its kind has to carry."""
        if type(self.at_ns) is not int or not 0 <= self.at_ns < LATEST_NS or not isinstance(self.kind, str):
            return False
        needed = _NEEDED.get(self.kind, {})
        return all(name in self.data and isinstance(self.data[name], kind) for name, kind in needed.items())


_MAYBE_TEXT = (str, type(None))
_NUMBER = (int, float)

_NEEDED: dict[str, dict[str, type | tuple[type, ...]]] = {
    "load_started": {"load": str, "lane": str, "judged": bool},
    "load_step": {"load": str, "users": int},
    "load_ended": {"load": str},
    "load_failed": {"load": str, "error": str},
    "worker_died": {"load": str, "worker": int, "exit_code": (int, type(None))},
    "generator_overloaded": {"load": str, "why": _MAYBE_TEXT},
    "machine_overloaded": {"late_ms": _NUMBER},
    "fault_injecting": {"fault_id": str, "name": str, "proxy": str, "toxics": list},
    "fault_injected": {"fault_id": str},
    "fault_proven": {"fault_id": str, "proof": str},
    "fault_unproven": {"fault_id": str, "doubt": str},
    "fault_refused": {"fault_id": str},
    "fault_healing": {"fault_id": str},
    "fault_healed": {"fault_id": str},
    "fault_disturbed": {"fault_id": str, "name": str, "proxy": str, "after_s": _NUMBER, "found": str},
    "fault_ended": {"fault_id": str},
    "fault_skipped": {"name": str, "from_s": _NUMBER},
    "heal_failed": {"error": str},
    "toxiproxy_ready": {"url": str, "embedded": bool},
    "proxy_created": {"proxy": str},
    "proxy_removed": {"proxy": str},
    "proxy_recreating": {"proxy": str, "listen": str, "upstream": str, "enabled": bool, "toxics": dict},
    "proxy_recreated": {"proxy": str},
    "proxy_disturbed": {"proxy": str, "found": str},
    "toxiproxy_unreachable": {"error": str},
    "toxiproxy_restarted": {"error": str},
    "part_died": {"part": str},
    "hypothesis_checked": {"when": str},
    "hypothesis_missed": {"when": str, "probe": str},
    "activity_failed": {"name": _MAYBE_TEXT, "error": str},
    "control_failed": {"name": _MAYBE_TEXT, "error": str},
    "control_missing": {"name": _MAYBE_TEXT},
    "interrupted": {"why": str},
    "dry_run": {"left_out": str},
    "unfinished": {"why": str},
}
"""What an event of a kind has to carry, for those that judgements and clean-ups read."""

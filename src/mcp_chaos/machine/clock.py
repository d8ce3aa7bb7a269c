"""The clock of a run."""

import time
from dataclasses import dataclass


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

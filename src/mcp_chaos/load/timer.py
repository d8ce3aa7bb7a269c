"""A timer that is exact to tens of microseconds, for calls that are due at a moment.

The timers of event loops are made of the timeout of ``epoll_wait``, which counts in milliseconds. On Linux the kernel's
timerfd counts in nanoseconds and wakes the loop as a socket does; elsewhere the loop's own timer has to do.
Source: timerfd_create(2).
"""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable

_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC if sys.platform == "linux" else 0
_ABSOLUTE = 1
_NS_PER_S = 1_000_000_000


class _TimerSpec(ctypes.Structure):
    """``struct itimerspec``: interval, then value, each in seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class ExactTimer:
    """Calls back at a moment of the monotonic clock; one moment at a time.

    Args:
        loop: that it wakes.
        due: called when the moment has come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> None:
        self._loop = loop
        self._due = due
        self._fallback: asyncio.TimerHandle | None = None
        self._closed = False
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1
        if hasattr(self._libc, "timerfd_create"):
            self._descriptor = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, self._expired)

    def set(self, at_ns: int) -> None:
        """Call back at ``at_ns`` of the monotonic clock, and not at a moment set before; at once when it has passed."""
        if self._closed:
            return
        if self._descriptor < 0:
            if self._fallback is not None:
                self._fallback.cancel()
            delay_s = max(0, at_ns - time.monotonic_ns()) / _NS_PER_S
            self._fallback = self._loop.call_later(delay_s, self._woken, at_ns)
            return
        seconds, nanoseconds = divmod(max(1, at_ns), _NS_PER_S)
        spec = _TimerSpec(0, 0, seconds, nanoseconds)
        self._libc.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(spec), None)

    def close(self) -> None:
        """Call back no more. May be repeated."""
        self._closed = True
        if self._fallback is not None:
            self._fallback.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _woken(self, at_ns: int) -> None:
        if time.monotonic_ns() < at_ns:
            self.set(at_ns)  # loops round to milliseconds, down too
        else:
            self._due()

    def _expired(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return  # it was set anew after it had expired and before the loop came to it
        self._due()

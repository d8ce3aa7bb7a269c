"""A fresh session after each heal, tried until one is served: what a client that comes then would see."""

import time
from collections.abc import Callable, Sequence

from mcp_chaos.errors import McpChaosError
from mcp_chaos.history.events import Event
from mcp_chaos.machine.background import Background

_POLL_S = 0.05
_TRY_EVERY_S = 0.25
_TRIES_S = 10.0


class FreshSessions(Background):
    """A thread that waits for heals, and then for the first fresh session that is served.

    Args:
        events: of the run so far, asked again and again.
        served: opens a session and makes a call.

    Raises:
                McpChaosError: it was not served.
        now_ns: the run's clock.
        event: appends to the history.
    """

    def __init__(
        self,
        events: Callable[[], Sequence[Event]],
        served: Callable[[], None],
        now_ns: Callable[[], int],
        event: Callable[..., None],
    ) -> None:
        super().__init__("fresh sessions")
        self._events = events
        self._served = served
        self._now_ns = now_ns
        self._event = event
        self._seen = 0

    def _go_on(self) -> None:
        while not self._stopped.wait(_POLL_S):
            healed = self._next_heal()
            if healed is not None:
                self._open_until_served(healed)

    def _next_heal(self) -> Event | None:
        """The latest heal that came since it was last asked for."""
        events = list(self._events())
        new, self._seen = events[self._seen :], len(events)
        return next((event for event in reversed(new) if event.kind == "fault_healed"), None)

    def _open_until_served(self, healed: Event) -> None:
        until = time.monotonic() + _TRIES_S
        while time.monotonic() < until and not self._stopped.is_set():
            try:
                self._served()
            except McpChaosError:
                self._stopped.wait(_TRY_EVERY_S)
                continue
            took_s = (self._now_ns() - healed.at_ns) / 1e9
            self._event("fresh_session_served", fault_id=healed.data["fault_id"], took_s=took_s)
            return

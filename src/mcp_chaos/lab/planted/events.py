"""A store of events, from which streams are resumed: sound, or with the planted defect ``replays_other_streams``."""

from itertools import count

from mcp.server.streamable_http import EventCallback, EventId, EventMessage, EventStore, StreamId
from mcp.types import JSONRPCMessage

from mcp_chaos.lab.planted.registry import BITES

_KEPT = 1000


class Events(EventStore):
    """The last thousand events of all streams, in memory.

    Args:
        own_only: whether a stream that is resumed gets its own events only, as it must.
    """

    def __init__(self, *, own_only: bool = True) -> None:
        self._own_only = own_only
        self._ids = count(1)
        self._events: dict[EventId, tuple[StreamId, JSONRPCMessage | None]] = {}

    async def store_event(self, stream_id: StreamId, message: JSONRPCMessage | None) -> EventId:
        """Keep an event; the id that it gets."""
        event_id = f"e{next(self._ids)}"
        self._events[event_id] = (stream_id, message)
        if len(self._events) > _KEPT:
            del self._events[next(iter(self._events))]
        return event_id

    async def replay_events_after(self, last_event_id: EventId, send_callback: EventCallback) -> StreamId | None:
        """Send again what came after an event; the stream that it belongs to."""
        if last_event_id not in self._events:
            return None
        own = self._events[last_event_id][0]
        later = list(self._events)[list(self._events).index(last_event_id) + 1 :]
        for event_id in later:
            stream_id, message = self._events[event_id]
            if message is not None and (stream_id == own or not self._own_only):
                BITES.count += stream_id != own
                await send_callback(EventMessage(message, event_id))
        return own

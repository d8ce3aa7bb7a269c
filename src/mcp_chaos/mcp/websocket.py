"""JSON-RPC messages as WebSocket text frames, one message a frame: the custom transport of the specification's server.

The states are those of Streamable HTTP without HTTP around them: no headers, no session id, and the initialized
notification gets no answer. A connection is a session: a new connection begins with initialize.
Source: the WebSocket transport of the Python SDK 1.x (``mcp.server.websocket``), whose subprotocol is ``mcp``; SDK 2.x
has none.
"""

from mcp_chaos.mcp.dialect import Headers, TransportKind
from mcp_chaos.mcp.streamable import State, Streamable

SUBPROTOCOL = "mcp"


class WebSocket(Streamable):
    """The WebSocket transport."""

    name = "websocket"
    transport = TransportKind.WEBSOCKET
    renews_sessions = False

    def headers(self) -> Headers:
        """None: frames have no headers."""
        return []

    def opening_is_answered(self) -> bool:
        """Initialize is, the notification is not."""
        return self.state is State.NEW

    def cancellation(self, call_id: int) -> bytes | None:
        """None: whoever gives up a call closes the connection, and the session with it."""
        return None

    def closing(self) -> bool:
        """The end of the connection is the end of the session."""
        return False

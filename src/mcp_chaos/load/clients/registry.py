"""Which client makes the calls of a dialect."""

from mcp_chaos.load.clients.http import User
from mcp_chaos.load.clients.sse import SseUser
from mcp_chaos.load.clients.websocket import WebSocketUser
from mcp_chaos.mcp import DIALECTS, Dialect, TransportKind, WebSocket

_CLIENTS: dict[TransportKind, type[User]] = {
    TransportKind.POST: User,
    TransportKind.SSE: SseUser,
    TransportKind.WEBSOCKET: WebSocketUser,
}


def client_of(dialect: str, *, websocket: bool) -> tuple[type[User], type[Dialect]]:
    """The class of a client, and what it speaks.

    Args:
        dialect: of the load, a name from ``mcp.DIALECTS``.
        websocket: whether it speaks over a WebSocket, whatever the dialect of the load is.
    """
    spoken = DIALECTS[dialect]
    if websocket and spoken.transport is not TransportKind.WEBSOCKET:
        spoken = WebSocket
    return _CLIENTS[spoken.transport], spoken

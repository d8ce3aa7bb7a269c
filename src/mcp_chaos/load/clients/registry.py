"""Which client speaks which dialect."""

from mcp_chaos.load.clients.http import User
from mcp_chaos.load.clients.sse import SseUser
from mcp_chaos.load.clients.websocket import WebSocketUser

_CLIENTS: dict[str, type[User]] = {"websocket": WebSocketUser, "sse": SseUser}
"""The clients of dialects that do not travel as one POST each."""


def client_of(dialect: str, *, websocket: bool) -> type[User]:
    """The class of a client.

    Args:
        dialect: a name from ``mcp.DIALECTS``.
        websocket: whether it speaks over a WebSocket, whatever the dialect of the load is.
    """
    return WebSocketUser if websocket else _CLIENTS.get(dialect, User)

"""MCP over a WebSocket, the server's side, for which SDK 2.x has no transport: frames to its streams and back."""

from contextlib import suppress

import anyio
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from mcp.types import jsonrpc_message_adapter
from starlette.websockets import WebSocket, WebSocketDisconnect

from mcp_chaos.mcp.websocket import SUBPROTOCOL


class WebSocketSessions:
    """``/ws``: a session for as long as a connection lasts.

    Args:
        server: of the SDK, that answers.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection to its end."""
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
        to_server, from_client = anyio.create_memory_object_stream[SessionMessage | Exception]()
        to_client, from_server = anyio.create_memory_object_stream[SessionMessage]()

        async def read() -> None:
            async with to_server:
                with suppress(WebSocketDisconnect):
                    while True:
                        await to_server.send(_parsed(await websocket.receive_text()))

        async def write() -> None:
            async with from_server:
                async for message in from_server:
                    await websocket.send_text(message.message.model_dump_json(by_alias=True, exclude_unset=True))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(write)
            await self._server.run(from_client, to_client, self._server.create_initialization_options())
            tasks.cancel_scope.cancel()


def _parsed(text: str) -> SessionMessage | Exception:
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(text, by_name=False))
    except ValueError as error:
        return error

"""WebSocket for the load: a connection on the sans-I/O protocol of ``websockets``, and the user that speaks over it.

Source: RFC 6455; https://websockets.readthedocs.io, "Integrate the Sans-I/O layer".
"""

import asyncio
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from mcp_chaos.load.connection import MAX_ANSWER_BYTES, Connection, Head, HttpConnection, Listener
from mcp_chaos.load.user import LostError, User
from mcp_chaos.mcp.dialect import parse_message
from mcp_chaos.mcp.websocket import SUBPROTOCOL
from mcp_chaos.records import Reason

_MESSAGE = Head(200, "application/json", None, keep_alive=True)


class WebSocketConnection(asyncio.Protocol):
    """A connection whose text messages are handed on as responses.

    Args:
        listener: told what arrives once the connection is open.
        url: ``ws://host:port/path`` as the server is called.
    """

    def __init__(self, listener: Listener, url: str) -> None:
        self._listener: Listener | None = listener
        self._protocol = ClientProtocol(
            parse_uri(url), subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=MAX_ANSWER_BYTES
        )
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands; ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def send(self, data: bytes) -> None:
        """Send a text message."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(data)
            self._flush()

    def abandon(self) -> None:
        """Close at once and say nothing more to the listener."""
        self._listener = None
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived, cut anywhere."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._opened()
            elif isinstance(event, Frame):
                self._take(event)
        self._flush()
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.abort()  # a load has no time for the closing handshake

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is gone."""
        self._transport = None
        reason = Reason.RESET if isinstance(error, ConnectionError) else Reason.CLOSED
        if not self.opened.done():
            self.opened.set_exception(LostError(reason))
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.got_lost(self, reason)

    def _opened(self) -> None:
        if self.opened.done():
            return
        if self._protocol.handshake_exc is None:
            self.opened.set_result(None)
        else:  # the server answered, and not with 101
            self.opened.set_exception(LostError(Reason.HTTP_ERROR))
            self.abandon()

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return  # pings are answered and closes are taken by the protocol
        self._pieces.append(bytes(frame.data))
        if frame.fin and self._listener is not None:
            message = b"".join(self._pieces)
            self._pieces.clear()
            self._listener.got_response(self, _MESSAGE, message, len(message))

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and self._transport is not None:
                self._transport.write(data)


class WebSocketUser(User):
    """A client whose calls go over a WebSocket; a page is read over HTTP, on a connection of its own each time."""

    dialect_name = "websocket"
    _page_connection: HttpConnection | None = None

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        """A message or a page is whole. The server's own requests and notifications are not the answer."""
        message = parse_message(body) if connection is not self._page_connection else None
        if message is None or "method" not in message:
            super().got_response(connection, head, body, size_bytes)

    def _is_ready(self) -> bool:
        return self.dialect.opening() is None and not self._operations[self._operation].page

    async def _open_way(self) -> None:
        if self._operations[self._operation].page:
            self._page_connection = await self._connect_http()
        else:
            await self._open_session()

    async def _connect(self) -> Connection:
        engine = self._engine
        target = engine.target
        url = f"{'wss' if engine.tls else 'ws'}://{target.host_header}{target.websocket_path}"
        _, connection = await engine.loop.create_connection(
            lambda: WebSocketConnection(self, url), target.connect_host, target.connect_port, **engine.tls_options()
        )
        self._connection = connection  # so that it is dropped with the call that waits for it
        await connection.opened
        return connection

    def _send(self, body: bytes, own_headers: bytes = b"") -> bool:
        if self._connection is None:
            return False
        self._connection.send(body)
        return True

    def _send_page(self, page: str) -> bool:
        return self._get(self._page_connection, page)

    def _carries_the_call(self, connection: Connection) -> bool:
        is_page = bool(self._operations[self._operation].page)
        return is_page == (connection is self._page_connection)

    def _forget_connection(self, connection: Connection) -> None:
        if connection is self._page_connection:
            self._page_connection = None
        else:
            self._connection = None
            self.dialect.forget()  # a connection is a session

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self.dialect.forget()
        super()._drop_connection()
        self._drop_page_connection()

    def _drop_page_connection(self) -> None:
        if self._page_connection is not None:
            self._page_connection.abandon()
            self._page_connection = None

    def _end_call(self, reason: Reason) -> None:
        self._drop_page_connection()
        super()._end_call(reason)

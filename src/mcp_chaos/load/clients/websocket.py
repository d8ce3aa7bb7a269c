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

from mcp_chaos.config.credentials import credential_headers
from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.http import User
from mcp_chaos.load.clients.http_connection import MAX_ANSWER_BYTES, Connection, Head, HttpConnection, Listener
from mcp_chaos.load.clients.request import LostError
from mcp_chaos.mcp.dialect import parse_message
from mcp_chaos.mcp.websocket import SUBPROTOCOL

_MESSAGE = Head(200, "application/json", None, keep_alive=True)
_LAST_MESSAGE = _MESSAGE._replace(keep_alive=False)


class RefusedError(LostError):
    """The server answered, and not with an upgrade."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(Reason.HTTP_ERROR)


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
        request = self._protocol.connect()
        for name, value in credential_headers():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    @property
    def is_open(self) -> bool:
        """Whether a message can be sent."""
        return self._protocol.state is State.OPEN and self._transport is not None

    def send(self, data: bytes) -> None:
        """Send a text message."""
        if self.is_open:
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
        self._take_events()
        if self._is_nonsense():
            self._lost(LostError(Reason.WRONG_ANSWER))
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.abort()  # a load has no time for the closing handshake

    def eof_received(self) -> None:
        """asyncio: no more will come; a refusal whose body lasts until the end of the connection is whole now."""
        self._protocol.receive_eof()
        self._take_events()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is gone."""
        self._transport = None
        self._lost(LostError(Reason.RESET if isinstance(error, ConnectionError) else Reason.CLOSED))

    def _lost(self, error: LostError) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()  # whoever waited may have gone, and asyncio would call that an error of ours
        listener = self._listener
        self.abandon()
        if listener is not None:
            listener.got_lost(self, error.reason)

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._take_response(event)
            elif isinstance(event, Frame):
                self._take_frame(event)
        self._flush()

    def _is_nonsense(self) -> bool:
        """Whether what arrived is not the protocol, or beyond all measure."""
        error = self._protocol.parser_exc or self._protocol.handshake_exc
        return error is not None and not isinstance(error.__cause__ or error, EOFError)

    def _take_response(self, response: Response) -> None:
        if self._protocol.handshake_exc is not None:
            self._lost(RefusedError(response.status_code))
        elif not self.opened.done():
            self.opened.set_result(None)

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return  # pings are answered and closes are taken by the protocol
        self._pieces.append(bytes(frame.data))
        if frame.fin and self._listener is not None:
            message = b"".join(self._pieces)
            self._pieces.clear()
            self._listener.got_response(self, _MESSAGE if self.is_open else _LAST_MESSAGE, message, len(message))

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
        if connection is self._page_connection:
            super().got_response(connection, head, body, size_bytes)
            return
        message = parse_message(body)
        if message is not None and "method" in message:
            reply = self.dialect.reply(message)
            if reply is not None:
                connection.send(reply)
            return
        if self._awaited is None and not (self._in_flight and self._carries_the_call(connection)):
            connection.abandon()  # nobody asked, or a page was asked for: this session is out of step
            self._forget_connection(connection)
        else:
            super().got_response(connection, head, body, size_bytes)

    def got_lost(self, connection: Connection, reason: Reason) -> None:
        """A connection went away; one that was given up before is none of this user's."""
        if connection is self._connection or connection is self._page_connection:
            super().got_lost(connection, reason)

    def _is_ready(self) -> bool:
        return self.dialect.opening() is None and not self._operations[self._operation].page and self._is_open()

    def _is_open(self) -> bool:
        return isinstance(self._connection, WebSocketConnection) and self._connection.is_open

    async def _open_way(self) -> None:
        if self._operations[self._operation].page:
            self._page_connection = await self._connect_http()
            return
        if self._connection is not None and not self._is_open():
            self._connection.abandon()
            self._forget_connection(self._connection)
        await self._open_session()

    async def _connect(self) -> Connection:
        if self.dialect.opening() is None or not self.dialect.opening_is_answered():
            self.dialect.forget()  # the connection went away in the middle of the handshake, which began on it
            raise LostError(Reason.CLOSED)
        engine = self._engine
        target = engine.target
        url = f"{'wss' if engine.tls else 'ws'}://{target.host_header}{target.websocket_path}"
        _, connection = await engine.loop.create_connection(
            lambda: WebSocketConnection(self, url), target.connect_host, target.connect_port, **engine.tls_options()
        )
        self._connection = connection  # so that it is dropped with the call that waits for it
        try:
            await connection.opened
        except RefusedError as refused:
            status = refused.status
            wrong = status < 300  # 101 too, when the rest of the answer is not right
            raise LostError(Reason.WRONG_ANSWER if wrong else self.dialect.judge_status(status, None)) from None
        if self._connection is not connection:
            raise LostError(Reason.WRONG_ANSWER)  # it said something before it was asked
        return connection

    def _send(self, body: bytes, own_headers: bytes = b"") -> bool:
        if self._connection is None or not self._is_open():
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
        self._drop_page_connection()
        if self.calling and self._operations[self._operation].page:
            return  # what befell a page says nothing of the session
        if self._connection is not None:
            self.dialect.forget()
        super()._drop_connection()

    def _drop_page_connection(self) -> None:
        if self._page_connection is not None:
            self._page_connection.abandon()
            self._page_connection = None

    def _end_call(self, reason: Reason) -> None:
        self._drop_page_connection()
        super()._end_call(reason)

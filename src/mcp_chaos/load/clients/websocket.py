"""The user whose calls go over a WebSocket."""

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.http import User
from mcp_chaos.load.clients.http_connection import Connection, Head, HttpConnection
from mcp_chaos.load.clients.request import LostError
from mcp_chaos.load.clients.websocket_connection import RefusedError, WebSocketConnection
from mcp_chaos.machine.loopback import open_connection
from mcp_chaos.mcp import GetRequest
from mcp_chaos.mcp.message import is_answer, parse_message


class WebSocketUser(User):
    """A client whose calls go over a WebSocket; a GET request goes over HTTP, on a connection of its own."""

    _get_connection: HttpConnection | None = None

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        """An answer is whole. The server's own requests and notifications are not the answer."""
        if connection is self._get_connection:
            super().got_response(connection, head, body, size_bytes)
            return
        message = parse_message(body)
        if message is not None and not is_answer(message):
            reply = self.dialect.reply(message)
            if reply is not None:
                connection.send(reply)
            return
        if self._awaited is None and not (self.call.in_flight and self._carries_the_call(connection)):
            connection.abandon()  # nobody asked, or a GET request was made: this session is out of step
            self._forget_connection(connection)
        else:
            super().got_response(connection, head, body, size_bytes)

    def got_lost(self, connection: Connection, reason: Reason) -> None:
        """A connection went away; one that was given up before is none of this user's."""
        if connection is self._connection or connection is self._get_connection:
            super().got_lost(connection, reason)

    def _is_ready(self) -> bool:
        return self.dialect.opening() is None and not self.call.is_get and self._is_open()

    def _is_open(self) -> bool:
        return isinstance(self._connection, WebSocketConnection) and self._connection.is_open

    async def _open_way(self) -> None:
        if self.call.is_get:
            self._get_connection = await self._connect_http()
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
        _, connection = await open_connection(
            lambda: WebSocketConnection(self, url, engine.credential_headers),
            target.connect_host,
            target.connect_port,
            **engine.tls_options(),
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

    def _send_get(self, request: GetRequest) -> bool:
        if self._get_connection is None:
            return False
        self._get_connection.send(self.requests.get(request))
        return True

    def _carries_the_call(self, connection: Connection) -> bool:
        return self.call.is_get == (connection is self._get_connection)

    def _forget_connection(self, connection: Connection) -> None:
        if connection is self._get_connection:
            self._get_connection = None
        else:
            self._connection = None
            self.dialect.forget()  # a connection is a session

    def _drop_connection(self) -> None:
        self._drop_get_connection()
        if self.call.is_under_way and self.call.is_get:
            return  # what befell a GET request says nothing of the session
        if self._connection is not None:
            self.dialect.forget()
        super()._drop_connection()

    def _drop_get_connection(self) -> None:
        if self._get_connection is not None:
            self._get_connection.abandon()
            self._get_connection = None

    def _end_call(self, reason: Reason) -> None:
        self._drop_get_connection()
        super()._end_call(reason)

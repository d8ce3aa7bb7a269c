"""A user over HTTP+SSE: one connection for the stream, on which answers come, and one to post messages on."""

import asyncio

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.http import User
from mcp_chaos.load.clients.http_connection import Connection, Head, HttpConnection
from mcp_chaos.load.clients.request import LostError, header_lines
from mcp_chaos.mcp.message import EVENT_STREAM, JSON, is_answer, parse_message
from mcp_chaos.mcp.sse import Sse, endpoint_path

_MESSAGE = Head(200, JSON, None, keep_alive=True)
_STREAM_HEADERS = header_lines([("Accept", EVENT_STREAM), ("Cache-Control", "no-store")])


class SseUser(User):
    """A client of the transport of 2024-11-05.

    A call has ended when its answer came on the stream *and* its POST was accepted, in whichever order.
    """

    dialect: Sse
    _stream: HttpConnection | None = None
    _endpoint: asyncio.Future[bytes] | None = None
    _posted = False

    def got_event(self, connection: Connection, head: Head, data: bytes) -> None:
        """The address of the session, once; after that, messages."""
        if connection is not self._stream:
            return
        if self._endpoint is not None and not self._endpoint.done():
            self._endpoint.set_result(data)
            return
        message = parse_message(data)
        if message is None:
            return
        if not is_answer(message):
            self._reply(message)
            return
        if self._awaited is not None:
            if self._early is None:
                self._early = _MESSAGE, message
                self._go_on_when_posted()
        elif self.call.in_flight and self.call.verdict is None and not self.call.is_get:
            self.call.judge(_MESSAGE.status, data, message)
            self.call.size_bytes = len(data)
            self._go_on_when_posted()

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        """What was posted was accepted or not; a GET request was answered; or the stream has ended."""
        if connection is self._stream:
            self.got_lost(connection, self._why_it_ended(head))
        elif not 200 <= head.status < 300 or (self.call.in_flight and self.call.is_get):
            super().got_response(connection, head, body, size_bytes)
        else:
            if not head.keep_alive:
                self._forget_connection(connection)
            self._posted = True
            if self._awaited is not None and not self.dialect.opening_has_an_event():
                self._settle((head, None))
            else:
                self._go_on_when_posted()

    def got_lost(self, connection: Connection, reason: Reason) -> None:
        """A connection went away: with the stream, the session."""
        if connection is not self._stream:
            if connection is self._connection:
                super().got_lost(connection, reason)
            return
        self._drop_stream()
        if self._endpoint is not None and not self._endpoint.done():
            self._endpoint.set_exception(LostError(reason))
            self._endpoint.exception()  # whoever waited may have gone, and asyncio would call that an error of ours
        if self._awaited is not None:
            self._settle(reason)
        elif self.call.in_flight and not self.call.is_get:
            self._drop_connection()
            self._end_call(self.call.verdict_or(reason))

    def _why_it_ended(self, head: Head) -> Reason:
        if head.status != 200:
            return self.dialect.judge_status(head.status, None)
        return Reason.CLOSED if head.content_type == EVENT_STREAM else Reason.WRONG_ANSWER

    def _go_on_when_posted(self) -> None:
        if not self._posted:
            return
        if self._awaited is not None and self._early is not None:
            self._settle(self._early)
        elif self.call.in_flight and self.call.verdict is not None:
            if self.call.verdict is Reason.WRONG_ANSWER:
                self._drop_connection()
            self._end_call(self.call.verdict)

    def _is_ready(self) -> bool:
        return super()._is_ready() and (self._stream is not None or self.call.is_get)

    async def _open_session(self) -> None:
        if self._stream is None:
            self.dialect.forget()
            await self._open_stream()
        await super()._open_session()

    async def _open_stream(self) -> None:
        """Open the stream and learn where messages go."""
        target = self._engine.target
        self._endpoint = self._engine.loop.create_future()
        self._stream = await self._connect_http(endless=True)
        head = f"GET {target.path} HTTP/1.1\r\nHost: {target.host_header}\r\n".encode("latin-1")
        self._stream.send(b"%b%b%b\r\n" % (head, _STREAM_HEADERS, self._engine.credentials))
        data = await self._endpoint
        self.requests.path = endpoint_path(data, target.path, target.host_header, tls=target.tls)
        self.requests.forget_head()

    def _send(self, body: bytes, own_headers: bytes = b"") -> bool:
        if self._connection is None or self._stream is None:
            return False
        self._posted = False
        self._connection.send(self.requests.post(body, own_headers))
        return True

    def _drop_connection(self) -> None:
        if not (self.call.is_under_way and self.call.is_get):
            self._drop_stream()  # what befell a GET request says nothing of the session
        super()._drop_connection()

    def _drop_stream(self) -> None:
        if self._stream is not None:
            self._stream.abandon()
            self._stream = None
        self.dialect.forget()

    def _end_call(self, reason: Reason) -> None:
        if reason is Reason.SESSION_LOST:
            self._drop_connection()
        super()._end_call(reason)

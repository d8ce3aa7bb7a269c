"""One HTTP/1.1 client connection as a protocol class on httptools: no task, no future per call.

httptools parses; this class only sorts what arrived: a whole body, the events of a stream as they come, or the loss of
the connection, to whoever listens.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol, cast

import httptools

from mcp_chaos.mcp.event_stream import EventStream
from mcp_chaos.records import Reason

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024


@dataclass(slots=True)
class Response:
    """A whole response.

    Args:
        status: of HTTP.
        content_type: lower case, without parameters; empty when there is none.
        session_id: of the ``Mcp-Session-Id`` header.
        body: empty for an event stream, whose messages were handed on as they came.
        size_bytes: of the body as it came over the wire.
        keep_alive: whether the connection can be used again; where not, it is closed already.
    """

    status: int
    content_type: str
    session_id: str | None
    body: bytes
    size_bytes: int
    keep_alive: bool


class Listener(Protocol):
    """Whoever owns a connection."""

    def got_event(self, head: Response, data: bytes) -> None:
        """An event of a stream is whole; ``head`` is the response so far, without a body."""

    def got_response(self, response: Response) -> None:
        """The response is whole."""

    def got_lost(self, reason: Reason) -> None:
        """The connection is gone; a response that was awaited will not come."""


class HttpConnection(asyncio.Protocol):
    """A connection for one request at a time.

    Args:
        listener: told what arrives.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener: Listener | None = listener
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._reset_response()

    def _reset_response(self) -> None:
        self._content_type = ""
        self._session_id: str | None = None
        self._chunks: list[bytes] = []
        self._events: EventStream | None = None
        self._size_bytes = 0
        self._ends_by_length = False
        self._in_body = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands. Both loops set TCP_NODELAY themselves."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self, data: bytes) -> None:
        """Send a request; the listener hears of its response or of the loss."""
        if self._transport is not None:
            self._transport.write(data)

    def abandon(self) -> None:
        """Close at once and say nothing more to the listener."""
        self._listener = None
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived, cut anywhere."""
        self._head_bytes += 0 if self._in_body else len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a bug of ours in a callback, not a bad answer
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._give_up(Reason.WRONG_ANSWER)
        if not self._in_body and self._head_bytes > MAX_HEAD_BYTES:
            self._give_up(Reason.WRONG_ANSWER)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is gone. A body that lasts until the end of the connection is whole now."""
        if self._in_body and not self._ends_by_length and error is None:
            self.on_message_complete()
        listener, self._listener, self._transport = self._listener, None, None
        if listener is not None:
            listener.got_lost(Reason.RESET if isinstance(error, ConnectionError) else Reason.CLOSED)

    def _give_up(self, reason: Reason) -> None:
        listener = self._listener
        self.abandon()
        if listener is not None:
            listener.got_lost(reason)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header; what comes after the body is a trailer and changes nothing."""
        if self._in_body:
            return
        match name.lower():
            case b"content-type":
                self._content_type = value.decode("latin-1").partition(";")[0].strip().lower()
            case b"mcp-session-id":
                self._session_id = value.decode("latin-1")
            case b"content-length":
                self._ends_by_length = True
            case b"transfer-encoding":
                self._ends_by_length = True

    def on_headers_complete(self) -> None:
        """httptools: the head is whole."""
        self._in_body = True
        if self._content_type == "text/event-stream":
            self._events = EventStream()

    def on_body(self, chunk: bytes) -> None:
        """httptools: a piece of the body."""
        self._size_bytes += len(chunk)
        if self._size_bytes > MAX_ANSWER_BYTES:
            self._give_up(Reason.WRONG_ANSWER)
        elif self._events is None:
            self._chunks.append(chunk)
        else:
            for data in self._events.feed(chunk):
                if self._listener is not None:
                    self._listener.got_event(self._response(b""), data)

    def on_message_complete(self) -> None:
        """httptools: the response is whole. Interim responses (1xx) are not the answer."""
        response = self._response(b"".join(self._chunks))
        self._reset_response()
        if response.status < 200:
            return
        listener = self._listener
        if not response.keep_alive:
            self.abandon()
        if listener is not None:
            listener.got_response(response)

    def _response(self, body: bytes) -> Response:
        return Response(
            status=self._parser.get_status_code(),
            content_type=self._content_type,
            session_id=self._session_id,
            body=body,
            size_bytes=self._size_bytes,
            keep_alive=self._parser.should_keep_alive(),
        )

"""One HTTP/1.1 client connection as a protocol class on httptools: no task, no future per call.

httptools parses; this class only sorts what arrived: a whole body, the events of a stream as they come, or the loss of
the connection, to whoever listens. A head that was parsed before means what it meant then: a response that arrives in
one piece with a head that is known byte for byte is not parsed again, which saves a tenth of the cost of a call.
"""

import asyncio
import socket
from contextlib import suppress
from typing import ClassVar, NamedTuple, Protocol, cast

import httptools

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp.event_stream import EventStream
from mcp_chaos.mcp.message import EVENT_STREAM, media_type

MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_HEAD_BYTES = 64 * 1024
_MOST_KNOWN_HEADS = 1024
_NO_BODY = (204, 304)


class Head(NamedTuple):
    """The head of a response.

    Args:
        status: of HTTP.
        content_type: lower case, without parameters; empty when there is none.
        session_id: of the ``Mcp-Session-Id`` header.
        keep_alive: whether the connection can be used again; where not, it is closed already.
    """

    status: int
    content_type: str
    session_id: str | None
    keep_alive: bool


class _Known(NamedTuple):
    """A head that was parsed before, and how its body is framed.

    Args:
        head: as it was parsed.
        length: of the body, where it is said.
        chunked: whether the body comes in chunks.
        whole_length: of a body that can be handed on as it is; ``None`` for a stream, whose events have to be found.
    """

    head: Head
    length: int | None
    chunked: bool
    whole_length: int | None


class Connection(Protocol):
    """A connection for one request at a time."""

    def send(self, data: bytes) -> None:
        """Send a request; the listener hears of its response or of the loss."""

    def abandon(self) -> None:
        """Close at once and say nothing more to the listener."""


class Listener(Protocol):
    """Whoever owns a connection."""

    def got_event(self, connection: Connection, head: Head, data: bytes) -> None:
        """An event of a stream is whole."""

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        """The response is whole.

        Args:
            connection: it came on.
            head: of it.
            body: empty for an event stream, whose messages were handed on as they came.
            size_bytes: of the body as it came over the wire.
        """

    def got_lost(self, connection: Connection, reason: Reason) -> None:
        """The connection is gone; a response that was awaited will not come."""


class HttpConnection(asyncio.Protocol):
    """A connection for one request at a time.

    Args:
        listener: told what arrives.
        endless: whether a stream on it may go on for ever; each of its events is bounded all the same.
    """

    _heads: ClassVar[dict[bytes, _Known]] = {}  # shared by all: servers say the same to each

    def __init__(self, listener: Listener, *, endless: bool = False) -> None:
        self._listener: Listener | None = listener
        self._endless = endless
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._reset_response()

    def _reset_response(self) -> None:
        self._fresh = True
        self._raw_head = b""
        self._known: _Known | None = None
        self._content_type = ""
        self._session_id: str | None = None
        self._length: int | None = None
        self._chunked = False
        self._head: Head | None = None
        self._head_bytes = 0
        self._chunks: list[bytes] = []
        self._events: EventStream | None = None
        self._size_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands. Both loops set TCP_NODELAY themselves."""
        self._transport = cast(asyncio.Transport, transport)

    def send(self, data: bytes) -> None:
        """Send a request; the listener hears of its response or of the loss."""
        if self._transport is not None:
            self._transport.write(data)

    @property
    def is_closed(self) -> bool:
        """Whether either side has closed it."""
        return self._transport is None or self._transport.is_closing()

    def abandon(self) -> None:
        """Close at once and say nothing more to the listener."""
        self._listener = None
        if self._transport is not None:
            self._transport.abort()

    def close_abruptly(self, linger: bytes | None = None) -> None:
        """As :meth:`abandon`; with a ``SO_LINGER`` of no time the kernel sends RST instead of FIN."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if linger is not None and sock is not None:
            with suppress(OSError):  # it is gone already
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.abandon()

    @property
    def first_event_id(self) -> str | None:
        """The id of the first event of the stream that is under way, if any has one."""
        return self._events.first_id if self._events is not None else None

    def pause(self) -> None:
        """Stop reading: what the server sends stays in the kernels' buffers until they are full."""
        if self._transport is not None:
            self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived, cut anywhere."""
        if self._fresh:
            end = data.find(b"\r\n\r\n")
            self._raw_head = data[:end] if end > 0 else b""
            known = self._known = self._heads.get(self._raw_head)
            if known is not None and len(data) - end - 4 == known.whole_length:
                if self._listener is not None:
                    self._listener.got_response(self, known.head, data[end + 4 :], known.whole_length)
                return
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._head_bytes += 0 if self._head else len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a bug of ours in a callback, not a bad answer
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._give_up(Reason.WRONG_ANSWER)
        if self._head is None and self._head_bytes > MAX_HEAD_BYTES:
            self._give_up(Reason.WRONG_ANSWER)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is gone. A body that lasts until the end of the connection is whole now."""
        if self._head is not None and self._length is None and not self._chunked and error is None:
            self.on_message_complete()
        listener, self._listener, self._transport = self._listener, None, None
        if listener is not None:
            listener.got_lost(self, Reason.RESET if isinstance(error, ConnectionError) else Reason.CLOSED)

    def _give_up(self, reason: Reason) -> None:
        listener = self._listener
        self.abandon()
        if listener is not None:
            listener.got_lost(self, reason)

    def on_message_begin(self) -> None:
        """httptools: the first byte of a response, which may be the second one in a chunk."""
        self._fresh = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: one header; what comes after the body is a trailer and changes nothing."""
        if self._head is not None or self._known is not None:
            return
        match name.lower():
            case b"content-type":
                self._content_type = media_type(value.decode("latin-1"))
            case b"mcp-session-id":
                self._session_id = value.decode("latin-1")
            case b"content-length":
                self._length = int(value)  # httptools has refused what is no number
            case b"transfer-encoding":
                self._chunked = True

    def on_headers_complete(self) -> None:
        """httptools: the head is whole."""
        if self._known is not None:
            self._head, self._length, self._chunked, _ = self._known
        else:
            status, keep_alive = self._parser.get_status_code(), self._parser.should_keep_alive()
            self._head = Head(status, self._content_type, self._session_id, keep_alive)
            if self._raw_head and keep_alive:
                whole_length = None if self._content_type == EVENT_STREAM else self._length
                self._remember(_Known(self._head, self._length, self._chunked, whole_length))
        if self._head.content_type == EVENT_STREAM:
            self._events = EventStream()

    def _remember(self, known: _Known) -> None:
        if known.head.status < 200 or known.head.status in _NO_BODY:
            return
        if len(self._heads) >= _MOST_KNOWN_HEADS:
            self._heads.clear()  # a date in each head makes them all old after a second
        self._heads[self._raw_head] = known

    def on_body(self, chunk: bytes) -> None:
        """httptools: a piece of the body."""
        self._size_bytes += len(chunk)
        if self._size_bytes > MAX_ANSWER_BYTES:
            self._give_up(Reason.WRONG_ANSWER)
        elif self._events is None:
            self._chunks.append(chunk)
        else:
            assert self._head is not None
            for data in self._events.feed(chunk):
                if self._endless:
                    self._size_bytes = 0
                if self._listener is not None:
                    self._listener.got_event(self, self._head, data)

    def on_message_complete(self) -> None:
        """httptools: the response is whole. Interim responses (1xx) are not the answer."""
        assert self._head is not None
        head, body, size_bytes = self._head, b"".join(self._chunks), self._size_bytes
        self._reset_response()
        if head.status < 200:
            return
        listener = self._listener
        if not head.keep_alive:
            self.abandon()
        if listener is not None:
            listener.got_response(self, head, body, size_bytes)

"""One MCP client whose exchanges each have a connection of their own, with a deadline for all of each."""

import asyncio
import socket
import ssl
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mcp_chaos.config.credentials import credential_headers, redacted
from mcp_chaos.config.tls import client_context
from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.http_connection import Connection, Head, HttpConnection
from mcp_chaos.load.clients.request import LostError, header_lines, request_head
from mcp_chaos.load.spec import Target
from mcp_chaos.machine.loopback import open_connection, open_socket
from mcp_chaos.mcp import DIALECTS, DialectError, McpCall
from mcp_chaos.mcp.dialect import Headers
from mcp_chaos.mcp.message import Message, error_text, is_answer, parse_message

_SMALL_SEGMENT_BYTES = 536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Answer:
    """What came back.

    Args:
        status: of HTTP.
        message: the JSON-RPC response, ``None`` where there was none.
        session_id: of the answer's header.
    """

    status: int
    message: Message | None
    session_id: str | None

    def __str__(self) -> str:
        said = redacted(error_text(self.message))
        return f"HTTP {self.status}" + (f" '{said}'" if said else "")


class NoAnswerError(TimeoutError):
    """There was no answer in time; says in which, as patient clients wait longer than others."""


class Reply:
    """Listens on a connection for one answer: a body, or the first response of an event stream."""

    def __init__(self) -> None:
        self._future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.messages: list[Message] = []

    @property
    def arrived(self) -> bool:
        """Whether the answer is there, or will never come."""
        return self._future.done()

    async def answer(self) -> Answer:
        """The answer.

        Raises:
            LostError: the connection went first.
        """
        return await self._future

    def renewed(self) -> "asyncio.Future[Answer]":
        """Wait for one more answer on the same connection."""
        self._future = asyncio.get_running_loop().create_future()
        return self._future

    def got_event(self, connection: Connection, head: Head, data: bytes) -> None:
        """A message on a stream; the first that is no request of the server's is the answer."""
        message = parse_message(data)
        if message is not None:
            self.messages.append(message)
            if is_answer(message):
                self._settle(Answer(head.status, message, head.session_id))

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        """The response is whole."""
        self._settle(Answer(head.status, parse_message(body), head.session_id))

    def got_lost(self, connection: Connection, reason: Reason) -> None:
        """The connection is gone."""
        if not self._future.done():
            self._future.set_exception(LostError(reason))
            self._future.exception()  # nobody has to ask for it

    def _settle(self, answer: Answer) -> None:
        if not self._future.done():
            self._future.set_result(answer)


def _take_little(sock: socket.socket, receive_bytes: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    # Linux gives a sender room for ten segments or more: with the large ones of loopback that is megabytes.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SMALL_SEGMENT_BYTES)


@dataclass(frozen=True)
class Wire:
    """How a server is reached.

    Args:
        target: the server itself.
        deadline_s: of each exchange, the connecting included.
        version: of the protocol, where the server is asked in several; empty for the only one.
    """

    target: Target
    deadline_s: float
    version: str = ""

    def told(self, found: str) -> str:
        """What was found, with the protocol version in which it was seen."""
        return f"{found} (protocol version {self.version})" if found and self.version else found

    @cached_property
    def credentials(self) -> bytes:
        """The headers that carry credentials."""
        return header_lines(credential_headers())

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return client_context()

    async def connect(self, listener: Reply, *, receive_bytes: int | None = None) -> HttpConnection:
        """A connection of its own; ``receive_bytes`` is how much the kernel takes in for a client that does not read.

        Raises:
            OSError: it cannot be had.
        """
        target = self.target
        tls: dict[str, Any] = {"ssl": self._tls, "server_hostname": target.server_name} if target.tls else {}
        where = target.connect_host, target.connect_port

        def make() -> HttpConnection:
            return HttpConnection(listener, endless=True)

        if receive_bytes is None:
            return (await open_connection(make, *where, **tls))[1]
        sock = await open_socket(*where, lambda sock: _take_little(sock, receive_bytes))
        return (await asyncio.get_running_loop().create_connection(make, sock=sock, **tls))[1]


class Client:
    """One client: a dialect's state, and exchanges on fresh connections.

    Args:
        wire: to the server.
        name: what it calls itself.
    """

    def __init__(self, wire: Wire, name: str) -> None:
        self.wire = wire
        self.dialect = DIALECTS[wire.target.dialect](name)
        self._last_id = 0

    @property
    def session_id(self) -> str | None:
        """The session that the server gave, if any."""
        return getattr(self.dialect, "session_id", None)

    async def open(self) -> None:
        """Do the handshake.

        Raises:
            DialectError: the server refused.
            LostError, OSError, TimeoutError: there was no answer.
        """
        while (body := self.dialect.opening()) is not None:
            answer = await self.exchange(body)
            self.dialect.opened(answer.status, answer.session_id, answer.message)

    async def close(self) -> int | None:
        """End the session by DELETE; the HTTP status, or ``None`` where there is no session to end."""
        if not self.dialect.closing():
            return None
        return (await self.exchange(b"", method="DELETE")).status

    def skip_ids(self, ids: int) -> None:
        """Leave out ids, so that the next ones are no other client's."""
        self._last_id += ids

    def next_id(self) -> int:
        """The id of the next request, from 1 as in most clients."""
        self._last_id += 1
        return self._last_id

    def call_request(self, operation: McpCall, call_id: int | None = None) -> tuple[int, bytes]:
        """A call as bytes, and its id."""
        call_id = self.next_id() if call_id is None else call_id
        return call_id, self.request(*self.dialect.ask(call_id, operation))

    async def call(self, operation: McpCall) -> tuple[Reason, Answer]:
        """Make a call and class its answer.

        Raises:
            LostError, OSError, TimeoutError: there was no answer.
        """
        call_id, request = self.call_request(operation)
        answer = await self.send(request)
        return self.dialect.judge(call_id, answer.status, answer.message, operation), answer

    async def call_renewed(self, operation: McpCall) -> tuple[Reason, Answer]:
        """As :meth:`call`; on a session that has ended (404), it is made again on one that is opened in its place."""
        reason, answer = await self.call(operation)
        if answer.status != 404:
            return reason, answer
        self.dialect.forget()
        await self.open()
        return await self.call(operation)

    async def exchange(self, body: bytes, own_headers: Headers | None = None, method: str = "POST") -> Answer:
        """Send a message and wait for its answer.

        Raises:
            LostError, OSError, TimeoutError: there was none.
        """
        return await self.send(self.request(body, own_headers, method))

    async def send(self, request: bytes, reply: Reply | None = None) -> Answer:
        """Send bytes on a connection of their own and wait for the answer; raises as :meth:`exchange`."""
        connection: HttpConnection | None = None
        try:
            async with asyncio.timeout(self.wire.deadline_s):
                reply = reply or Reply()
                connection = await self.wire.connect(reply)
                connection.send(request)
                return await reply.answer()
        except TimeoutError:
            raise NoAnswerError(f"no answer within {self.wire.deadline_s:g} s") from None
        finally:
            if connection is not None:
                connection.abandon()

    def stream_request(self, last_event_id: str | None = None) -> bytes:
        """The request for the session's GET stream, or for what followed an event of another one."""
        target = self.wire.target
        own = [header for header in self.dialect.headers() if header[0] != "Content-Type"]
        own += [("Last-Event-ID", last_event_id)] if last_event_id is not None else []
        head = f"GET {target.path} HTTP/1.1\r\nHost: {target.host_header}\r\n".encode("latin-1")
        return b"%b%b%b\r\n" % (head, header_lines(own), self.wire.credentials)

    def request(self, body: bytes, own_headers: Headers | None = None, method: str = "POST") -> bytes:
        """A message as the bytes of an HTTP request."""
        target = self.wire.target
        head = request_head(method, target.path, target, self.dialect) + self.wire.credentials
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (head, header_lines(own_headers or []), len(body), body)


def hang_up(connection: HttpConnection, *, reset: bool) -> None:
    """Leave at once: with RST, as a process that is killed behind a gateway, or with FIN, as one that closes."""
    connection.close_abruptly(_RESET_ON_CLOSE if reset else None)


def why_failed(error: BaseException, deadline_s: float) -> str:
    """What went wrong with an exchange, in words."""
    if isinstance(error, NoAnswerError):
        return str(error)
    if isinstance(error, TimeoutError):
        return f"no answer within {deadline_s:g} s"
    if isinstance(error, LostError):
        return f"the connection was lost ({error.reason.name.lower()})"
    if isinstance(error, DialectError):
        return str(error)
    return "the connection was refused" if isinstance(error, ConnectionRefusedError) else str(error)


def is_rate_limit(failure: object) -> bool:
    """Whether an exchange was refused by a rate limit (HTTP 429), which is the server's right."""
    return isinstance(failure, DialectError) and failure.reason is Reason.RATE_LIMITED


FAILURES = (LostError, DialectError, OSError, TimeoutError)
"""What an exchange raises where a server does not answer as it should."""

"""How the observer's messages travel: over HTTP, over HTTP with a stream beside it, or over a WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from mcp_chaos.config.credentials import credential_headers
from mcp_chaos.config.tls import client_context, context_for
from mcp_chaos.history.calls import Reason
from mcp_chaos.machine.exchange import staying_here_async
from mcp_chaos.machine.loopback import open_socket
from mcp_chaos.mcp import Dialect, DialectError, TransportKind
from mcp_chaos.mcp.dialect import Headers
from mcp_chaos.mcp.event_stream import EventStream
from mcp_chaos.mcp.message import EVENT_STREAM, JSON, Message, first_answer, is_answer, media_type, parse_message
from mcp_chaos.mcp.sse import endpoint_path
from mcp_chaos.mcp.websocket import SUBPROTOCOL
from mcp_chaos.observe.advice import Answer

MOST_BYTES = 16 * 1024 * 1024
_STREAM_END_S = 0.25
_ACCEPTED = Answer(202, None)


class Transport(Protocol):
    """A way for messages, one under way at a time. Who uses it sets the deadline."""

    def __init__(self, url: str, dialect: Dialect, host_header: str | None) -> None: ...

    async def exchange(self, method: str, body: bytes, own_headers: Headers) -> Answer:
        """Send a message and wait for what is said to it.

        Raises:
            httpx.HTTPError, OSError: the server is not there.
            DialectError: what it said is not of this transport.
        """

    async def close(self) -> None:
        """Close the connections."""


class HttpTransport:
    """Streamable HTTP and its like: each message is a POST, its answer the response.

    Args:
        url: of the endpoint.
        dialect: that says what headers a message has.
        host_header: what the server wants to be called, when ``url`` is a proxy.
    """

    def __init__(self, url: str, dialect: Dialect, host_header: str | None) -> None:
        self.url = url
        self.dialect = dialect
        self.host_header = host_header
        self._extensions: dict[str, Any] = server_name(host_header)
        self.http = httpx.AsyncClient(
            verify=context_for(url),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113  # its timeouts are per read, and a server that drips bytes would reset them for ever
        )

    async def exchange(self, method: str, body: bytes, own_headers: Headers) -> Answer:
        """A request and its response."""
        async with self.request(method, self.url, body, [*self.dialect.headers(), *own_headers]) as response:
            return await _answer(response)

    def request(
        self, method: str, url: str, body: bytes, headers: Headers
    ) -> contextlib.AbstractAsyncContextManager[httpx.Response]:
        """A request with the headers that all have."""
        host = [("Host", self.host_header)] if self.host_header else []
        encoded = [(k.encode(), v.encode("latin-1")) for k, v in [*headers, *host, *credential_headers()]]
        extensions = {**self._extensions, "trace": staying_here_async()}
        return self.http.stream(method, url, content=body, headers=encoded, extensions=extensions)

    async def close(self) -> None:
        """Close the connections."""
        await self.http.aclose()


class SseTransport(HttpTransport):
    """HTTP+SSE: a stream is opened first; messages are posted to where it says, and answered on it."""

    def __init__(self, url: str, dialect: Dialect, host_header: str | None) -> None:
        super().__init__(url, dialect, host_header)
        self._stack = contextlib.AsyncExitStack()
        self._events: AsyncIterator[bytes] | None = None
        self._endpoint = ""

    async def exchange(self, method: str, body: bytes, own_headers: Headers) -> Answer:
        """A message that is posted, and what the stream says to it."""
        answered = (parse_message(body) or {}).get("id") is not None
        if self._events is None:
            refused = await self._open()
            if refused is not None:
                return refused
        async with self.request(method, self._endpoint, body, [*self.dialect.headers(), *own_headers]) as response:
            posted = await _answer(response)
        if not answered or not 200 <= posted.status < 300:
            return posted
        return Answer(200, await self._message(), JSON)

    async def is_offered(self) -> bool:
        """Whether a server begins a stream as this transport has it."""
        return await self._open() is None

    async def close(self) -> None:
        """Close the stream and the connections."""
        await self._stack.aclose()
        await super().close()

    async def _open(self) -> Answer | None:
        """Open the stream; what was said in its place, if something was."""
        response = await self._stack.enter_async_context(self.request("GET", self.url, b"", [("Accept", EVENT_STREAM)]))
        if response.status_code != 200 or _kind(response) != EVENT_STREAM:
            return await _answer(response)
        self._events = _events(response)
        where = urlsplit(self.url)
        data = await anext(self._events, b"")
        path = endpoint_path(data, where.path, self.host_header or where.netloc, tls=where.scheme == "https")
        self._endpoint = f"{where.scheme}://{where.netloc}{path}"
        return None

    async def _message(self) -> Message:
        assert self._events is not None
        async for data in self._events:
            message = first_answer([data])
            if message is not None:
                return message
        raise httpx.RemoteProtocolError("it ended the stream of its answers")


class _ConnectOnce(connect):
    """A connection to where it was asked for: a redirect is an answer like any other."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow none."""
        return exc


class WebSocketTransport:
    """A message a frame. A connection is a session.

    Args:
        url: of the endpoint, http or https as its pages are.
        dialect: not asked: frames have no headers.
        host_header: what the server wants to be called, when ``url`` is a proxy.
    """

    def __init__(self, url: str, dialect: Dialect, host_header: str | None) -> None:
        self._where = urlsplit(url)
        self._name = host_header or self._where.netloc
        self._socket: ClientConnection | None = None

    async def exchange(self, method: str, body: bytes, own_headers: Headers) -> Answer:
        """A frame, and the one that answers it."""
        try:
            if self._socket is None:
                self._socket = await self._connect()
            await self._socket.send(body, text=True)
            if (parse_message(body) or {}).get("id") is None:
                return _ACCEPTED
            return Answer(200, await self._message(self._socket), JSON)
        except InvalidStatus as refused:
            response = refused.response
            headers = {name.lower(): value for name, value in response.headers.raw_items()}
            kind = media_type(headers.get("content-type", ""))
            return Answer(response.status_code, None, kind, headers=headers)
        except (InvalidHandshake, WebSocketException) as error:
            raise httpx.RemoteProtocolError(str(error)) from None

    async def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            await self._socket.close()

    async def _connect(self) -> ClientConnection:
        secure = self._where.scheme == "https"
        path = (self._where.path or "/") + (f"?{self._where.query}" if self._where.query else "")
        return await _ConnectOnce(
            f"{'wss' if secure else 'ws'}://{self._name}{path}",
            sock=await open_socket(self._where.hostname or "", self._where.port or (443 if secure else 80)),
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers=credential_headers(),
            ssl=client_context() if secure else None,
            proxy=None,
            open_timeout=None,
            close_timeout=_STREAM_END_S,
            ping_interval=None,
            max_size=MOST_BYTES,
        )

    async def _message(self, socket: ClientConnection) -> Message | None:
        async for frame in socket:
            message = parse_message(frame.encode() if isinstance(frame, str) else frame)
            if message is None or is_answer(message):
                return message
        raise httpx.RemoteProtocolError("it closed the connection")


def transport_for(dialect: Dialect, url: str, host_header: str | None) -> Transport:
    """The transport of a dialect."""
    made: dict[TransportKind, type[Transport]] = {
        TransportKind.POST: HttpTransport,
        TransportKind.SSE: SseTransport,
        TransportKind.WEBSOCKET: WebSocketTransport,
    }
    return made[dialect.transport](url, dialect, host_header)


def server_name(host_header: str | None) -> dict[str, str]:
    """What httpx needs to know when a server is called otherwise than its proxy: for SNI, and for its certificate."""
    if host_header is None:
        return {}
    return {"sni_hostname": urlsplit(f"//{host_header}").hostname or host_header}


async def _answer(response: httpx.Response) -> Answer:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers.raw}
    return Answer(
        response.status_code, await _message(response), _kind(response), headers.get("mcp-session-id"), headers
    )


def _kind(response: httpx.Response) -> str:
    return media_type(str(response.headers.get("content-type", "")))


async def _message(response: httpx.Response) -> Message | None:
    """The JSON-RPC response, from a body or from a stream."""
    kind = _kind(response)
    if kind == EVENT_STREAM:
        return await _message_of_stream(response)
    if kind != JSON:
        return None
    body = b""
    async for chunk in response.aiter_bytes():
        body += chunk[: MOST_BYTES - len(body)]
    return parse_message(body)


async def _message_of_stream(response: httpx.Response) -> Message | None:
    """The answer on a stream, which is given a moment to end so that the connection can be used again."""
    events = _events(response)
    async for data in events:
        message = first_answer([data])
        if message is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STREAM_END_S):
                    async for _ in events:
                        pass
            return message
    return None


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    stream = EventStream()
    size_bytes = 0
    async for chunk in response.aiter_bytes():
        size_bytes += len(chunk)
        if size_bytes > MOST_BYTES:
            raise DialectError(Reason.WRONG_ANSWER, f"it sent more than {MOST_BYTES} bytes")
        for data in stream.feed(chunk):
            yield data

"""A realistic MCP client for readings: httpx, one fresh session, a total deadline."""

import asyncio
import contextlib
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from mcp_chaos.credentials import credential_headers, redacted
from mcp_chaos.errors import TargetError
from mcp_chaos.mcp import DIALECTS, DialectError, Operation
from mcp_chaos.mcp.dialect import Headers, Message, error_text, parse_message
from mcp_chaos.mcp.event_stream import EventStream
from mcp_chaos.records import Reason
from mcp_chaos.tls import CA_FILE, context_for

_MOST_BYTES = 16 * 1024 * 1024
_STREAM_END_S = 0.25


@dataclass(frozen=True)
class Refusal:
    """An answer that is not what was asked for.

    Args:
        status: of HTTP.
        said: the message of a JSON-RPC error; empty where there was none.
        kind: the content type.
    """

    status: int
    said: str
    kind: str

    def __str__(self) -> str:
        return f"HTTP {self.status}" + (f": {self.said}" if self.said else "") + _what_it_sent(self.kind)


class McpClient:
    """One session with a server.

    The deadline is for all of it together, wherever the time goes, so httpx runs on an event loop of the client's own:
    its own timeouts are per read, and a server that drips bytes would reset them for ever.

    Args:
        url: of the MCP endpoint, or of a proxy before it.
        dialect: a name from ``mcp.DIALECTS``.
        deadline_s: for all that is done with this client together.
        host_header: what the server wants to be called, when ``url`` is a proxy.
    """

    def __init__(self, url: str, dialect: str, deadline_s: float, host_header: str | None = None) -> None:
        self._url = url
        self._dialect = DIALECTS[dialect]("mcp_chaos-observer")
        self._until = time.monotonic() + deadline_s
        self._deadline_s = deadline_s
        self._host = [("Host", host_header)] if host_header else []
        self._http = httpx.AsyncClient(
            verify=context_for(url),
            trust_env=False,
            follow_redirects=False,
            timeout=None,  # noqa: S113  # see above
        )
        self._extensions = server_name(host_header)
        self._runner = asyncio.Runner()
        self._last_id = 0

    def __enter__(self) -> "McpClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._dialect.closing() and error is None:
                self._exchange("DELETE", b"", [])
        except TargetError:
            pass  # the reading was taken; a session that does not end cleanly is the server's to forget
        finally:
            self._runner.run(self._http.aclose())
            self._runner.close()

    def open(self) -> None:
        """Do the handshake.

        Raises:
            TargetError: the server is not there, or refuses; says how.
        """
        while (body := self._dialect.opening()) is not None:
            status, session_id, message, kind = self._exchange("POST", body, [])
            try:
                self._dialect.opened(status, session_id, message)
            except DialectError as error:
                raise TargetError(
                    f"{self._url} did not open an MCP session: {redacted(str(error))}{_what_it_sent(kind)}."
                ) from None

    @property
    def has_session(self) -> bool:
        """Whether the server gave a session that is to be ended."""
        return self._dialect.closing()

    def call(self, operation: Operation) -> Reason:
        """Call a tool and class the answer.

        Raises:
            TargetError: the server is not there, or did not answer in time.
        """
        self._last_id += 1
        body = self._dialect.call_body(self._last_id, self._dialect.params_of(operation))
        own_headers = self._dialect.headers_of("tools/call", operation.tool)
        status, _, message, _ = self._exchange("POST", body, own_headers)
        return self._dialect.judge(self._last_id, status, message)

    def discover(self) -> "dict[str, Any] | Refusal":
        """What a server of the stateless era says of itself, or how another one refused to.

        Raises:
            TargetError: it is not there, or did not answer in time.
        """
        self._last_id += 1
        body = self._dialect.call_body(self._last_id, (b'"server/discover"', self._dialect.list_params()))
        status, _, message, kind = self._exchange("POST", body, self._dialect.headers_of("server/discover"))
        result = (message or {}).get("result")
        if status == 200 and isinstance(result, dict):
            return result
        return Refusal(status, redacted(error_text(message)), kind)

    def list_tools(self) -> list[dict[str, Any]]:
        """The tools the server offers, its first page.

        Raises:
            TargetError: it does not list them.
        """
        self._last_id += 1
        body = self._dialect.call_body(self._last_id, (b'"tools/list"', self._dialect.list_params()))
        status, _, message, kind = self._exchange("POST", body, self._dialect.headers_of("tools/list"))
        result = (message or {}).get("result")
        tools = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(tools, list):
            said = redacted(error_text(message))
            raise TargetError(
                f"{self._url} did not list its tools: HTTP {status}{f', {said}' if said else ''}{_what_it_sent(kind)}."
            )
        return [tool for tool in tools if isinstance(tool, dict)]

    def _exchange(self, method: str, body: bytes, own_headers: Headers) -> tuple[int, str | None, Message | None, str]:
        """Status, session id, message and content type of an answer, before the deadline."""
        try:
            return self._runner.run(self._limited(method, body, own_headers))
        except TimeoutError:
            raise TargetError(f"{self._url} did not answer within {self._deadline_s:g} s.") from None
        except httpx.InvalidURL as error:
            raise TargetError(f"{self._url} is not a URL that can be called: {error}.") from None
        except httpx.HTTPError as error:
            raise TargetError(f"{self._url} cannot be reached: {_why(error)}.") from None

    async def _limited(
        self, method: str, body: bytes, own_headers: Headers
    ) -> tuple[int, str | None, Message | None, str]:
        headers = [*self._dialect.headers(), *own_headers, *self._host, *credential_headers()]
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        async with (
            asyncio.timeout(max(0.0, self._until - time.monotonic())),
            self._http.stream(
                method, self._url, content=body, headers=encoded, extensions=self._extensions
            ) as response,
        ):
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            session_id = next((v for k, v in response.headers.raw if k.lower() == b"mcp-session-id"), None)
            message = await self._message(response, kind)
            return response.status_code, session_id.decode("latin-1") if session_id else None, message, kind

    async def _message(self, response: httpx.Response, kind: str) -> Message | None:
        """The JSON-RPC response, from a body or from a stream."""
        if kind == "text/event-stream":
            return await self._message_of_stream(response)
        if kind != "application/json":
            return None
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk[: _MOST_BYTES - len(body)]
        return parse_message(body)

    async def _message_of_stream(self, response: httpx.Response) -> Message | None:
        """The answer on a stream, which is given a moment to end so that the connection can be used again."""
        stream = EventStream()
        chunks = response.aiter_bytes()
        async for chunk in chunks:
            found = [m for m in map(parse_message, stream.feed(chunk)) if m is not None and "method" not in m]
            if found:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_STREAM_END_S):
                        async for _ in chunks:
                            pass
                return found[0]
        return None


def _what_it_sent(kind: str) -> str:
    if kind in ("application/json", "text/event-stream", ""):
        return ""
    return f" (it answered {kind}, which is not MCP; is this the server's MCP endpoint?)"


def server_name(host_header: str | None) -> dict[str, str]:
    """What httpx needs to know when a server is called otherwise than its proxy: for SNI, and for its certificate."""
    if host_header is None:
        return {}
    return {"sni_hostname": urlsplit(f"//{host_header}").hostname or host_header}


def _why(error: httpx.HTTPError) -> str:
    """What went wrong on the way to a server, and what to do where that is known."""
    text = str(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{text}. Where its certificate is from an authority of your own, name it in {CA_FILE}"
    if isinstance(error, httpx.RemoteProtocolError) and "illegal status line" in text and "\\x00" in text:
        return "it answers in HTTP/2 only, and this speaks HTTP/1.1; let it, or a proxy before it, accept both"
    if isinstance(error, httpx.RemoteProtocolError) and "illegal status line" in text:
        return f"it does not speak HTTP ({text}); is it TLS, and the URL http?"
    return text

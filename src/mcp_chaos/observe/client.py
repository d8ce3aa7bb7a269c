"""A realistic MCP client for readings: httpx, one fresh session, a total deadline."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import httpx

from mcp_chaos.errors import TargetError
from mcp_chaos.history import Reason
from mcp_chaos.mcp import DIALECTS, DialectError, Operation
from mcp_chaos.mcp.dialect import Message, error_text, parse_message
from mcp_chaos.mcp.event_stream import EventStream

_MOST_BYTES = 16 * 1024 * 1024


class McpClient:
    """One session with a server.

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
        self._host = {"Host": host_header} if host_header else {}
        self._http = httpx.Client(trust_env=False, follow_redirects=False)
        self._last_id = 0

    def __enter__(self) -> "McpClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._dialect.closing() and error is None:
                with self._answer("DELETE", b""):
                    pass
        except (TargetError, httpx.HTTPError):
            pass  # the reading was taken; a session that does not end cleanly is the server's to forget
        finally:
            self._http.close()

    def open(self) -> None:
        """Do the handshake.

        Raises:
            TargetError: the server is not there, or refuses; says how.
        """
        while (body := self._dialect.opening()) is not None:
            status, session_id, message, kind = self._post(body)
            try:
                self._dialect.opened(status, session_id, message)
            except DialectError as error:
                raise TargetError(f"{self._url} did not open an MCP session: {error}{_what_it_sent(kind)}.") from None

    def call(self, operation: Operation) -> Reason:
        """Call a tool and class the answer.

        Raises:
            TargetError: the server is not there, or did not answer in time.
        """
        self._last_id += 1
        status, _, message, _ = self._post(self._dialect.call_body(self._last_id, self._dialect.params_of(operation)))
        return self._dialect.judge(self._last_id, status, message)

    def list_tools(self) -> list[dict[str, Any]]:
        """The tools the server offers, its first page.

        Raises:
            TargetError: it does not list them.
        """
        self._last_id += 1
        body = b'{"jsonrpc":"2.0","id":%d,"method":"tools/list","params":{}}' % self._last_id
        status, _, message, kind = self._post(body)
        tools = ((message or {}).get("result") or {}).get("tools")
        if not isinstance(tools, list):
            said = error_text(message)
            raise TargetError(
                f"{self._url} did not list its tools: HTTP {status}{f', {said}' if said else ''}{_what_it_sent(kind)}."
            )
        return [tool for tool in tools if isinstance(tool, dict)]

    def _post(self, body: bytes) -> tuple[int, str | None, Message | None, str]:
        with self._answer("POST", body) as response:
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            return response.status_code, response.headers.get("mcp-session-id"), self._message(response, kind), kind

    @contextmanager
    def _answer(self, method: str, body: bytes) -> Iterator[httpx.Response]:
        """A response whose body is still to come. The deadline is for all of it: each wait gets what is left."""
        headers = {**dict(self._dialect.headers()), **self._host}
        try:
            with self._http.stream(
                method, self._url, content=body, headers=headers, timeout=self._left_s()
            ) as response:
                yield response
        except httpx.TimeoutException:
            raise TargetError(f"{self._url} did not answer within {self._deadline_s:g} s.") from None
        except httpx.InvalidURL as error:
            raise TargetError(f"{self._url} is not a URL that can be called: {error}.") from None
        except httpx.HTTPError as error:
            raise TargetError(f"{self._url} cannot be reached: {error or type(error).__name__}.") from None

    def _message(self, response: httpx.Response, kind: str) -> Message | None:
        """The JSON-RPC response, from a body or from a stream, which is not read further than to it."""
        if kind not in ("application/json", "text/event-stream"):
            return None
        stream, body = EventStream(), b""
        for chunk in response.iter_bytes():
            self._left_s()
            if kind == "text/event-stream":
                found = [m for m in map(parse_message, stream.feed(chunk)) if m is not None and "method" not in m]
                if found:
                    return found[0]
            elif len(body) <= _MOST_BYTES:
                body += chunk
        return parse_message(body)

    def _left_s(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TargetError(f"{self._url} did not answer within {self._deadline_s:g} s.")
        return left


def _what_it_sent(kind: str) -> str:
    if kind in ("application/json", "text/event-stream", ""):
        return ""
    return f" (it answered {kind}, which is not MCP; is this the server's MCP endpoint?)"

"""Requests of HTTP/1.1 as bytes, and how a connection is lost before one was answered."""

from typing import Any

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.context import Context
from mcp_chaos.load.spec import Target
from mcp_chaos.mcp import Dialect, GetRequest, McpCall
from mcp_chaos.mcp.dialect import Headers


class LostError(Exception):
    """The connection went away during a handshake."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.name)


class Requests:
    """The requests of one client. What is the same in many of them is made once.

    Args:
        engine: that has the credentials.
        dialect: of the client.

    Attributes:
        path: where messages go.
        encoded: what :meth:`encode` has made.
    """

    def __init__(self, engine: Context[Any], dialect: Dialect) -> None:
        self._engine = engine
        self._dialect = dialect
        self.path = engine.target.path
        self._head = b""
        self._head_version = -1
        self.encoded: dict[int, tuple[tuple[bytes, bytes], bytes]] = {}

    def forget_head(self) -> None:
        """Make the head anew: what is in it has changed."""
        self._head_version = -1

    def encode(self, index: int, call: McpCall) -> tuple[tuple[bytes, bytes], bytes]:
        """What is the same in every message of a call: its method and params, and the header lines it has besides."""
        own_headers = header_lines(self._dialect.call_headers(call))
        made = self.encoded[index] = self._dialect.params_of(call), own_headers
        return made

    def post(self, body: bytes, own_headers: bytes = b"") -> bytes:
        """A message as a request."""
        if self._head_version != self._dialect.headers_version:
            self._head_version = self._dialect.headers_version
            self._head = request_head("POST", self.path, self._engine.target, self._dialect) + self._engine.credentials
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, own_headers, len(body), body)

    def get(self, request: GetRequest) -> bytes:
        """A GET request."""
        host = self._engine.target.host_header.encode()
        head = request.page.encode(), host, self._engine.credentials
        return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % head

    def delete(self) -> bytes:
        """The request that ends a session."""
        target = self._engine.target
        head = request_head("DELETE", target.path, target, self._dialect)
        return b"%b%bContent-Length: 0\r\n\r\n" % (head, self._engine.credentials)


def request_head(method: str, path: str, target: Target, dialect: Dialect) -> bytes:
    """The head of a request, up to where headers of its own may follow."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {target.host_header}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n" + header_lines(dialect.headers())


def header_lines(headers: Headers) -> bytes:
    """Headers as lines of a request."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")

"""Requests of HTTP/1.1 as bytes, and how a connection is lost before one was answered."""

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.spec import Target
from mcp_chaos.mcp import Dialect
from mcp_chaos.mcp.dialect import Headers


class LostError(Exception):
    """The connection went away during a handshake."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.name)


def request_head(method: str, path: str, target: Target, dialect: Dialect) -> bytes:
    """The head of a request, up to where headers of its own may follow."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {target.host_header}"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n" + header_lines(dialect.headers())


def header_lines(headers: Headers) -> bytes:
    """Headers as lines of a request."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")

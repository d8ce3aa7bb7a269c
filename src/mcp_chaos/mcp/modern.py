"""The stateless era, 2026-07-28: no handshake and no session; every request says all that there is to know.

Source: modelcontextprotocol.io, specification 2026-07-28, basic/transports: the envelope in ``params._meta``, and the
headers ``Mcp-Method`` and ``Mcp-Name``, which have to agree with the body.
"""

import base64
from typing import Any

import orjson

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp.dialect import Dialect, Headers
from mcp_chaos.mcp.message import Message
from mcp_chaos.mcp.operation import McpCall
from mcp_chaos.mcp.streamable import judge_tool_result

PROTOCOL_VERSION = "2026-07-28"

_ENCODED = "=?base64?"
_PREFIX = "io.modelcontextprotocol/"


class Modern(Dialect):
    """The stateless era's transport."""

    name = "modern"

    def __init__(self, client_id: str = "mcp_chaos") -> None:
        super().__init__(client_id)
        self._meta = {
            f"{_PREFIX}protocolVersion": PROTOCOL_VERSION,
            f"{_PREFIX}clientCapabilities": {},
            f"{_PREFIX}clientInfo": {"name": client_id, "version": "1"},
        }

    def headers(self) -> Headers:
        """Content negotiation and version."""
        return [
            ("Content-Type", "application/json"),
            ("Accept", "application/json, text/event-stream"),
            ("MCP-Protocol-Version", PROTOCOL_VERSION),
        ]

    def headers_of(self, method: str, about: str = "") -> Headers:
        """The method, and what it is about."""
        return [("Mcp-Method", method), *([("Mcp-Name", header_value(about))] if about else [])]

    def opening(self) -> bytes | None:
        """No handshake."""
        return None

    def opened(self, status: int, session_id: str | None, message: Message | None) -> None:
        """No handshake, so nothing to take in."""

    def params_of(self, call: McpCall) -> tuple[bytes, bytes]:
        """The method, and its params with the envelope."""
        return orjson.dumps(call.method), orjson.dumps({**call.params, "_meta": self._meta})

    def list_params(self) -> bytes:
        """The envelope."""
        return orjson.dumps({"_meta": self._meta})

    def discover_body(self, call_id: int) -> bytes:
        """The body of ``server/discover``, which every server of this era answers."""
        return self.call_body(call_id, (b'"server/discover"', self.list_params()))

    def judge_result(self, result: Any) -> Reason:
        """As in the era before."""
        return judge_tool_result(result)


def header_value(text: str) -> str:
    """A name as the value of a header: as it is, or in base64 where a header could not carry it."""
    if text.isascii() and text.isprintable() and text == text.strip() and not text.startswith(_ENCODED):
        return text
    return f"{_ENCODED}{base64.b64encode(text.encode()).decode()}?="

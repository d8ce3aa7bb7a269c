"""The specification's own dialect: JSON-RPC over ``POST /mcp/tools/call``, the method being the tool's name.

There is no session: each request stands alone and carries ``_client_id``, by which the server limits rates.
"""

from typing import Any

import orjson

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp.dialect import Dialect, Headers
from mcp_chaos.mcp.message import Message
from mcp_chaos.mcp.operation import McpCall, ToolCall


class JsonRpc(Dialect):
    """The specification's dialect."""

    name = "jsonrpc"
    embedded_path = "/mcp/tools/call"
    known_by_path = "/tools/call"
    lists_tools = False

    def headers(self) -> Headers:
        """JSON both ways."""
        return [("Content-Type", "application/json"), ("Accept", "application/json")]

    def opening(self) -> bytes | None:
        """No handshake."""
        return None

    def opened(self, status: int, session_id: str | None, message: Message | None) -> None:
        """No handshake, so nothing to take in."""

    def params_of(self, call: McpCall) -> tuple[bytes, bytes]:
        """The tool as method, the client's id among its arguments."""
        arguments = call.arguments if isinstance(call, ToolCall) else {}
        return orjson.dumps(call.name), orjson.dumps({"_client_id": self.client_id, **arguments})

    def judge_result(self, result: Any) -> Reason:
        """Any result but null is an answer; ``isError`` is honoured where a server sends it."""
        if isinstance(result, dict) and result.get("isError") is True:
            return Reason.TOOL_ERROR
        return Reason.WRONG_ANSWER if result is None else Reason.OK

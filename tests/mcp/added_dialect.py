"""A dialect that does not come with the package: it is known to all of it as soon as it is imported."""

from typing import Any

import orjson

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import Dialect, McpCall
from mcp_chaos.mcp.dialect import Headers
from mcp_chaos.mcp.message import Message


class Added(Dialect):
    """The tool's name is a parameter of a method of its own, and its answer a number."""

    name = "added"
    known_by_path = "/added"
    lists_tools = False

    def headers(self) -> Headers:
        return [("Content-Type", "application/json"), ("X-Dialect", "added")]

    def opening(self) -> bytes | None:
        return None

    def opened(self, status: int, session_id: str | None, message: Message | None) -> None:
        """There is no handshake."""

    def params_of(self, call: McpCall) -> tuple[bytes, bytes]:
        return b'"added/call"', orjson.dumps([call.name])

    def judge_result(self, result: Any) -> Reason:
        return Reason.OK if isinstance(result, int) else Reason.WRONG_ANSWER

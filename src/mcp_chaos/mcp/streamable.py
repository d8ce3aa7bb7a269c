"""Streamable HTTP of the versions 2025-03-26 to 2025-11-25, stateful and stateless.

    NEW ──initialize──▶ OPENED ──notifications/initialized──▶ READY
     ▲                                                          │
     └── 404, or a 400 that names the session: session lost ────┘

A server that gives no session id is stateless: the same states without the header. Only a 200 answer to initialize
gives a session id; a 400 can carry a fresh one that the server never kept.
Source: modelcontextprotocol.io, specification 2025-11-25, basic/transports and basic/lifecycle.
"""

from enum import Enum
from typing import Any

import orjson

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp.dialect import Dialect, DialectError, Headers
from mcp_chaos.mcp.message import Message, error_text, is_answer, is_answer_to
from mcp_chaos.mcp.operation import McpCall

PROTOCOL_VERSION = "2025-11-25"
SPOKEN_VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")

_INITIALIZE_ID = 0
_NO_SUCH_METHOD = {"code": -32601, "message": "Method not found"}


class State(Enum):
    """Where a session is in its handshake."""

    NEW = "new"
    OPENED = "opened"
    READY = "ready"


class Streamable(Dialect):
    """The stateful era's official transport."""

    name = "streamable"
    renews_sessions = True
    proposed_version = PROTOCOL_VERSION
    spoken_versions: tuple[str, ...] = SPOKEN_VERSIONS

    def __init__(self, client_id: str = "mcp_chaos") -> None:
        super().__init__(client_id)
        self.state = State.NEW
        self.session_id: str | None = None
        self.version = self.proposed_version

    def headers(self) -> Headers:
        """Content negotiation always; version and session once they are known."""
        headers = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")]
        if self.state is not State.NEW:
            headers.append(("MCP-Protocol-Version", self.version))
            if self.session_id is not None:
                headers.append(("Mcp-Session-Id", self.session_id))
        return headers

    def opening(self) -> bytes | None:
        """initialize, then the initialized notification."""
        if self.state is State.NEW:
            return self._initialize()
        if self.state is State.OPENED:
            return orjson.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return None

    def opened(self, status: int, session_id: str | None, message: Message | None) -> None:
        """Take in the answer to initialize (200) or to the notification (202, or any 2xx)."""
        if self.state is State.NEW:
            self._take_initialize(status, session_id, message)
        elif 200 <= status < 300:
            self.state = State.READY
        else:
            reason = self.judge_status(status, message)
            self.forget()
            raise DialectError(reason, self._refusal("initialized", status, message))

    def params_of(self, call: McpCall) -> tuple[bytes, bytes]:
        """The method and its params."""
        return orjson.dumps(call.method), orjson.dumps(call.params)

    def cancellation(self, call_id: int) -> bytes | None:
        """The notification: to hang up is not to cancel in this era, and the server would work on for nobody."""
        if self.state is not State.READY:
            return None
        params = {"requestId": call_id, "reason": "timed out"}
        return orjson.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})

    def reply(self, message: Message) -> bytes | None:
        """A ping is answered, as it must be; for anything else there is no such method in this client."""
        if is_answer(message) or not isinstance(message.get("id"), int | str):
            return None
        said = {"result": {}} if message["method"] == "ping" else {"error": _NO_SUCH_METHOD}
        return orjson.dumps({"jsonrpc": "2.0", "id": message["id"], **said})

    def closing(self) -> bool:
        """A session with an id is ended by DELETE; 405 in answer is fine."""
        return self.state is State.READY and self.session_id is not None

    def forget(self) -> None:
        """Back to NEW."""
        self.state = State.NEW
        self.session_id = None
        self.headers_version += 1

    def judge_status(self, status: int, message: Message | None) -> Reason:
        """404 with a session, or a 400 that names the session, means that the session is lost."""
        names_session = status == 400 and "session" in error_text(message).lower()
        if self.session_id is not None and (status == 404 or names_session):
            return Reason.SESSION_LOST
        return super().judge_status(status, message)

    def judge_result(self, result: Any) -> Reason:
        """Class the result of ``tools/call``."""
        return judge_tool_result(result)

    def _initialize(self) -> bytes:
        params = {
            "protocolVersion": self.proposed_version,
            "capabilities": {},
            "clientInfo": {"name": self.client_id, "version": "1"},
        }
        return orjson.dumps({"jsonrpc": "2.0", "id": _INITIALIZE_ID, "method": "initialize", "params": params})

    def _take_initialize(self, status: int, session_id: str | None, message: Message | None) -> None:
        answered = message is not None and is_answer_to(_INITIALIZE_ID, message)
        result = message.get("result") if message is not None and answered else None
        if status != 200 or not isinstance(result, dict):
            is_error = status == 200 and answered and message is not None and "error" in message
            reason = Reason.RPC_ERROR if is_error else self.judge_status(status, message)
            raise DialectError(reason, self._refusal("initialize", status, message))
        version = result.get("protocolVersion")
        if version not in self.spoken_versions:
            raise DialectError(
                Reason.RPC_ERROR, f"the server speaks protocol version {version!r}, which this dialect does not"
            )
        self.version = version
        self.session_id = session_id
        self.state = State.OPENED
        self.headers_version += 1

    def _refusal(self, step: str, status: int, message: Message | None) -> str:
        said = error_text(message)
        return f"the server refused '{step}' with HTTP {status}" + (f": {said}" if said else "")


def judge_tool_result(result: Any) -> Reason:
    """A tool's result has a list of content and says by ``isError`` whether the tool failed."""
    if not isinstance(result, dict) or not isinstance(result.get("content"), list):
        return Reason.WRONG_ANSWER
    return Reason.TOOL_ERROR if result.get("isError") is True else Reason.OK

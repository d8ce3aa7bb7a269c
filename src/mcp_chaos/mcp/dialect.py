"""What every dialect has in common: the state of a session, how a call is asked, and how its answer is classed."""

from abc import ABC, abstractmethod
from enum import Enum
from typing import Any, ClassVar, NamedTuple

import orjson

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp.message import Message, is_answer_to, text_of
from mcp_chaos.mcp.operation import GetRequest, ListCall, McpCall, PromptGet, ResourceRead, ToolCall

Headers = list[tuple[str, str]]

_MAY_HAVE_HAPPENED = frozenset({500, 502, 504})
_WITH_ERRORS = (200, 400)
"""The HTTP statuses with which an error of JSON-RPC is the answer of a sound server."""
_PARTS_OF_RESULTS = {"tools/list": "tools", "resources/read": "contents", "prompts/get": "messages"}


class DialectError(Exception):
    """A handshake that failed.

    Args:
        reason: how the call that needed it is classed.
        text: what the server said, for people.
    """

    def __init__(self, reason: Reason, text: str) -> None:
        self.reason = reason
        super().__init__(text)


ANY_CALL = ToolCall("")
"""Stands for any call of a tool, where only the form of its answer matters."""


class Asked(NamedTuple):
    """A call as a message.

    Args:
        body: the JSON-RPC request.
        headers: that it has besides those of every request.
    """

    body: bytes
    headers: Headers


class TransportKind(Enum):
    """How the messages of a dialect travel."""

    POST = "each message is a POST, and its answer the response"
    SSE = "each message is a POST, and its answer an event of a stream that was opened first"
    WEBSOCKET = "each message is a frame"


DIALECTS: dict[str, "type[Dialect]"] = {}
"""Every dialect by the name a person gives it."""


class Dialect(ABC):
    """One client's side of a conversation: a state machine that is told what arrived and says what to send.

    A subclass with a name is registered in :data:`DIALECTS`; settings, loads, the observer and Locust then know it.

    Args:
        client_id: who is speaking; servers that limit rates per client go by it.
    """

    name: ClassVar[str]
    transport: ClassVar[TransportKind] = TransportKind.POST
    embedded_path: ClassVar[str] = "/mcp"
    """Where the embedded server speaks it; over WebSockets that is a setting."""

    known_by_path: ClassVar[str] = ""
    """How the path of a server ends that is known to speak it without being asked; empty where none is."""

    lists_tools: ClassVar[bool] = True
    """Whether a server can be asked which tools it has."""

    renews_sessions: ClassVar[bool] = False
    """Whether a session that is lost may be followed by another one, see :meth:`renews_after`."""

    def __init_subclass__(cls) -> None:
        if "name" in vars(cls):
            DIALECTS[cls.name] = cls

    def __init__(self, client_id: str = "mcp_chaos") -> None:
        self.client_id = client_id
        self.headers_version = 0

    @abstractmethod
    def headers(self) -> Headers:
        """The headers of the next request. They change only when ``headers_version`` does."""

    def headers_of(self, method: str, about: str = "") -> Headers:
        """Headers that a request has besides, for what it asks: a JSON-RPC method, and what it is about."""
        return []

    @abstractmethod
    def opening(self) -> bytes | None:
        """The body of the next request of the handshake, or ``None`` when calls can be made."""

    @abstractmethod
    def opened(self, status: int, session_id: str | None, message: Message | None) -> None:
        """Take in the answer to :meth:`opening`.

        Raises:
            DialectError: the server refused; the session is as new as before.
        """

    def opening_is_answered(self) -> bool:
        """Whether :meth:`opening` is a request; a notification without HTTP around it gets no answer."""
        return True

    @abstractmethod
    def params_of(self, call: McpCall) -> tuple[bytes, bytes]:
        """The JSON-RPC method and its params, encoded once per call and client."""

    def list_params(self) -> bytes:
        """The params of ``tools/list``."""
        return b"{}"

    def cancellation(self, call_id: int) -> bytes | None:
        """The body of the request that tells the server that nobody waits for a call any more.

        ``None`` where to hang up says so already.
        """
        return None

    def reply(self, message: Message) -> bytes | None:
        """The body of the answer to a message of the server's own; ``None`` where it asks for none.

        Servers of this dialect ask their clients nothing.
        """
        return None

    def closing(self) -> bool:
        """Whether a DELETE with :meth:`headers` ends the session properly."""
        return False

    def forget(self) -> None:  # noqa: B027  # a dialect without sessions has none to drop
        """Drop the session: the next call opens a new one."""

    def call_body(self, call_id: int, encoded: tuple[bytes, bytes]) -> bytes:
        """The body of a call, spliced from what :meth:`params_of` encoded."""
        method, params = encoded
        return b'{"jsonrpc":"2.0","id":%d,"method":%b,"params":%b}' % (call_id, method, params)

    def call_headers(self, call: McpCall) -> Headers:
        """The headers that a call has besides those of every request."""
        return self.headers_of(call.method, call.about)

    def ask(self, call_id: int, call: McpCall) -> Asked:
        """A call as a message; :meth:`judge` classes what is answered to it."""
        return Asked(self.call_body(call_id, self.params_of(call)), self.call_headers(call))

    def judge(self, call_id: int, status: int, message: Message | None, call: McpCall = ANY_CALL) -> Reason:
        """Class an answer: transport status first, then JSON-RPC, then the tool's own word, then what it says.

        A checker that reads HTTP alone takes ``isError`` for success, and one that ignores ids takes another
        caller's answer for its own.
        """
        if call.expect_error and status in _WITH_ERRORS:
            return judge_expected_error(call_id, message, call.expect_error)
        if status != 200:
            return self.judge_status(status, message)
        if message is None or not is_answer_to(call_id, message):
            return Reason.WRONG_ANSWER
        if "error" in message:
            return Reason.RPC_ERROR
        result = message.get("result")
        if not isinstance(call, ToolCall):
            reason = judge_method(result, call)
        else:
            reason = self.judge_result(result)
            if call.says_something and reason is Reason.OK and not text_of(result).strip():
                return Reason.WRONG_CONTENT
        expect = call.expect
        return Reason.WRONG_CONTENT if expect and reason is Reason.OK and expect not in text_of(result) else reason

    def renews_after(self, status: int) -> bool:
        """Whether a call whose session is lost is made again on a new one, once; the specification wants it for 404."""
        return status == 404 and self.renews_sessions

    def judge_get(self, status: int, body: bytes, request: GetRequest) -> Reason:
        """Class the answer to a GET request, which knows nothing of a session."""
        if status != 200:
            return Dialect.judge_status(self, status, None)
        return Reason.OK if request.expect.encode() in body else Reason.WRONG_CONTENT

    def judge_status(self, status: int, message: Message | None) -> Reason:
        """Class an HTTP status that is not 200."""
        if status == 429:
            return Reason.RATE_LIMITED
        if 200 <= status < 300:
            return Reason.WRONG_ANSWER  # it was taken, and what became of it was not said
        return Reason.SERVER_ERROR if status in _MAY_HAVE_HAPPENED else Reason.HTTP_ERROR

    @abstractmethod
    def judge_result(self, result: Any) -> Reason:
        """Class the ``result`` of a JSON-RPC response."""


def dialects_over(transport: TransportKind) -> tuple[str, ...]:
    """The names of the dialects whose messages travel so."""
    return tuple(name for name, dialect in DIALECTS.items() if dialect.transport is transport)


def dialect_of_path(path: str) -> str | None:
    """The name of the dialect that a server speaks at a path, where the path alone tells."""
    known = (
        name for name, dialect in DIALECTS.items() if dialect.known_by_path and path.endswith(dialect.known_by_path)
    )
    return next(known, None)


def judge_method(result: Any, call: ResourceRead | PromptGet | ListCall) -> Reason:
    """Class the result of a method: an object that has what was asked for; of ``tools/list``, one that names the tools.

    Only the first page is asked for: where there are more, it has to have some of the names, else all of them.
    """
    if not isinstance(result, dict):
        return Reason.WRONG_ANSWER
    part = _PARTS_OF_RESULTS.get(call.method)
    if part is not None and not isinstance(result.get(part), list):
        return Reason.WRONG_ANSWER
    if not isinstance(call, ListCall) or call.method != "tools/list":
        return Reason.OK
    names = {str(tool.get("name")) for tool in result["tools"] if isinstance(tool, dict)}
    missing = [name for name in call.offers if name not in names]
    few_enough = len(missing) < len(call.offers) if result.get("nextCursor") else not missing
    return Reason.OK if few_enough or not call.offers else Reason.WRONG_CONTENT


def judge_expected_error(call_id: int, message: Message | None, expected: str) -> Reason:
    """Class an answer that has to be an error, of JSON-RPC or of the tool, with a text in it."""
    if message is None or not is_answer_to(call_id, message):
        return Reason.WRONG_ANSWER
    result = message.get("result")
    if isinstance(result, dict) and result.get("isError") is True:
        said = text_of(result)
    elif "error" in message:
        said = orjson.dumps(message["error"]).decode()
    else:
        return Reason.WRONG_CONTENT
    return Reason.OK if expected in said else Reason.WRONG_CONTENT

"""What every dialect has in common: operations, the state of a session, and how an answer is classed."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from mcp_chaos.history.calls import Reason
from mcp_chaos.machine.printable import printable

Headers = list[tuple[str, str]]
Message = dict[str, Any]

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


@dataclass(frozen=True)
class Operation:
    """One call that a load may make: of a tool, a resource, a prompt, a list, or a page that is read beside MCP.

    Args:
        tool: the name of the tool; empty for anything else.
        arguments: what it is given, JSON; of a method, its params.
        weight: how often it is chosen, relative to the others.
        expect: a text that a good answer contains; empty when any will do.
        page: the path of a page such as ``/health``, read with GET; empty for anything else.
        says_something: whether a good answer has a text at all; an empty one is then not good.
        method: a JSON-RPC method such as ``tools/list`` or ``resources/read``; empty for anything else.
        offers: the names that a good list of tools has; empty where any will do.
        expect_error: a text that the error has which is the right answer; empty where an error is none.
    """

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    expect: str = ""
    page: str = ""
    method: str = ""
    says_something: bool = False
    offers: tuple[str, ...] = ()
    expect_error: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"GET {self.page}" if self.page else f"{self.method} {self.about}".strip() or self.tool

    @property
    def about(self) -> str:
        """What a request is about: the name of a tool or a prompt, the URI of a resource; empty for a list."""
        return self.tool or str(self.arguments.get("uri") or self.arguments.get("name") or "")

    @property
    def rpc_method(self) -> str:
        """The JSON-RPC method of a call that is no page."""
        return self.method or "tools/call"


ANY_CALL = Operation("")
"""Stands for any call of a tool, where only the form of its answer matters."""


class Dialect(ABC):
    """One client's side of a conversation: a state machine that is told what arrived and says what to send.

    Every request is a POST of :meth:`headers` and a body to the server's path, but for :meth:`closing`.

    Args:
        client_id: who is speaking; servers that limit rates per client go by it.
    """

    name: str
    renews_sessions = False
    """Whether HTTP 404 for a session asks for a new one, on which the call is made again."""

    def __init__(self, client_id: str = "mcp_chaos") -> None:
        self.client_id = client_id
        self.headers_version = 0

    @abstractmethod
    def headers(self) -> Headers:
        """The headers of the next request. They change only when ``headers_version`` does."""

    def headers_of(self, method: str, name: str = "") -> Headers:
        """Headers that a request has besides, for what it asks: a JSON-RPC method, and the name of a tool."""
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
    def params_of(self, operation: Operation) -> tuple[bytes, bytes]:
        """The JSON-RPC method and its params, encoded once per operation and client."""

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

    def judge(self, call_id: int, status: int, message: Message | None, operation: Operation = ANY_CALL) -> Reason:
        """Class an answer: transport status first, then JSON-RPC, then the tool's own word, then what it says.

        A checker that reads HTTP alone takes ``isError`` for success, and one that ignores ids takes another
        caller's answer for its own.
        """
        if operation.expect_error and status in _WITH_ERRORS:
            return judge_expected_error(call_id, message, operation.expect_error)
        if status != 200:
            return self.judge_status(status, message)
        if message is None or not is_answer_to(call_id, message):
            return Reason.WRONG_ANSWER
        if "error" in message:
            return Reason.RPC_ERROR
        result = message.get("result")
        reason = judge_list(result, operation) if operation.method else self.judge_result(result)
        if operation.says_something and reason is Reason.OK and not text_of(result).strip():
            return Reason.WRONG_CONTENT
        expect = operation.expect
        return Reason.WRONG_CONTENT if expect and reason is Reason.OK and expect not in text_of(result) else reason

    def judge_page(self, status: int, body: bytes, expect: str = "") -> Reason:
        """Class the answer to a GET of a page, which knows nothing of a session."""
        if status != 200:
            return Dialect.judge_status(self, status, None)
        return Reason.OK if expect.encode() in body else Reason.WRONG_CONTENT

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


def judge_list(result: Any, operation: Operation) -> Reason:
    """Class the result of a method: an object that has what was asked for; of ``tools/list``, one that names the tools.

    Only the first page is asked for: where there are more, it has to have some of the names, else all of them.
    """
    if not isinstance(result, dict):
        return Reason.WRONG_ANSWER
    part = _PARTS_OF_RESULTS.get(operation.method)
    if part is not None and not isinstance(result.get(part), list):
        return Reason.WRONG_ANSWER
    if operation.method != "tools/list":
        return Reason.OK
    tools = result["tools"]
    names = {str(tool.get("name")) for tool in tools if isinstance(tool, dict)}
    missing = [name for name in operation.offers if name not in names]
    few_enough = len(missing) < len(operation.offers) if result.get("nextCursor") else not missing
    return Reason.OK if few_enough or not operation.offers else Reason.WRONG_CONTENT


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


def parse_message(data: bytes) -> Message | None:
    """A JSON-RPC message, or ``None`` where there is none: not JSON, not UTF-8, not an object."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return message if isinstance(message, dict) else None


def is_answer_to(call_id: int, message: Message) -> bool:
    """Whether a message is a JSON-RPC response with this id; JSON's ``true`` and ``1.0`` are not 1."""
    found = message.get("id")
    return type(found) is int and found == call_id and message.get("jsonrpc") == "2.0"


def text_of(result: Any) -> str:
    """All that a result says: the text of its content and what is structured; a result of any other form as JSON."""
    content = result.get("content") if isinstance(result, dict) else None
    if not isinstance(content, list):
        return orjson.dumps(result).decode()
    said = [str(part["text"]) for part in content if isinstance(part, dict) and "text" in part]
    if "structuredContent" in result:
        said.append(orjson.dumps(result["structuredContent"]).decode())
    return "\n".join(said)


def error_text(message: Message | None) -> str:
    """What a JSON-RPC error says, shortened and fit for a terminal; empty when it says nothing."""
    error = (message or {}).get("error")
    text = error.get("message", "") if isinstance(error, dict) else error or ""
    return printable(str(text))[:200]

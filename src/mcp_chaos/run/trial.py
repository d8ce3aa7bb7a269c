"""Tries the calls that a load could make, each once in a session of its own, and keeps those that are answered well."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson

from mcp_chaos.config.credentials import redacted
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import TargetError
from mcp_chaos.history.calls import Reason
from mcp_chaos.machine.printable import printable
from mcp_chaos.mcp import ListCall, McpCall, PromptGet, ResourceRead, ToolCall
from mcp_chaos.mcp.message import error_text, text_of
from mcp_chaos.mcp.tools import stays_inside
from mcp_chaos.observe.advice import REPLICAS
from mcp_chaos.observe.client import McpClient
from mcp_chaos.workload.candidates import KnownValues, in_order, may_be_called, says_failure

DEADLINE_S = 10.0
_MAX_TRIED = 40
_MAX_SHOWN = 200
_LISTS = (("resources/list", "resources"), ("prompts/list", "prompts"))


@dataclass
class Tried:
    """What came of trying calls.

    Args:
        good: the calls that were answered well.
        passed_over: a sentence for each that was tried and was not, with what was sent and what was said.
        left_out: a sentence for each tool that was not tried.
        tools: that the server offers.
        took_s: how long the slowest good call took, with its session.
    """

    good: list[McpCall] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    took_s: float = 0.0


def try_calls(settings: Settings, url: str, at_most: int = _MAX_TRIED) -> Tried:
    """Try the tools that may be called; where a server has none, its resources, its prompts, and its lists.

    Tools that need nothing come first: what they return is given to those that need something.

    Args:
        settings: whose dialect is known.
        url: of the server itself.
        at_most: so many good calls are enough.

    Raises:
        TargetError: the server does not answer, or lists nothing.
    """
    return _Trial(settings, url, at_most).run()


def try_call(settings: Settings, url: str, operation: McpCall) -> Any:
    """Make one call in a session of its own.

    Returns:
        Its result.

    Raises:
        TargetError: it is not answered well; says what was sent, and what the server said.
    """
    called = f"'{printable(operation.name)}' with {sent(operation)}"
    with McpClient(url, settings.dialect, DEADLINE_S) as client:
        client.open()
        try:
            reason, message = client.answer_to(operation)
        except TargetError as error:
            raise TargetError(f"{called}: {error}") from None
    result = message.get("result")
    said_by_tool = isinstance(operation, ToolCall) and not operation.expect_error
    if reason is Reason.OK and not (said_by_tool and says_failure(result)):
        return result
    words = error_text(message) or ("" if result is None else redacted(printable(text_of(result))))
    said = f": {words[:_MAX_SHOWN]}" if words.strip() else ""
    what = "an answer that says that it failed" if reason is Reason.OK else reason.title
    hint = f" ({REPLICAS})" if reason is Reason.SESSION_LOST else ""
    raise TargetError(f"{called} got {what}{said}{hint}")


def sent(operation: McpCall) -> str:
    """The arguments of a call, as they are sent, shortened."""
    given = operation.arguments if isinstance(operation, ToolCall) else operation.params
    text = redacted(printable(orjson.dumps(given).decode()))
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


class _Trial:
    def __init__(self, settings: Settings, url: str, at_most: int) -> None:
        self._settings, self._url, self._at_most = settings, url, at_most
        self._allowed = settings.allowed_tools
        self._known = KnownValues()
        self._tried = Tried()
        self._left = _MAX_TRIED

    def run(self) -> Tried:
        listed: TargetError | None = None
        try:
            with McpClient(self._url, self._settings.dialect, DEADLINE_S) as client:
                client.open()
                self._tried.tools = client.list_tools()
        except TargetError as error:  # a server without tools may refuse to list them
            listed = error
        tools = [tool for tool in in_order(self._tried.tools, self._allowed) if self._is_candidate(tool)]
        simple = [tool for tool in tools if not _needs_something(tool)]
        self._try_tools(simple)
        if not self._is_enough:
            others = self._list_others()
            self._try_tools([tool for tool in tools if _needs_something(tool)])
            if not self._tried.tools:
                self._try_others(others)
                if not self._tried.good and listed is not None:
                    raise listed
        return self._tried

    @property
    def _is_enough(self) -> bool:
        return len(self._tried.good) >= self._at_most or self._left <= 0

    def _is_candidate(self, tool: Mapping[str, Any]) -> bool:
        if may_be_called(tool, self._allowed) and stays_inside(tool, self._allowed):
            return True
        why = self._known.call_of(tool, self._allowed)
        self._tried.left_out += [why] if isinstance(why, str) else []
        return False

    def _try_tools(self, tools: list[Mapping[str, Any]]) -> None:
        for tool in tools:
            if self._is_enough:
                return
            call = self._known.call_of(tool, self._allowed)
            if isinstance(call, str):
                self._tried.left_out.append(call)
            else:
                self._try(call)

    def _try(self, operation: McpCall) -> None:
        self._left -= 1
        began_s = time.monotonic()
        try:
            result = try_call(self._settings, self._url, operation)
        except TargetError as error:
            self._tried.passed_over.append(str(error))
            return
        self._tried.took_s = max(self._tried.took_s, time.monotonic() - began_s)
        self._tried.good.append(operation)
        self._known.learn(result, operation.tool if isinstance(operation, ToolCall) else "")

    def _list_others(self) -> dict[str, list[dict[str, Any]]]:
        """The resources and prompts of a server that has some, which are values for arguments too."""
        found: dict[str, list[dict[str, Any]]] = {}
        for method, part in _LISTS:
            with suppress(TargetError), McpClient(self._url, self._settings.dialect, DEADLINE_S) as client:
                client.open()
                found[part] = client.list_of(method, part)
        self._known.learn(found, "")
        return found

    def _try_others(self, others: Mapping[str, list[dict[str, Any]]]) -> None:
        calls: list[McpCall] = [
            ResourceRead(resource["uri"])
            for resource in others.get("resources", ())
            if isinstance(resource.get("uri"), str)
        ]
        for prompt in others.get("prompts", ()):
            needed = [one for one in prompt.get("arguments") or () if isinstance(one, dict) and one.get("required")]
            values = {str(one.get("name")): "test" for one in needed}
            if isinstance(prompt.get("name"), str):
                calls.append(PromptGet(prompt["name"], values))
        calls += [ListCall(method) for method, part in _LISTS if part in others]
        for call in calls:
            if not self._is_enough:
                self._try(call)


def _needs_something(tool: Mapping[str, Any]) -> bool:
    schema = tool.get("inputSchema")
    return isinstance(schema, dict) and bool(schema.get("required"))

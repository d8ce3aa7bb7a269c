"""What every dialect has in common."""

from typing import Any

import pytest

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import DIALECTS, GetRequest, ListCall, McpCall, PromptGet, ResourceRead, Streamable, ToolCall
from mcp_chaos.mcp.message import error_text, text_of
from mcp_chaos.mcp.tools import is_read_only


def answer(*texts: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text} for text in texts]
    return {"jsonrpc": "2.0", "id": 1, "result": {"content": content, **more}}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (answer("TEST_DB, OTHER"), Reason.OK),
        (answer("OTHER", "TEST_DB"), Reason.OK),
        (answer(structuredContent={"result": ["TEST_DB"]}), Reason.OK),
        (answer("OTHER"), Reason.WRONG_CONTENT),
        (answer(), Reason.WRONG_CONTENT),
        (answer("no TEST_DB", isError=True), Reason.TOOL_ERROR),
    ],
)
def test_an_answer_has_to_say_what_is_expected(message: dict[str, Any], reason: Reason) -> None:
    assert Streamable().judge(1, 200, message, ToolCall("x", expect="TEST_DB")) is reason


@pytest.mark.parametrize("name", DIALECTS)
def test_a_result_of_no_known_form_is_read_as_json(name: str) -> None:
    assert text_of(["TEST_DB"]) == '["TEST_DB"]'
    assert text_of({"content": [{"type": "image"}, 3]}) == ""
    assert DIALECTS[name]().params_of(ToolCall("x", {"a": 1}))


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b'{"status": "healthy"}', Reason.OK),
        (200, b"{}", Reason.WRONG_CONTENT),
        (200, b"\xff\xfe", Reason.WRONG_CONTENT),
        (404, b"", Reason.HTTP_ERROR),
        (429, b"", Reason.RATE_LIMITED),
        (500, b"", Reason.SERVER_ERROR),
        (204, b"", Reason.WRONG_ANSWER),
    ],
)
def test_pages_are_classed_without_a_session(status: int, body: bytes, reason: Reason) -> None:
    session = Streamable()
    session.opened(200, "a-session", {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-11-25"}})
    assert session.judge_get(status, body, GetRequest("/health", expect="healthy")) is reason


@pytest.mark.parametrize(
    ("tool", "reads"),
    [({"annotations": {"readOnlyHint": True}}, True), ({"annotations": {"readOnlyHint": "yes"}}, False), ({}, False)],
)
def test_only_a_plain_yes_makes_a_tool_read_only(tool: dict[str, Any], reads: bool) -> None:
    assert is_read_only(tool) is reads


def test_an_operation_is_called_by_its_tool_or_its_page() -> None:
    assert ToolCall("list_databases").name == "list_databases"
    assert GetRequest("/health").name == "GET /health"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"error": {"message": "no such\nVerdict: pass"}}, "no such Verdict: pass"),
        ({"error": "\x1b[2J\x9b31mred\x07"}, " [2J 31mred "),
        ({"error": {"message": "x" * 300}}, "x" * 200),
        ({"error": {"code": 3}}, ""),
        ({}, ""),
        (None, ""),
    ],
)
def test_what_an_error_says_is_one_line_for_a_terminal(message: dict[str, Any] | None, text: str) -> None:
    assert error_text(message) == text


def test_an_answer_that_has_to_say_something_is_not_good_when_it_is_empty() -> None:
    def judged(content: list[dict[str, str]]) -> Reason:
        answer = {"jsonrpc": "2.0", "id": 1, "result": {"content": content, "isError": False}}
        return DIALECTS["streamable"]().judge(1, 200, answer, ToolCall("x", says_something=True))

    assert judged([{"type": "text", "text": "a"}]) is Reason.OK
    assert judged([{"type": "text", "text": " "}]) is Reason.WRONG_CONTENT
    assert judged([]) is Reason.WRONG_CONTENT


@pytest.mark.parametrize(
    ("result", "offers", "reason"),
    [
        ({"tools": [{"name": "a"}, {"name": "b"}]}, ("a", "b"), Reason.OK),
        ({"tools": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}, ("a", "b"), Reason.OK),
        ({"tools": []}, (), Reason.OK),
        ({"tools": [{"name": "a"}], "nextCursor": "2"}, ("a", "b"), Reason.OK),
        ({"tools": [{"name": "c"}], "nextCursor": "2"}, ("a", "b"), Reason.WRONG_CONTENT),
        ({"tools": [{"name": "a"}]}, ("a", "b"), Reason.WRONG_CONTENT),
        ({"tools": []}, ("a",), Reason.WRONG_CONTENT),
        ({"tools": "a"}, (), Reason.WRONG_ANSWER),
        ({"content": []}, (), Reason.WRONG_ANSWER),
        ([], (), Reason.WRONG_ANSWER),
    ],
)
def test_a_list_of_tools_is_known_by_its_names(result: Any, offers: tuple[str, ...], reason: Reason) -> None:
    asked = ListCall("tools/list", offers=offers)
    assert Streamable().judge(1, 200, {"jsonrpc": "2.0", "id": 1, "result": result}, asked) is reason


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [
        (200, answer("no such order: 7", isError=True), Reason.OK),
        (200, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no such order"}}, Reason.OK),
        (400, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no such order"}}, Reason.OK),
        (200, answer("the database is gone", isError=True), Reason.WRONG_CONTENT),
        (200, answer("no such order"), Reason.WRONG_CONTENT),
        (200, {**answer("no such order", isError=True), "id": 2}, Reason.WRONG_ANSWER),
        (500, answer("no such order", isError=True), Reason.SERVER_ERROR),
        (400, None, Reason.WRONG_ANSWER),
    ],
)
def test_an_error_may_be_the_right_answer(status: int, message: Any, reason: Reason) -> None:
    assert Streamable().judge(1, status, message, ToolCall("x", expect_error="no such order")) is reason


@pytest.mark.parametrize(
    ("asked", "result", "reason"),
    [
        (ResourceRead("a"), {"contents": []}, Reason.OK),
        (ResourceRead("a"), {"content": []}, Reason.WRONG_ANSWER),
        (PromptGet("a"), {"messages": []}, Reason.OK),
        (PromptGet("a"), {}, Reason.WRONG_ANSWER),
        (ListCall("resources/list"), {}, Reason.OK),
    ],
)
def test_what_was_asked_for_has_to_be_there(asked: McpCall, result: Any, reason: Reason) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "result": result}
    assert Streamable().judge(1, 200, message, asked) is reason

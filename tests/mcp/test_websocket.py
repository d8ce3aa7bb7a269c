"""MCP over a WebSocket: the states of Streamable HTTP without HTTP."""

import json

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import ToolCall, WebSocket

OPENED = {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-11-25", "capabilities": {}}}


def test_a_connection_begins_with_initialize_and_a_notification_that_nobody_answers() -> None:
    session = WebSocket()
    assert json.loads(session.opening() or b"")["method"] == "initialize"
    assert session.opening_is_answered()
    session.opened(200, None, OPENED)
    assert json.loads(session.opening() or b"")["method"] == "notifications/initialized"
    assert not session.opening_is_answered()
    session.opened(200, None, None)
    assert session.opening() is None


def test_a_new_connection_begins_anew() -> None:
    session = WebSocket()
    session.opened(200, None, OPENED)
    session.opened(200, None, None)
    session.forget()
    assert json.loads(session.opening() or b"")["method"] == "initialize"


def test_there_are_no_headers_and_nothing_to_delete() -> None:
    session = WebSocket()
    assert session.headers() == []
    assert not session.closing()


def test_calls_are_those_of_the_official_protocol() -> None:
    session = WebSocket()
    body = json.loads(session.call_body(7, session.params_of(ToolCall("list_views", {"schema": "PUBLIC"}))))
    assert (body["id"], body["method"]) == (7, "tools/call")
    assert body["params"] == {"name": "list_views", "arguments": {"schema": "PUBLIC"}}
    good = {"jsonrpc": "2.0", "id": 7, "result": {"content": []}}
    assert session.judge(7, 200, good) is Reason.OK
    assert session.judge(8, 200, good) is Reason.WRONG_ANSWER

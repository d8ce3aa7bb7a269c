"""The specification's dialect."""

import json

import pytest

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import JsonRpc, ToolCall


def test_a_call_is_the_specifications() -> None:
    session = JsonRpc("client_7")
    body = session.call_body(3, session.params_of(ToolCall("list_views", {"database": "TEST_DB"})))
    assert json.loads(body) == {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "list_views",
        "params": {"_client_id": "client_7", "database": "TEST_DB"},
    }


def test_there_is_no_session() -> None:
    session = JsonRpc()
    session.opened(200, "ignored", None)
    session.forget()
    assert session.opening() is None
    assert not session.closing()
    assert dict(session.headers())["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"content": [], "isError": False}, Reason.OK),
        (["A", "B"], Reason.OK),
        ({"isError": True}, Reason.TOOL_ERROR),
        (None, Reason.WRONG_ANSWER),
    ],
)
def test_results_are_classed(result: object, reason: Reason) -> None:
    assert JsonRpc().judge(1, 200, {"jsonrpc": "2.0", "id": 1, "result": result}) is reason

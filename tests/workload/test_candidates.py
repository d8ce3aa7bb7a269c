"""What is known of a server's values, and which answers say that they failed."""

from typing import Any

import pytest

from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.candidates import KnownValues, says_failure


def text(said: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}]}


def tool(**properties: Any) -> dict[str, Any]:
    return {
        "name": "get",
        "annotations": {"readOnlyHint": True},
        "inputSchema": {"type": "object", "required": list(properties), "properties": properties},
    }


@pytest.mark.parametrize(
    ("source", "result", "properties", "arguments"),
    [
        ("list_orders", {"structuredContent": {"result": ["A1", "A2"]}}, {"order_id": {"type": "string"}}, "A1"),
        ("listOrders", text('[{"id": 7}]'), {"orderId": {"type": "integer"}}, 7),
        ("list_databases", text("main\nother"), {"database": {"type": "string"}}, "main"),
        ("search", text('{"repositories": [{"name": "x"}]}'), {"repository_name": {"type": "string"}}, "x"),
        ("", {"resources": [{"uri": "memo:///1"}]}, {"uri": {"type": "string"}}, "memo:///1"),
        ("list_orders", text('[{"id": 7}]'), {"order_id": {"type": "string"}}, "test"),
        ("list_orders", text('[{"id": "A1"}]'), {"order_id": {"type": "string", "default": "B"}}, "B"),
        ("list_roots", text("Roots:\n/srv/data"), {"path": {"type": "string"}}, "/srv/data"),
        ("", {}, {"zone": {"type": "string", "description": "IANA name (e.g., 'Europe/London')"}}, "Europe/London"),
        ("", {}, {"at": {"type": "string", "description": "24-hour time (HH:MM)"}}, "12:00"),
        ("list_orders", text('[{"id": "A1"}]'), {"customer": {"type": "string"}}, "test"),
    ],
)
def test_what_was_returned_is_used_where_the_schema_gives_nothing(
    source: str, result: Any, properties: dict[str, Any], arguments: Any
) -> None:
    known = KnownValues()
    known.learn(result, source)
    (name,) = properties
    assert known.call_of(tool(**properties), set()) == ToolCall("get", {name: arguments})


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        (text("Error: no"), True),
        (text("  failed to connect"), True),
        (text('{"error": "no"}'), True),
        (text('{"success": false}'), True),
        (text('{"status": 404}'), True),
        (text('{"error": null, "rows": []}'), False),
        (text("3 errors were found"), False),
        (text(""), False),
        ({"content": [], "structuredContent": {"status": "error"}}, True),
    ],
)
def test_an_answer_may_say_that_it_failed(said: Any, failed: bool) -> None:
    assert says_failure(said) is failed

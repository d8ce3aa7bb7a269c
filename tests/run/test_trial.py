"""Calls are tried before a load makes them: what fails is passed over, and what one returns is given to the next."""

import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import TargetError
from mcp_chaos.mcp import ToolCall
from mcp_chaos.run.trial import try_calls
from tests.conftest import Handler, read_request, serving

SETTINGS = replace(Settings.embedded_by_default(), auto_workload=True)
READS = {"readOnlyHint": True}
NONE = {"type": "object"}


def needing(name: str, kind: str = "string") -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"type": kind}}}


def tool(name: str, schema: Mapping[str, Any] = NONE) -> dict[str, Any]:
    return {"name": name, "annotations": READS, "inputSchema": schema}


def server(methods: Mapping[str, Callable[[dict[str, Any]], Any]]) -> Handler:
    """A stateless server of these methods; what a method raises is a JSON-RPC error."""

    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            message = json.loads(request.partition(b"\r\n\r\n")[2])
            method, answer = message["method"], {"jsonrpc": "2.0", "id": message.get("id")}
            if method == "initialize":
                answer["result"] = {"protocolVersion": "2025-11-25"}
            elif method in methods:
                answer["result"] = methods[method](message["params"])
            else:
                answer["error"] = {"code": -32601, "message": "Method not found"}
            body = json.dumps(answer).encode()
            status = "202 Accepted" if "id" not in message else "200 OK"
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            conn.sendall(head.encode() + body)

    return handle


def text(said: str, *, is_error: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": said}], "isError": is_error}


def shop(call: dict[str, Any]) -> dict[str, Any]:
    given = call["arguments"].get("order_id")
    if call["name"] == "list_orders":
        return text(json.dumps([{"id": "A1", "total": 3}, {"id": "A2"}]))
    if call["name"] == "get_order":
        return text("an order") if given == "A1" else text(f"no such order: {given}", is_error=True)
    return text("Error: the shop is closed")


def test_what_a_list_returns_is_given_to_the_next() -> None:
    tools = [tool("get_order", needing("order_id")), tool("list_orders"), tool("close")]
    with serving(server({"tools/list": lambda _: {"tools": tools}, "tools/call": shop})) as here:
        tried = try_calls(SETTINGS, f"http://127.0.0.1:{here.port}/mcp")
    assert tried.good == [ToolCall("list_orders"), ToolCall("get_order", {"order_id": "A1"})]
    assert tried.passed_over == [
        "'close' with {} got an answer that says that it failed: Error: the shop is closed",
    ]


def test_one_that_fails_is_told_with_what_was_sent_and_said() -> None:
    tools = [tool("get_order", needing("order_id"))]
    with serving(server({"tools/list": lambda _: {"tools": tools}, "tools/call": shop})) as here:
        tried = try_calls(SETTINGS, f"http://127.0.0.1:{here.port}/mcp")
    assert not tried.good
    assert tried.passed_over == ["""'get_order' with {"order_id":"test"} got tool error: no such order: test"""]


def test_a_server_without_tools_has_resources_prompts_and_lists() -> None:
    methods: dict[str, Callable[[dict[str, Any]], Any]] = {
        "resources/list": lambda _: {"resources": [{"uri": "memo://1"}]},
        "resources/read": lambda asked: {"contents": [{"uri": asked["uri"], "text": "x"}]},
        "prompts/list": lambda _: {"prompts": [{"name": "greet", "arguments": [{"name": "who", "required": True}]}]},
        "prompts/get": lambda asked: {"messages": [asked["arguments"]["who"]]},
    }
    with serving(server(methods)) as here:
        tried = try_calls(SETTINGS, f"http://127.0.0.1:{here.port}/mcp")
    assert [operation.name for operation in tried.good] == [
        "resources/read memo://1",
        "prompts/get greet",
        "resources/list",
        "prompts/list",
    ]


def test_a_server_that_has_nothing_is_told() -> None:
    with serving(server({})) as here, pytest.raises(TargetError, match="did not list its tools"):
        try_calls(SETTINGS, f"http://127.0.0.1:{here.port}/mcp")

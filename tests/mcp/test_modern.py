"""The stateless era against recorded answers of SDK 2.3."""

import base64
import json

import pytest

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import McpCall, Modern, PromptGet, ResourceRead, ToolCall
from mcp_chaos.mcp.modern import header_value
from tests.mcp.recordings import MODERN, answers, message_of

META = "io.modelcontextprotocol/"


def test_every_call_says_all_that_there_is_to_know() -> None:
    session = Modern("client_7")
    assert session.opening() is None
    body = json.loads(session.call_body(3, session.params_of(ToolCall("list_views", {"database": "DB1"}))))
    assert (body["jsonrpc"], body["id"], body["method"]) == ("2.0", 3, "tools/call")
    assert (body["params"]["name"], body["params"]["arguments"]) == ("list_views", {"database": "DB1"})
    assert body["params"]["_meta"] == {
        f"{META}protocolVersion": "2026-07-28",
        f"{META}clientCapabilities": {},
        f"{META}clientInfo": {"name": "client_7", "version": "1"},
    }
    headers = dict([*session.headers(), *session.headers_of("tools/call", "list_views")])
    assert headers["MCP-Protocol-Version"] == body["params"]["_meta"][f"{META}protocolVersion"]
    assert (headers["Mcp-Method"], headers["Mcp-Name"]) == ("tools/call", "list_views")
    assert "Mcp-Session-Id" not in headers


def test_a_list_has_no_name_and_the_same_envelope() -> None:
    session = Modern()
    assert session.headers_of("tools/list") == [("Mcp-Method", "tools/list")]
    assert json.loads(session.list_params())["_meta"][f"{META}protocolVersion"] == "2026-07-28"
    assert json.loads(session.discover_body(1))["method"] == "server/discover"


@pytest.mark.parametrize("name", MODERN)
@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("call ok", Reason.OK),
        ("call unknown", Reason.TOOL_ERROR),
        ("call bad args", Reason.TOOL_ERROR),
        ("call raises", Reason.TOOL_ERROR),
        ("no Mcp-Name", Reason.HTTP_ERROR),
        ("unsupported both", Reason.HTTP_ERROR),
        ("unknown method", Reason.HTTP_ERROR),
        ("malformed", Reason.HTTP_ERROR),
    ],
)
def test_recorded_answers_are_classed(name: str, title: str, reason: Reason) -> None:
    answer = answers(name)[title]
    assert Modern().judge(1, answer.status, message_of(answer)) is reason


@pytest.mark.parametrize("name", ["list_databases", "a b", "x" * 200])
def test_a_name_that_a_header_can_carry_stays_as_it_is(name: str) -> None:
    assert header_value(name) == name


@pytest.mark.parametrize("name", ["número", " edge", "a\r\nHost: evil", "=?base64?eA==?=", "\x7f"])
def test_any_other_name_goes_in_base64(name: str) -> None:
    encoded = header_value(name)
    assert encoded.isascii()
    assert base64.b64decode(encoded.removeprefix("=?base64?").removesuffix("?=")).decode() == name


def test_a_resource_and_a_prompt_are_named_in_the_header() -> None:
    session = Modern()
    named: dict[str, McpCall] = {"memo://1": ResourceRead("memo://1"), "greet": PromptGet("greet")}
    for name, operation in named.items():
        asked = session.ask(3, operation)
        body = json.loads(asked.body)
        assert body["method"] == operation.method
        assert body["params"].items() >= operation.params.items()
        assert "_meta" in body["params"]
        assert ("Mcp-Name", name) in asked.headers

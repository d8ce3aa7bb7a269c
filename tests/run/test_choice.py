"""What the load calls is chosen from what the server offers, and only reads unless a person allows more."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.mcp import ListCall, ToolCall
from mcp_chaos.run.choice import check_workload, choose_workload
from mcp_chaos.workload.workload import Workload
from tests.conftest import serving
from tests.servers import tools_server

NOW = {"name": "now", "annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}
DROP = {"name": "drop", "inputSchema": {"type": "object"}}
ADD = {
    "name": "add",
    "annotations": {"readOnlyHint": True},
    "inputSchema": {"required": ["a"], "properties": {"a": {"type": "integer"}}},
}
REACHING = {"name": "search", "annotations": {"readOnlyHint": True, "openWorldHint": True}, "inputSchema": {}}
LIST = {"name": "list_databases", "inputSchema": {"type": "object"}}

SETTINGS = Settings.embedded_by_default()


@pytest.fixture
def url() -> Iterator[Callable[..., str]]:
    """Starts a server with some tools; where it is."""
    servers = []

    def start(*tools: object) -> str:
        servers.append(serving(tools_server(list(tools))))
        return f"http://127.0.0.1:{servers[-1].__enter__().port}/mcp"

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def test_one_tool_that_only_reads_is_chosen(url: Callable[..., str]) -> None:
    assert choose_workload(SETTINGS, url(DROP, NOW), print).tools == ("now",)


def test_auto_leaves_out_what_may_change_something(url: Callable[..., str]) -> None:
    told: list[str] = []
    assert choose_workload(replace(SETTINGS, auto_workload=True), url(DROP, NOW), told.append).tools == ("now",)
    assert told == ["Not called: 'drop' is not marked as read-only (annotations.readOnlyHint)"]


def test_a_workload_that_was_given_is_taken(url: Callable[..., str]) -> None:
    given = Workload.of(ToolCall("drop"))
    assert choose_workload(replace(SETTINGS, workload=given), url(DROP), print) is given


@pytest.mark.parametrize("allowed", [{"drop"}, {"*"}])
def test_a_tool_that_may_change_something_is_called_when_it_is_allowed(
    url: Callable[..., str], allowed: set[str]
) -> None:
    workload, where = Workload.of(ToolCall("drop"), ToolCall("now")), url(DROP, NOW)
    with pytest.raises(UsageError, match="MCP_CHAOS_ALLOW_TOOLS=drop"):
        check_workload(SETTINGS, where, workload)
    check_workload(replace(SETTINGS, allowed_tools=frozenset(allowed)), where, workload)


def test_the_name_of_a_tool_is_no_promise(url: Callable[..., str]) -> None:
    assert choose_workload(SETTINGS, url(LIST, NOW), print).tools == ("now",)
    with pytest.raises(UsageError, match="does not say of 'list_databases'"):
        check_workload(SETTINGS, url(LIST), Workload.of(ToolCall("list_databases")))


@pytest.mark.parametrize(
    ("tools", "changes", "chosen"),
    [
        ([DROP, ADD, NOW], {}, "now"),
        ([DROP, ADD], {}, "add"),
        ([DROP, NOW], {"tool": "drop"}, "drop"),
        ([DROP], {"allowed_tools": frozenset({"drop"})}, "drop"),
        ([DROP, NOW], {"allowed_tools": frozenset({"drop"})}, "now"),
        ([REACHING, {**REACHING, "name": "list_databases"}, NOW], {}, "now"),
        ([REACHING, NOW], {"tool": "search"}, "search"),
        ([REACHING], {"allowed_tools": frozenset({"search"})}, "search"),
    ],
)
def test_the_call_to_make_is_chosen(
    url: Callable[..., str], tools: list[object], changes: dict[str, Any], chosen: str
) -> None:
    assert choose_workload(replace(SETTINGS, **changes), url(*tools), print).tools == (chosen,)


@pytest.mark.parametrize(
    ("tools", "tool", "said"),
    [
        ([DROP], "", r"'drop' is not marked as read-only[\s\S]*MCP_TOOL"),
        ([], "", "it offers no tool, resource or prompt"),
        ([REACHING], "", r"reaching third parties"),
        ([REACHING], "", r"MCP_CHAOS_ALLOW_TOOLS=search"),
        ([DROP], "nope", r"does not offer the tool 'nope' \(MCP_TOOL\); it offers drop"),
        ([1, "x"], "", "it offers no tool"),
    ],
)
def test_without_a_call_to_make_it_says_what_to_do(
    url: Callable[..., str], tools: list[object], tool: str, said: str
) -> None:
    with pytest.raises(TargetError, match=said):
        choose_workload(replace(SETTINGS, tool=tool), url(*tools), print)


def test_a_tool_that_is_not_offered_is_named(url: Callable[..., str]) -> None:
    with pytest.raises(TargetError, match="does not offer the tool 'gone'"):
        check_workload(SETTINGS, url(NOW), Workload.of(ToolCall("gone")))


def test_lists_of_tools_know_what_they_have_to_name(url: Callable[..., str]) -> None:
    workload = Workload.of(ToolCall("now"), ListCall())
    checked = check_workload(SETTINGS, url(NOW, DROP), workload)
    assert checked.operations == (ToolCall("now"), ListCall(offers=("now", "drop")))
    assert Workload.from_json(asdict(checked)) == checked


def test_the_specifications_dialect_has_three_tools_and_no_list() -> None:
    settings = replace(SETTINGS, dialect="jsonrpc")
    check_workload(settings, "http://127.0.0.1:1/", Workload.of(ToolCall("list_views"), ToolCall("execute_query")))
    with pytest.raises(UsageError, match="does not say of 'drop_views'"):
        check_workload(settings, "http://127.0.0.1:1/", Workload.of(ToolCall("drop_views")))
    assert choose_workload(settings, "http://nowhere", print).tools == ("list_databases",)
    named = replace(settings, tool="x", arguments={"a": 1})
    assert choose_workload(named, "http://nowhere", print).operations == (ToolCall("x", {"a": 1}),)
    with pytest.raises(UsageError, match="has no list of tools"):
        choose_workload(replace(settings, auto_workload=True), "http://127.0.0.1:1/", print)

"""What the load calls is chosen from what the server offers, and only reads unless a person allows more."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

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
    where = url(LIST)
    with pytest.raises(UsageError, match="does not say of 'list_databases'"):
        check_workload(SETTINGS, where, choose_workload(SETTINGS, where, print))


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
    with pytest.raises(UsageError, match="has no list of tools"):
        choose_workload(replace(settings, auto_workload=True), "http://127.0.0.1:1/", print)

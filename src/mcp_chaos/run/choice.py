"""What the load calls: chosen from what the server offers, kept to tools that only read unless a person allows more."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.machine.printable import printable
from mcp_chaos.mcp import DIALECTS, ListCall, Operation, ToolCall
from mcp_chaos.mcp.tools import is_read_only, stays_inside
from mcp_chaos.observe.target import check_offered, choose_operation, list_tools
from mcp_chaos.workload.auto import auto_workload
from mcp_chaos.workload.workload import Workload

DEADLINE_S = 10.0
_LIST = "tools/list"
_SPECIFIED_TOOLS = ("list_databases", "list_views", "execute_query")
"""The tools of the specification's dialect, which has no list of them: all they do is read."""


def choose_workload(settings: Settings, url: str, say: Callable[[str], None]) -> Workload:
    """The workload that was given, or one made from the server's tools, or one call that is known to be harmless.

    Args:
        settings: whose dialect is known.
        url: of the server itself.
        say: told which tools are left out, and why.

    Raises:
        TargetError: the server does not list its tools, or offers none that can be called.
        UsageError: nothing can be chosen in this dialect.
    """
    if settings.workload is not None:
        return settings.workload
    if not settings.auto_workload:
        return Workload.of(
            choose_operation(
                url, settings.dialect, settings.tool, settings.arguments, DEADLINE_S, settings.allowed_tools
            ),
        )
    if not DIALECTS[settings.dialect].lists_tools:
        raise UsageError(f"MCP_WORKLOAD=auto: the dialect '{settings.dialect}' has no list of tools to choose from.")
    workload, left_out = auto_workload(list_tools(url, settings.dialect, DEADLINE_S), settings.allowed_tools)
    for sentence in left_out:
        say(f"Not called: {sentence}")
    return workload


def check_workload(settings: Settings, url: str, workload: Workload) -> Workload:
    """Check that the server offers the tools of a workload, and says of each that it only reads.

    Returns:
        The workload, whose lists of tools know the names that they have to have.

    Raises:
        TargetError: it does not answer, or offers not all of them.
        UsageError: a tool may change something, and nobody has allowed it by name.
    """
    if not DIALECTS[settings.dialect].lists_tools:
        methods = sorted({call.method for call in workload.operations if isinstance(call, ListCall)})
        if methods:
            raise UsageError(f"The dialect '{settings.dialect}' has no {', '.join(methods)}. Nothing was started.")
        known, checked = set(_SPECIFIED_TOOLS), workload
    else:
        offered = list_tools(url, settings.dialect, DEADLINE_S)
        check_offered(url, offered, workload.tools, "the workload")
        known, checked = set(only_reading(offered)), _knowing(workload, offered)
    unknown = [tool for tool in workload.tools if tool not in known and not {tool, "*"} & settings.allowed_tools]
    if unknown:
        raise UsageError(
            f"{url} does not say of {', '.join(map(repr, unknown))} that calling it changes nothing "
            "(annotations.readOnlyHint), and a load calls it again and again. If it is harmless, or the server is "
            f"there to be broken, allow it by name: MCP_CHAOS_ALLOW_TOOLS={printable(','.join(unknown))}. "
            "Nothing was started."
        )
    return checked


def _knowing(workload: Workload, offered: Iterable[Mapping[str, Any]]) -> Workload:
    """A workload whose calls of ``tools/list`` know what is offered."""
    names = tuple(str(tool.get("name")) for tool in offered)
    kinds = [replace(kind, operations=tuple(_offering(names, o) for o in kind.operations)) for kind in workload.kinds]
    return Workload(tuple(kinds))


def _offering(names: tuple[str, ...], operation: Operation) -> Operation:
    if isinstance(operation, ListCall) and operation.method == _LIST:
        return replace(operation, offers=names)
    return operation


def callable_tools(settings: Settings, url: str) -> list[tuple[Mapping[str, Any], ToolCall]]:
    """The tools that may be called (only reading and closed to third parties, or allowed), each with a call of it.

    Raises:
        TargetError: the server does not list its tools.
    """
    found: list[tuple[Mapping[str, Any], ToolCall]] = []
    for tool in list_tools(url, settings.dialect, DEADLINE_S):
        name = str(tool.get("name"))
        may_be_called = is_read_only(tool) or bool({name, "*"} & settings.allowed_tools)
        if may_be_called and stays_inside(tool, settings.allowed_tools):
            with suppress(TargetError):  # its arguments cannot be made from its schema
                workload, _ = auto_workload([{**tool, "annotations": {"readOnlyHint": True}}])
                found.append((tool, workload.tool_calls[0]))
    return found


def only_reading(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of those tools of which a server says that they change nothing."""
    return [str(tool.get("name")) for tool in tools if is_read_only(tool)]

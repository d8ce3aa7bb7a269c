"""What the load calls: chosen from what the server offers, kept to tools that only read unless a person allows more."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.machine.printable import printable
from mcp_chaos.mcp import DIALECTS, ListCall, Operation, ToolCall
from mcp_chaos.mcp.tools import is_read_only, stays_inside
from mcp_chaos.observe.advice import shown
from mcp_chaos.observe.target import check_offered, list_tools
from mcp_chaos.run.trial import DEADLINE_S, Tried, try_calls
from mcp_chaos.workload.candidates import KnownValues, may_be_called
from mcp_chaos.workload.file import AUTO
from mcp_chaos.workload.workload import UserKind, Workload

_LIST = "tools/list"
_SPECIFIED_TOOLS = ("list_databases", "list_views", "execute_query")
"""The tools of the specification's dialect, which has no list of them: all they do is read."""


class NothingToCallError(TargetError):
    """Nothing that may be called is answered well.

    Args:
        server: what it is called.
        tried: what came of trying.
    """

    def __init__(self, server: str, tried: Tried) -> None:
        self.tried = tried
        why = [*tried.passed_over, *tried.left_out] or ["it offers no tool, resource or prompt"]
        super().__init__(
            "\n  - ".join([f"{server} offers nothing that can be called without knowing it:", *why])
            + "\nName a tool in MCP_TOOL (--tool) with its arguments in MCP_ARGUMENTS (--arguments); allow tools that "
            "are harmless, or there to be broken, by name in MCP_CHAOS_ALLOW_TOOLS (--allow); or write a workload "
            "(MCP_WORKLOAD), of which mcp-chaos try writes a draft."
        )


def choose_workload(settings: Settings, url: str, say: Callable[[str], None]) -> Workload:
    """The workload or the tool that was given, or calls that the server answers well: all of them, or the first.

    Args:
        settings: whose dialect is known.
        url: of the server itself.
        say: told which calls are passed over, and why.

    Raises:
        NothingToCallError: nothing that may be called is answered well.
        TargetError: the server does not answer, or lists nothing.
        UsageError: nothing can be chosen in this dialect.
    """
    if settings.workload is not None:
        return settings.workload
    if not DIALECTS[settings.dialect].lists_tools:
        if settings.auto_workload:
            raise UsageError(
                f"MCP_WORKLOAD=auto: the dialect '{settings.dialect}' has no list of tools to choose from."
            )
        return Workload.of(ToolCall(settings.tool or _SPECIFIED_TOOLS[0], settings.arguments))
    if settings.tool:
        return Workload.of(_named(settings, url))
    tried = try_calls(settings, url) if settings.auto_workload else try_calls(settings, url, at_most=1)
    for sentence in (*tried.passed_over, *(tried.left_out if settings.auto_workload and tried.good else ())):
        say(f"Not called: {sentence}")
    if not tried.good:
        server = f"The stdio server {settings.program}" if settings.command else shown(url)
        raise NothingToCallError(server, tried)
    return Workload((UserKind(AUTO, tuple(tried.good)),))


def _named(settings: Settings, url: str) -> ToolCall:
    """The call of the tool that a person named; what it needs is made from its schema where nothing was given."""
    offered = list_tools(url, settings.dialect, DEADLINE_S)
    check_offered(url, offered, [settings.tool], "MCP_TOOL")
    tool = next(tool for tool in offered if tool.get("name") == settings.tool)
    made = None if settings.arguments else KnownValues().call_of(tool, {settings.tool})
    return made if isinstance(made, ToolCall) else ToolCall(settings.tool, settings.arguments)


def check_workload(settings: Settings, url: str, workload: Workload) -> Workload:
    """Check that the server offers the tools of a workload, and says of each that it only reads.

    Returns:
        The workload, whose lists of tools know the names that they have to have.

    Raises:
        TargetError: it does not answer, or offers not all of them.
        UsageError: a tool may change something, and nobody has allowed it by name.
    """
    if not DIALECTS[settings.dialect].lists_tools:
        methods = sorted({call.method for call in workload.mcp_calls if not isinstance(call, ToolCall)})
        if methods:
            raise UsageError(f"The dialect '{settings.dialect}' has no {', '.join(methods)}. Nothing was started.")
        known, checked = set(_SPECIFIED_TOOLS), workload
    elif not workload.tools and not any(call.method == _LIST for call in workload.mcp_calls):
        return workload
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
        if may_be_called(tool, settings.allowed_tools) and stays_inside(tool, settings.allowed_tools):
            call = KnownValues().call_of(tool, settings.allowed_tools)
            if isinstance(call, ToolCall):
                found.append((tool, call))
    return found


def only_reading(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of those tools of which a server says that they change nothing."""
    return [str(tool.get("name")) for tool in tools if is_read_only(tool)]

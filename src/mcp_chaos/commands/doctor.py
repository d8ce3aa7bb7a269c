"""``mcp-chaos doctor``: looks at all that a run needs, changes nothing, and says of each thing whether it is well."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from mcp_chaos.config.settings import Settings, resolve
from mcp_chaos.errors import McpChaosError, UsageError
from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.toxiproxy import ProxyState, ToxiproxyServer
from mcp_chaos.mcp import DIALECTS, McpCall, TransportKind
from mcp_chaos.mcp.tools import is_read_only, stays_inside
from mcp_chaos.observe.advice import shown
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.server_process import listening_process
from mcp_chaos.observe.target import list_tools
from mcp_chaos.run.choice import check_workload, choose_workload, only_reading
from mcp_chaos.run.preconditions import machine_problems
from mcp_chaos.run.proxies import CONTROL_PROXY, FAULTED_PROXY
from mcp_chaos.run.reachable import reachable
from mcp_chaos.run.trial import try_call

OK = "ok"
WARN = "warn"
FAIL = "fail"

_DEADLINE_S = 10.0
_MAX_CALLS = 20
_SLOW_S = 1.0
_NAPS = 40
_NAP_S = 0.005
_LATE_MS = 5.0
_FEW_FILES = 4096
_NO_BACKEND = "none to a backend: for one, lead the server to it through your own Toxiproxy (TOXIPROXY_URL)"
_LAB = ("mcp", "fakesnow", "snowflake")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: of it.
        status: ``ok``, ``warn`` or ``fail``.
        found: what was found.
        advice: what to do; empty when there is nothing.
    """

    name: str
    status: str
    found: str
    advice: str = ""


def examine(configuration: dict[str, Any]) -> Iterator[Check]:
    """Look at everything, one thing after the other.

    Args:
        configuration: settings that win over the environment.
    """
    try:
        settings = resolve(configuration)
    except UsageError as error:
        for problem in error.problems:
            yield Check("settings", FAIL, problem)
        return
    problems = machine_problems(settings)
    for problem in problems:
        yield Check("settings", FAIL, problem)
    if problems:
        return
    yield Check("settings", OK, "they can be used")
    yield from _target(settings) if not settings.embedded else _lab()
    yield from _toxiproxy(settings)
    yield from _machine(settings)


def _target(settings: Settings) -> Iterator[Check]:
    with ExitStack() as stack:
        try:
            there = stack.enter_context(reachable(settings))
        except McpChaosError as error:
            yield Check("target", FAIL, str(error), "see that it runs, and that MCP_URL is its MCP endpoint")
            return
        yield from _server(there)


def _server(settings: Settings) -> Iterator[Check]:
    url = settings.mcp_url or ""
    name = f"the stdio server {settings.program}" if settings.command else shown(url)
    yield Check("target", OK, f"{name} speaks the dialect '{settings.dialect}'")
    if not DIALECTS[settings.dialect].lists_tools:
        yield from _calls(settings)
        return
    try:
        began = time.monotonic()
        found = _sessions(settings)
        slow = time.monotonic() - began > _SLOW_S
        advice = (
            "its clients wait so long before their first call; give calls more time: call_deadline_s" if slow else ""
        )
        yield Check("sessions", WARN if slow else OK, found, advice)
    except McpChaosError as error:
        yield Check("sessions", FAIL, str(error))
        return
    try:
        tools = list_tools(url, settings.dialect, _DEADLINE_S)
    except McpChaosError as error:  # a server may have resources and prompts only
        yield Check("tools", WARN, str(error))
        yield from _calls(settings)
        return
    reading = only_reading(tools)
    names = ", ".join(f"{tool.get('name')}{_warnings(tool, settings)}" for tool in tools)
    few = "" if reading else "mark what only reads (readOnlyHint), or allow tools by name: MCP_CHAOS_ALLOW_TOOLS"
    yield Check("tools", OK if reading else WARN, names or "none", few)
    yield from _calls(settings)
    if settings.dialect == "modern" and not settings.command:
        yield Check("versions", OK, _other_version(settings))
    if not settings.command:
        yield _process(settings)


def _other_version(settings: Settings) -> str:
    """Whether a server of the stateless version speaks those with sessions too."""
    try:
        with McpClient(settings.mcp_url or "", "streamable", _DEADLINE_S) as client:
            client.open()
    except McpChaosError:
        return "it speaks no version with sessions"
    return "it speaks those with sessions too; MCP_DIALECT=streamable tests them"


def _process(settings: Settings) -> Check:
    """Whether the process can be seen, whose memory and descriptors some experiments look at."""
    where = urlsplit(settings.mcp_url or "")
    port = where.port or (443 if settings.tls else 80)
    process = listening_process(port, where.hostname or "")
    if process is None:
        return Check("process", OK, "it cannot be seen from here, so what it holds is not judged")
    return Check("process", OK, f"{process.pid}; MCP_SERVER_PID={process.pid} allows to pause and kill it")


def _warnings(tool: Mapping[str, Any], settings: Settings) -> str:
    said = [] if is_read_only(tool) else ["may change something"]
    said += [] if stays_inside(tool, settings.allowed_tools) else ["reaches third parties"]
    return f" ({', '.join(said)})" if said else ""


def _sessions(settings: Settings) -> str:
    began = time.monotonic()
    with McpClient(settings.mcp_url or "", settings.dialect, _DEADLINE_S) as client:
        client.open()
        took = f", opened in {(time.monotonic() - began) * 1e3:.0f} ms"
        if DIALECTS[settings.dialect].transport is not TransportKind.POST:
            return f"a session lasts as long as its connection{took}"
        return f"it keeps sessions{took}" if client.has_session else "it keeps none"


def _calls(settings: Settings) -> Iterator[Check]:
    """What a load would call, and each of these calls."""
    url, said = settings.mcp_url or "", list[str]()
    try:
        workload = check_workload(settings, url, choose_workload(settings, url, said.append))
    except McpChaosError as error:
        yield Check("workload", FAIL, str(error))
        return
    yield Check("workload", OK, "; ".join([f"calls {', '.join(workload.calls)}", *said]))
    calls = workload.mcp_calls
    for operation in calls[:_MAX_CALLS]:
        yield _attempt("call", partial(_call, settings, operation))
    if len(calls) > _MAX_CALLS:
        yield Check("call", OK, f"{len(calls) - _MAX_CALLS} more calls of the workload were not tried")


def _call(settings: Settings, operation: McpCall) -> str:
    began = time.monotonic()
    try_call(settings, settings.mcp_url or "", operation)
    return f"a fresh session called {operation.name} in {(time.monotonic() - began) * 1e3:.0f} ms"


def _lab() -> Iterator[Check]:
    missing = [name for name in _LAB if find_spec(name) is None]
    if missing:
        advice = "pip install 'chaostoolkit-mcp[lab]', or set MCP_URL to use your own server"
        yield Check("target", FAIL, f"the embedded server needs {', '.join(missing)}", advice)
    else:
        yield Check("target", OK, "the embedded reference server and its warehouse (MCP_URL is not set)")


def _toxiproxy(settings: Settings) -> Iterator[Check]:
    if settings.toxiproxy_url is None:
        yield _own_toxiproxy()
        if settings.embedded:
            yield Check("lanes", OK, "clients to server, faulted and control; server to warehouse")
        else:
            yield Check("lanes", OK, f"clients to server, faulted and control; {_NO_BACKEND}")
        return
    try:
        server = ToxiproxyServer(settings.toxiproxy_url)
        version, proxies = server.version(), server.proxies()
    except McpChaosError as error:
        yield Check("toxiproxy", FAIL, str(error))
        return
    yield _others_toxiproxy(server, version, proxies)
    others = [name for name in proxies if name not in (FAULTED_PROXY, CONTROL_PROXY)]
    beside = f"besides those of {', '.join(others)}" if others else _NO_BACKEND
    yield Check("lanes", OK, f"clients to server, faulted and control; {beside}")


def _others_toxiproxy(server: ToxiproxyServer, version: str, proxies: Mapping[str, ProxyState]) -> Check:
    unclean = [name for name in (FAULTED_PROXY, CONTROL_PROXY) if name in proxies and proxies[name].toxics]
    if unclean:
        advice = "another run may be using it, or left it so; clean it and try again"
        return Check("toxiproxy", FAIL, f"{version} at {server.url}, where {', '.join(unclean)} is poisoned", advice)
    return Check("toxiproxy", OK, f"{version} at {server.url}; its proxies: {', '.join(proxies) or 'none yet'}")


def _own_toxiproxy() -> Check:
    try:
        binary = toxiproxy_install.find()
    except McpChaosError as error:
        return Check("toxiproxy", FAIL, str(error))
    if binary is None:
        return Check("toxiproxy", WARN, "it is not there yet; the first run obtains it", "mcp-chaos toxiproxy install")
    return Check("toxiproxy", OK, f"{toxiproxy_install.version_of(binary)} in {binary}")


def _machine(settings: Settings) -> Iterator[Check]:
    late_ms = _lateness_ms()
    busy = "this machine has too much else to do for exact times" if late_ms > _LATE_MS else ""
    yield Check("clock", WARN if busy else OK, f"wakes up {late_ms:.2f} ms late at the median", busy)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = most != resource.RLIM_INFINITY and most < _FEW_FILES
    yield Check("files", WARN if few else OK, f"{most} can be open at a time", "raise it: ulimit -n" if few else "")
    yield Check("runs", OK, f"kept in {settings.runs.resolve()}")


def _lateness_ms() -> float:
    late_s = []
    for _ in range(_NAPS):
        began = time.monotonic()
        time.sleep(_NAP_S)
        late_s.append(time.monotonic() - began - _NAP_S)
    return 1e3 * sorted(late_s)[_NAPS // 2]


def _attempt(name: str, act: Callable[[], str]) -> Check:
    try:
        return Check(name, OK, act())
    except McpChaosError as error:
        return Check(name, FAIL, str(error))

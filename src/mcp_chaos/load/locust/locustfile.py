"""The specification's users for Locust.

    locust -f "$(mcp-chaos locustfile)" --host http://127.0.0.1:8000/mcp --headless -u 50 -r 5 -t 60s

Works with ``--processes`` and with a master and workers on several machines, see docs/scale.md. ``MCP_WORKLOAD`` (names
or files, with commas) takes the place of the three classes; so does the run that Locust was started by, which also gets
every call into its history.
"""

import os
from typing import Any

import gevent
from locust import events
from locust.runners import MasterRunner, WorkerRunner

from mcp_chaos.load.locust.users import HISTORY, McpUser, McpWebSocketUser, built_in, flush_now_and_then, users_of
from mcp_chaos.workload.file import names_of, read_workload


class MCPUser(McpUser):
    """Waits 1 to 3 s; list_databases 3, list_views 2, execute_query 1, health 1."""

    locals().update(built_in("mcp_user"))


class HeavyMCPUser(McpUser):
    """Waits 0.1 to 0.5 s; SELECT 1."""

    locals().update(built_in("heavy_mcp_user"))


class WebSocketMCPUser(McpWebSocketUser):
    """Waits 1 to 3 s; /status over HTTP, list_databases over a WebSocket."""

    locals().update(built_in("websocket_mcp_user"))


_names = names_of(os.environ.get("MCP_WORKLOAD", ""))
if HISTORY or _names:
    del MCPUser, HeavyMCPUser, WebSocketMCPUser
    globals().update(users_of(HISTORY.spec.workload if HISTORY else read_workload(*_names)))


def _begin(environment: Any, **_: Any) -> None:
    """Open this process's calls file; the one process that leads says that the load has begun."""
    runner = environment.runner
    if HISTORY is None:
        return
    if not isinstance(runner, MasterRunner):
        HISTORY.begin(runner.worker_index if isinstance(runner, WorkerRunner) else 0)
        gevent.spawn(flush_now_and_then)
    if not isinstance(runner, WorkerRunner):
        HISTORY.started()


def _overloaded(cpu_usage: float, **_: Any) -> None:
    if HISTORY is not None:
        HISTORY.overloaded(cpu_usage)


def _end(**_: Any) -> None:
    if HISTORY is not None:
        HISTORY.flush()


events.test_start.add_listener(_begin)  # type: ignore[no-untyped-call]
events.cpu_warning.add_listener(_overloaded)  # type: ignore[no-untyped-call]
events.quitting.add_listener(_end)  # type: ignore[no-untyped-call]

"""The reference MCP server: a server done well, on the official SDK, over a warehouse that can be taken away.

``python -m mcp_chaos.lab.server PORT BACKEND_PORT`` serves on loopback:

    /mcp               the official protocol (SDK 2.x; both eras)
    /mcp/tools/call    the specification's dialect: the method is the tool's name
    /ws                MCP over a WebSocket
    /health            {"status": "healthy"}, or 503 and the reason when the warehouse is gone
    /status            counters

Settings from the environment: ``MCP_CHAOS_LAB_RATE_PER_S`` (calls per second and client above which HTTP 429 is
answered; 0: no limit), ``MCP_CHAOS_LAB_JSON=1`` (JSON instead of SSE answers), ``MCP_CHAOS_LAB_STATELESS=1``,
``MCP_CHAOS_LAB_RESUMABLE=1`` (streams can be resumed), ``MCP_CHAOS_LAB_DEFECT`` and
``MCP_CHAOS_LAB_BITES`` (a file for how often it bit).
"""

import logging
import os
import re
import sys
from dataclasses import asdict, dataclass
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import ASGIApp

from mcp_chaos import __version__
from mcp_chaos.lab.backend import Backend, BackendError, QueryError
from mcp_chaos.lab.defects import Defect, planted_defect
from mcp_chaos.lab.dialect import ToolsCall
from mcp_chaos.lab.middleware import RateLimit, RateLimiter
from mcp_chaos.lab.planted import BITES, MIDDLEWARE
from mcp_chaos.lab.planted.events import Events
from mcp_chaos.lab.websocket import WebSocketSessions

_HEALTH_DEADLINE_S = 1.0
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_READING = re.compile(r"\s*(select|show|describe|desc|with)\b", re.IGNORECASE)
_READ_ONLY = ToolAnnotations(read_only_hint=True)


@dataclass
class Counters:
    """What ``/status`` tells."""

    calls: int = 0
    in_flight: int = 0
    cancelled: int = 0
    errors: int = 0


class Tools:
    """The tools of the specification, answered by the warehouse.

    Args:
        backend: the way to it.
        counters: kept while tools run.
    """

    def __init__(self, backend: Backend, counters: Counters) -> None:
        self._backend = backend
        self._counters = counters

    async def list_databases(self) -> list[str]:
        """List the databases of the warehouse."""
        return [row["name"] for row in await self._query("SHOW DATABASES")]

    async def list_views(self, database: str = "TEST_DB", schema: str = "PUBLIC") -> list[str]:
        """List the views of a schema."""
        for name in (database, schema):
            if not _IDENTIFIER.fullmatch(name):
                raise QueryError(f"{name!r} is not an identifier")
        return [row["name"] for row in await self._query(f"SHOW VIEWS IN SCHEMA {database}.{schema}")]

    async def execute_query(self, query: str) -> list[dict[str, Any]]:
        """Run a query that reads."""
        if not _READING.match(query):
            raise QueryError("only queries that read are run here: SELECT, WITH, SHOW, DESCRIBE")
        rows = await self._query(query)
        return [{name: value if _is_plain(value) else str(value) for name, value in row.items()} for row in rows]

    async def _query(self, sql: str) -> list[dict[str, Any]]:
        counters = self._counters
        counters.calls += 1
        counters.in_flight += 1
        finished = False
        try:
            rows = await self._backend.query(sql)
            finished = True
            return rows
        except (BackendError, QueryError):
            counters.errors += 1
            finished = True
            raise
        finally:
            counters.in_flight -= 1
            counters.cancelled += not finished


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def build(backend: Backend, rate_per_s: float, defect: Defect | None) -> ASGIApp:
    """The server as an ASGI application.

    Args:
        backend: the way to the warehouse.
        rate_per_s: calls per second and client; 0 for no limit.
        defect: what is wrong with it on purpose.
    """
    counters = Counters()
    limiter = RateLimiter(rate_per_s)
    tools = Tools(backend, counters)
    server = MCPServer("mcp_chaos-reference", version=__version__, instructions="A warehouse to break on purpose.")
    for tool in (tools.list_databases, tools.list_views, tools.execute_query):
        server.add_tool(tool, annotations=_READ_ONLY)

    async def health(_: Request) -> Response:
        try:
            await backend.query("SELECT 1", _HEALTH_DEADLINE_S)
        except (BackendError, QueryError) as error:
            return JSONResponse({"status": "unhealthy", "reason": str(error)}, status_code=503)
        return JSONResponse({"status": "healthy"})

    async def status(_: Request) -> Response:
        return JSONResponse(
            {
                **asdict(counters),
                "rate_limited": limiter.refused,
                "sessions": _sessions(server),
                "defect_bites": BITES.count,
            }
        )

    server.custom_route("/health", methods=["GET"])(health)
    server.custom_route("/status", methods=["GET"])(status)
    dialect = ToolsCall(
        {tool.__name__: tool for tool in (tools.list_databases, tools.list_views, tools.execute_query)}, limiter
    )
    server.custom_route("/mcp/tools/call", methods=["POST"])(dialect.answer)
    official = server.streamable_http_app(
        json_response=os.environ.get("MCP_CHAOS_LAB_JSON") == "1",
        stateless_http=os.environ.get("MCP_CHAOS_LAB_STATELESS") == "1",
        event_store=_events(defect),
    )
    official.router.routes.append(WebSocketRoute("/ws", WebSocketSessions(server._lowlevel_server).serve))
    app: ASGIApp = RateLimit(official, limiter)
    return MIDDLEWARE[defect](app) if defect in MIDDLEWARE else app


def _events(defect: Defect | None) -> Events | None:
    replays_all = defect is Defect.REPLAYS_OTHER_STREAMS
    return Events(own_only=not replays_all) if replays_all or os.environ.get("MCP_CHAOS_LAB_RESUMABLE") == "1" else None


def _sessions(server: MCPServer) -> int:
    """How many sessions the SDK keeps; it tells nobody, so this looks inside."""
    return len(getattr(server.session_manager, "_server_instances", ()))


def main() -> None:
    """Serve until ended."""
    # Before the SDK does it with rich tracebacks, which are drawn on the event loop.
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("snowflake.connector").setLevel(logging.CRITICAL)
    port, backend_port = int(sys.argv[1]), int(sys.argv[2])
    defect = planted_defect()
    backend = Backend(
        "127.0.0.1",
        backend_port,
        keeps_broken=defect is Defect.NO_BACKEND_RECOVERY,
        blocks=defect is Defect.BLOCKS_ON_BACKEND,
    )
    app = build(backend, float(os.environ.get("MCP_CHAOS_LAB_RATE_PER_S", "0")), defect)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        ws="websockets-sansio",
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()

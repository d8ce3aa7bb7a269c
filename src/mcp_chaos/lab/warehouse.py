"""The warehouse: fakesnow's server (Snowflake's wire protocol on DuckDB) with the specification's databases.

``python -m mcp_chaos.lab.warehouse PORT`` serves on loopback until it is ended. ``MCP_CHAOS_LAB_QUERY_MS`` is how much
longer each query takes than DuckDB needs: real warehouses take their time.
"""

import asyncio
import os
import sys

import uvicorn
from fakesnow.server import app, shared_fs
from starlette.types import ASGIApp, Receive, Scope, Send

DATABASES = ("TEST_DB", "ANALYTICS_DB", "STAGING_DB")
SCHEMAS = ("PUBLIC", "STAGING", "REPORTING")


def furnish() -> None:
    """Make the databases and schemas of the specification, a table and a view in each."""
    cursor = shared_fs.connect(None, None).cursor()
    for database in DATABASES:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {database}")
        for schema in SCHEMAS:
            place = f"{database}.{schema}"
            cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {place}")
            cursor.execute(f"CREATE TABLE {place}.ORDERS (ID INT, CUSTOMER VARCHAR)")
            cursor.execute(f"CREATE VIEW {place}.{schema}_ORDERS AS SELECT * FROM {place}.ORDERS")  # noqa: S608


class TakesItsTime:
    """Queries that take longer.

    Args:
        app: what stands behind.
        query_ms: how much longer.
    """

    def __init__(self, app: ASGIApp, query_ms: float) -> None:
        self._app = app
        self._query_s = query_ms / 1e3

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"].startswith("/queries/"):
            await asyncio.sleep(self._query_s)
        await self._app(scope, receive, send)


def main() -> None:
    """Furnish, then serve."""
    furnish()
    slow = TakesItsTime(app, float(os.environ.get("MCP_CHAOS_LAB_QUERY_MS", "0")))
    uvicorn.run(slow, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_keep_alive=75)


if __name__ == "__main__":
    main()

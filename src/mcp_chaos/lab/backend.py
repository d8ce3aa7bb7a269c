"""The reference server's way to its warehouse: connections over TCP, off the event loop, a deadline per query.

A query that fails for the connection's sake costs its connection, and the next one opens a new one: so the server
recovers by itself when the warehouse comes back. A query that passes its deadline is given up by its caller at once;
its thread ends by the connector's own time limits.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

import snowflake.connector
from mcp.server.mcpserver.exceptions import ToolError
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import Error, ProgrammingError

from mcp_chaos.lab.planted.registry import BITES

_RELOGIN_ERRNOS = frozenset({390104, 390110, 390111, 390112, 390114})


class BackendError(ToolError):
    """The warehouse did not answer a query.

    A ``ToolError``, because the SDK logs any other exception with a rich traceback on the event loop: with the
    connector's chains of causes that stood still for seconds, and every other call with it.
    """


class QueryError(ToolError):
    """The warehouse answered that the query is wrong."""


class Backend:
    """Queries against the warehouse.

    Args:
        host, port: where it is, seen through the proxy.
        deadline_s: the most a query may take, waiting for its turn included.
        workers: how many queries run at the same time.
        keeps_broken: the planted defect ``no_backend_recovery``.
        blocks: the planted defect ``blocks_on_backend``.
    """

    def __init__(
        self,
        host: str,
        port: int,
        deadline_s: float = 2.0,
        workers: int = 8,
        *,
        keeps_broken: bool = False,
        blocks: bool = False,
    ) -> None:
        self._address = {"host": host, "port": port}
        self._deadline_s = deadline_s
        self._keeps_broken = keeps_broken
        self._blocks = blocks
        self._broken: BackendError | None = None
        self._idle: SimpleQueue[SnowflakeConnection] = SimpleQueue()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="warehouse")

    async def query(self, sql: str, deadline_s: float | None = None) -> list[dict[str, Any]]:
        """Run a query and return its rows by column name.

        Raises:
            BackendError: no answer before the deadline, or the connection was lost.
            QueryError: the warehouse refused the query.
        """
        limit_s = deadline_s or self._deadline_s
        if self._blocks:
            BITES.count += 1
            return self._query_here(sql, time.monotonic() + limit_s)
        started = asyncio.get_running_loop().run_in_executor(
            self._threads, self._query_here, sql, time.monotonic() + limit_s
        )
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(started)
        except TimeoutError:
            started.add_done_callback(lambda future: future.exception())
            raise self._failure(f"the warehouse did not answer within {limit_s:g} s") from None

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _query_here(self, sql: str, give_up_at: float) -> list[dict[str, Any]]:
        if time.monotonic() > give_up_at:
            raise BackendError("the query waited for its turn until its deadline")
        if self._broken is not None:
            BITES.count += 1
            raise self._broken
        connection = self._connection()
        try:
            cursor = connection.cursor(snowflake.connector.DictCursor)
            cursor.execute(sql)
            rows: list[dict[str, Any]] = cursor.fetchall()
        except ProgrammingError as error:
            if error.errno in _RELOGIN_ERRNOS:
                connection.close(retry=False)
                raise self._failure(f"the warehouse wants a new login: {error.msg}") from None
            self._idle.put(connection)
            raise QueryError(str(error.msg)) from None
        except (Error, OSError) as error:
            connection.close(retry=False)
            raise self._failure(f"the connection to the warehouse was lost: {error}") from None
        self._idle.put(connection)
        return rows

    def _connection(self) -> SnowflakeConnection:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self._connect()

    def _connect(self) -> SnowflakeConnection:
        try:
            return snowflake.connector.connect(
                user="mcp",
                password="mcp",  # noqa: S106  # fakesnow takes any
                account="fakesnow",
                protocol="http",
                login_timeout=2,
                network_timeout=2,
                socket_timeout=2,
                # Closing a connection must not ask a warehouse that has just shown that it does not answer.
                server_session_keep_alive=True,
                session_parameters={"CLIENT_TELEMETRY_ENABLED": False},
                **self._address,
            )
        except (Error, OSError) as error:
            raise self._failure(f"the warehouse cannot be reached: {error}") from None

    def _failure(self, why: str) -> BackendError:
        error = BackendError(why)
        if self._keeps_broken:
            self._broken = error
        return error

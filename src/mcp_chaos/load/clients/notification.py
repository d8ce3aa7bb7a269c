"""A request whose answer nobody waits for, on a connection of its own."""

import asyncio
from typing import Any

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.context import Context
from mcp_chaos.load.clients.http_connection import Connection, Head, HttpConnection
from mcp_chaos.machine.loopback import open_connection

_LONGEST_S = 1.0


class _Heard:
    """Notes that the server has answered, or never will."""

    def __init__(self) -> None:
        self.it = asyncio.Event()

    def got_event(self, connection: Connection, head: Head, data: bytes) -> None:
        self.it.set()

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        self.it.set()

    def got_lost(self, connection: Connection, reason: Reason) -> None:
        self.it.set()


async def deliver(engine: Context[Any], request: bytes) -> None:
    """Send a request and give the server a second to take it; where it cannot be reached, that is that."""
    heard = _Heard()
    connection: HttpConnection | None = None
    try:
        async with asyncio.timeout(_LONGEST_S):
            _, connection = await open_connection(
                lambda: HttpConnection(heard),
                engine.target.connect_host,
                engine.target.connect_port,
                **engine.tls_options(),
            )
            connection.send(request)
            await heard.it.wait()
    except (OSError, TimeoutError):
        pass
    finally:
        if connection is not None:
            connection.abandon()

"""The answers of a handshake, which a task waits for, unlike those of calls."""

import asyncio
from typing import Any

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.context import Context
from mcp_chaos.load.clients.http_connection import Connection, Head
from mcp_chaos.load.clients.request import LostError
from mcp_chaos.mcp.message import Message

Answered = tuple[Head, Message | None]


class Awaiting:
    """A client with one connection, on which one answer at a time can be waited for.

    Args:
        engine: whose loop it is.
    """

    def __init__(self, engine: Context[Any]) -> None:
        self._engine = engine
        self._connection: Connection | None = None
        self._awaited: asyncio.Future[Answered] | None = None
        self._early: Answered | None = None

    def _await_answer(self) -> asyncio.Future[Answered]:
        self._early = None
        self._awaited = self._engine.loop.create_future()
        return self._awaited

    def _settle(self, outcome: Answered | Reason) -> None:
        awaited, self._awaited, self._early = self._awaited, None, None
        if awaited is None or awaited.done():
            return
        if isinstance(outcome, Reason):
            awaited.set_exception(LostError(outcome))
        else:
            awaited.set_result(outcome)

    def _wait_no_longer(self, awaited: asyncio.Future[Answered]) -> None:
        """The answer to a handshake came on a stream that does not end: take it, and another connection."""
        if awaited is self._awaited and self._early is not None:
            early = self._early
            if self._connection is not None:
                self._connection.abandon()
                self._connection = None
            self._settle(early)

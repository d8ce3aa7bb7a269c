"""Planted defects of requests and answers: which answer goes where, and how much of a request is read."""

import asyncio
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_chaos.lab.defects import Defect
from mcp_chaos.lab.planted.registry import (
    BITES,
    Planted,
    is_post,
    never_answer,
    plants,
    request_of,
    session_of,
    with_first,
)

_AT_ONCE = 8
_CALL_S = 0.042
_ABANDONED_S = 1.5


@plants(Defect.MIXES_UP_ANSWERS)
class MixesUpAnswers(Planted):
    """``mixes_up_answers``: answers are kept by request id alone, so clients with the same ids get each other's."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._running: dict[Any, int] = {}
        self._answers: dict[Any, list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        first = await receive() if is_post(scope) else None
        request = request_of(first)
        if first is None or request.get("method") != "tools/call":
            await self._app(scope, receive if first is None else with_first(first, receive), send)
            return
        key = request.get("id")
        self._running[key] = self._running.get(key, 0) + 1
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            await self._app(scope, with_first(first, receive), keep)
        finally:
            self._running[key] -= 1
        other = self._answers.pop(key, None)
        if self._running[key]:
            self._answers[key] = answer
        BITES.count += other is not None
        for message in other or answer:
            await send(message)


@plants(Defect.READS_ONE_PIECE)
class ReadsOnePiece(Planted):
    """``reads_one_piece``: what has arrived of a request when it is first looked at is taken for all of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        first = await receive() if is_post(scope) else None
        if first is not None and first.get("more_body"):
            BITES.count += 1
            first = {**first, "more_body": False}
        await self._app(scope, receive if first is None else with_first(first, receive), send)


@plants(Defect.LOSES_CALLS_AT_ONCE)
class LosesCalls(Planted):
    """``loses_calls_at_once``: a session has room for eight calls under way; what comes on top is never answered."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._under_way: dict[str, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = session_of(scope) if is_post(scope) else None
        if session_id is None:
            await self._app(scope, receive, send)
            return
        self._under_way[session_id] = self._under_way.get(session_id, 0) + 1
        try:
            if self._under_way[session_id] > _AT_ONCE:
                BITES.count += 1
                await never_answer(receive)
                return
            await self._app(scope, receive, send)
        finally:
            self._under_way[session_id] -= 1


@plants(Defect.WORKS_OFF_THE_ABANDONED)
class WorksOffTheAbandoned(Planted):
    """``works_off_the_abandoned``: one call at a time, 42 ms each, in the order in which they came."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if is_post(scope):
            came_s = time.monotonic()
            async with self._turn:
                await asyncio.sleep(_CALL_S)
            BITES.count += time.monotonic() - came_s > _ABANDONED_S
        await self._app(scope, receive, send)


@plants(Defect.SLOWER_BY_A_FIFTH)
class SlowerByAFifth(Planted):
    """``slower_by_a_fifth``: what was ready to be sent waits for a fifth of the time it took."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        began_s = time.monotonic()

        async def send_later(message: Message) -> None:
            if message.get("body"):
                BITES.count += 1
                await asyncio.sleep((time.monotonic() - began_s) / 5)
            await send(message)

        await self._app(scope, receive, send_later if scope["type"] == "http" else send)


@plants(Defect.LOCKS_WRITES)
class LocksWrites(Planted):
    """``locks_writes``: one lock is held around every write."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def sending(message: Message) -> None:
            BITES.count += self._lock.locked()
            async with self._lock:
                await send(message)

        await self._app(scope, receive, sending if is_post(scope) else send)


@plants(Defect.LOCKS_READS)
class LocksReads(Planted):
    """``locks_reads``: one lock is held while a request is read."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not is_post(scope):
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        BITES.count += self._lock.locked()
        async with self._lock:
            while more:
                part = await receive()
                body, more = body + part.get("body", b""), part.get("more_body", False)
        await self._app(scope, with_first({"type": "http.request", "body": body, "more_body": False}, receive), send)

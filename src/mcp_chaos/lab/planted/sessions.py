"""Planted defects of sessions: how they end, and what ends them."""

import time
from collections.abc import MutableMapping
from typing import Any

from starlette.responses import PlainTextResponse
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

_IDLE_S = 5.0
_IDLE_CONNECTION_S = 4.0
_PER_ENDED_S = 0.002
_KEPT_BYTES = 200_000


@plants(Defect.ANSWERS_LOST_SESSIONS_400)
class RefusesLostSessions(Planted):
    """``answers_lost_sessions_400``: a session that the server does not know is answered 400 instead of 404."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        has_session = session_of(scope) is not None

        async def sending(message: MutableMapping[str, Any]) -> None:
            if has_session and message["type"] == "http.response.start" and message["status"] == 404:
                BITES.count += 1
                message = {**message, "status": 400}
            await send(message)

        await self._app(scope, receive, sending)


@plants(Defect.FORGETS_IDLE_SESSIONS_BADLY)
class ForgetsIdleSessions(Planted):
    """``forgets_idle_sessions_badly``: a session that was idle for 5 s is answered HTTP 500."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._used: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = session_of(scope) if is_post(scope) else None
        now = time.monotonic()
        if session_id is not None and now - self._used.setdefault(session_id, now) > _IDLE_S:
            BITES.count += 1
            await PlainTextResponse("no such worker", 500)(scope, receive, send)
            return
        if session_id is not None:
            self._used[session_id] = now
        await self._app(scope, receive, send)


@plants(Defect.RESETS_IDLE_CONNECTIONS)
class ResetsIdleConnections(Planted):
    """``resets_idle_connections``: a connection that was idle for 4 s is cut when its next request comes."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._used: dict[tuple[str, int], float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        now = time.monotonic()
        if is_post(scope) and now - self._used.setdefault(scope["client"], now) > _IDLE_CONNECTION_S:
            BITES.count += 1
            # An answer that breaks off is the way in which an application can have its connection cut.
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
            return
        await self._app(scope, receive, send)
        if is_post(scope):
            self._used[scope["client"]] = time.monotonic()


@plants(Defect.KEEPS_ENDED_SESSIONS)
class KeepsEndedSessions(Planted):
    """``keeps_ended_sessions``: what belongs to a session stays in memory when the session is ended."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._kept: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if session_of(scope) is not None and scope["method"] == "DELETE":
            BITES.count += 1
            self._kept.append(b"x" * _KEPT_BYTES)
        await self._app(scope, receive, send)


@plants(Defect.SLOWS_WITH_EACH_SESSION)
class SlowsDown(Planted):
    """``slows_with_each_session``: ended sessions stay in a list that each request goes through."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._ended = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if session_of(scope) is not None and scope["method"] == "DELETE":
            BITES.count += 1
            self._ended += 1
        time.sleep(_PER_ENDED_S * self._ended)  # the list is searched on the event loop
        await self._app(scope, receive, send)


@plants(Defect.NEVER_FORGIVES_BAD_REQUESTS)
class NeverForgives(Planted):
    """``never_forgives_bad_requests``: a session that once sent a bad request is answered HTTP 500 from then on."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._spoilt: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = session_of(scope)
        if session_id in self._spoilt and is_post(scope):
            BITES.count += 1
            await PlainTextResponse("Internal Server Error", 500)(scope, receive, send)
            return

        async def sending(message: Message) -> None:
            if session_id is not None and message.get("status") == 400:
                self._spoilt.add(session_id)
            await send(message)

        await self._app(scope, receive, sending)


@plants(Defect.HANGS_AFTER_CUT)
class HangsAfterCut(Planted):
    """``hangs_after_cut``: a session is answered only on the connection that first used it."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._home: dict[str, tuple[str, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = session_of(scope)
        if session_id is not None and self._home.setdefault(session_id, scope["client"]) != scope["client"]:
            BITES.count += 1
            await never_answer(receive)
            return
        await self._app(scope, receive, send)


@plants(Defect.STOPS_SESSIONS_BY_CANCELLATION)
class StopsByCancellation(Planted):
    """``stops_sessions_by_cancellation``: a call that is cancelled while it runs is the last one of its session."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._running: set[tuple[str, object]] = set()
        self._stopped: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = session_of(scope) if is_post(scope) else None
        if session_id is None:
            await self._app(scope, receive, send)
            return
        if session_id in self._stopped:
            BITES.count += 1
            await never_answer(receive)
            return
        first = await receive()
        request = request_of(first)
        cancelled = (session_id, (request.get("params") or {}).get("requestId"))
        if request.get("method") == "notifications/cancelled" and cancelled in self._running:
            self._stopped.add(session_id)
        call = (session_id, request.get("id"))
        self._running.add(call)
        try:
            await self._app(scope, with_first(first, receive), send)
        finally:
            self._running.discard(call)

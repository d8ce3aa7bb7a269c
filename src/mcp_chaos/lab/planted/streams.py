"""Planted defects of GET streams: what comes on them, and what they cost."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_chaos.lab.defects import Defect
from mcp_chaos.lab.planted.lost_clients import Watched, until_answered
from mcp_chaos.lab.planted.registry import BITES, is_post, plants

_WORKERS = 16


class _Streams:
    """GET streams that are open.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["method"] == "GET" and "mcp-session-id" in Headers(scope=scope):
            await self._stream(scope, receive, send)
        elif is_post(scope):
            await self._post(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError


@plants(Defect.STREAMS_TAKE_PLACES)
class StreamsTakePlaces(_Streams):
    """``streams_take_places``: a GET stream occupies one of the sixteen workers that answer calls."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._workers = asyncio.Semaphore(_WORKERS)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._workers:
            await self._app(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        BITES.count += self._workers.locked()
        async with self._workers:
            await self._app(scope, receive, send)


@plants(Defect.BROADCASTS_ANSWERS)
class BroadcastsAnswers(_Streams):
    """``broadcasts_answers``: what is sent in answer to a call is sent on every open GET stream as well."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._open: list[Send] = []

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open.append(send)
        try:
            await self._app(scope, receive, send)
        finally:
            self._open.remove(send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if b"data:" in message.get("body", b""):
                for other in self._open:
                    BITES.count += 1
                    await other({**message, "more_body": True})
            await send(message)

        await self._app(scope, receive, sending)


@plants(Defect.BROADCASTS_UNDELIVERED)
class BroadcastsUndelivered(_Streams):
    """``broadcasts_undelivered``: an answer whose client has left is sent on every open GET stream."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._open: list[Send] = []

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open.append(send)
        try:
            await self._app(scope, receive, send)
        finally:
            self._open.remove(send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        watched, answer = Watched(receive), []

        async def sending(message: Message) -> None:
            if b"data:" in message.get("body", b""):
                answer.append({**message, "more_body": True})
            await send(message)

        await self._app(scope, watched.receive_until_gone, until_answered(watched, sending))
        if await watched.end():
            for message in answer:
                for other in self._open:
                    BITES.count += 1
                    await other(message)


@plants(Defect.BREAKS_ON_SECOND_STREAM)
class BreaksOnSecondStream(_Streams):
    """``breaks_on_second_stream``: with a second GET stream a session loses its way to its client."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._streams: dict[str, int] = {}

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        session_id = Headers(scope=scope)["mcp-session-id"]
        self._streams[session_id] = self._streams.get(session_id, 0) + 1
        await self._app(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.get(Headers(scope=scope).get("mcp-session-id", ""), 0) > 1:
            BITES.count += 1
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await self._app(scope, receive, send)

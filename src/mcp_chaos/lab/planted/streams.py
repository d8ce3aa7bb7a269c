"""Planted defects of GET streams: what comes on them, and what they cost."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_chaos.lab.defects import Defect
from mcp_chaos.lab.planted.lost_clients import Watched, until_answered
from mcp_chaos.lab.planted.registry import BITES, Planted, is_post, never_answer, plants, session_of

_WORKERS = 16


class _Streams(Planted):
    """Tells GET streams from calls."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if session_of(scope) is not None and scope["method"] == "GET":
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


class _Broadcasts(_Streams):
    """Knows the GET streams that are open."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._open: list[Send] = []

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open.append(send)
        try:
            await self._app(scope, receive, send)
        finally:
            self._open.remove(send)

    async def _tell_all(self, message: Message) -> None:
        """Send a part of an answer on each of them."""
        for other in self._open:
            BITES.count += 1
            await other({**message, "more_body": True})


@plants(Defect.BROADCASTS_ANSWERS)
class BroadcastsAnswers(_Broadcasts):
    """``broadcasts_answers``: what is sent in answer to a call is sent on every open GET stream as well."""

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if b"data:" in message.get("body", b""):
                await self._tell_all(message)
            await send(message)

        await self._app(scope, receive, sending)


@plants(Defect.BROADCASTS_UNDELIVERED)
class BroadcastsUndelivered(_Broadcasts):
    """``broadcasts_undelivered``: an answer whose client has left is sent on every open GET stream."""

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        watched = Watched(receive)
        answer: list[Message] = []

        async def sending(message: Message) -> None:
            if b"data:" in message.get("body", b""):
                answer.append(message)
            await send(message)

        await self._app(scope, watched.receive_until_gone, until_answered(watched, sending))
        if await watched.end():
            for message in answer:
                await self._tell_all(message)


@plants(Defect.BREAKS_ON_SECOND_STREAM)
class BreaksOnSecondStream(_Streams):
    """``breaks_on_second_stream``: with a second GET stream a session loses its way to its client."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._streams: dict[str, int] = {}

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        session_id = session_of(scope) or ""
        self._streams[session_id] = self._streams.get(session_id, 0) + 1
        await self._app(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._streams.get(session_of(scope) or "", 0) > 1:
            BITES.count += 1
            await never_answer(receive)
            return
        await self._app(scope, receive, send)

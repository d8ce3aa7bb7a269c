"""Planted defects that bite when clients leave in the middle of calls, as middleware; each counts how often it bit."""

import asyncio
import json
import os
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PLACES = 6
_DESCRIPTORS = 400


class Bites:
    """How often a planted defect bit."""

    count = 0


BITES = Bites()
"""Of the one defect that a server can have."""


def _is_call(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["method"] == "POST")


class _Watched:
    """What a client sends, read ahead of the application, so that its leaving is seen while a call runs.

    Args:
        receive: of the server.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self.gone = False
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while not self.gone:
            message = await self._receive()
            self.gone = message["type"] == "http.disconnect"
            self._messages.put_nowait(message)

    async def receive(self) -> Message:
        """ASGI's receive, for the application."""
        return await self._messages.get()

    async def end(self) -> bool:
        """The application has answered; whether its client had left before that."""
        await asyncio.sleep(0)
        self._reading.cancel()
        return self.gone


class KeepsPlaces:
    """``keeps_places_of_lost_clients``: a call takes one of a few places, and gives it back when it was answered.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._places = asyncio.Semaphore(_PLACES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not _is_call(scope):
            await self._app(scope, receive, send)
            return
        watched = _Watched(receive)
        await self._places.acquire()
        await self._app(scope, watched.receive, _until_answered(watched, send))
        if await watched.end():
            BITES.count += 1
        else:
            self._places.release()


def _until_answered(watched: _Watched, send: Send) -> Send:
    """A send after whose last message the client may leave: it has its answer."""

    async def sending(message: Message) -> None:
        gone = watched.gone
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await watched.end()
            watched.gone = gone

    return sending


class KeepsDescriptors:
    """``keeps_descriptors_of_lost_clients``: each client that leaves in a call costs a file descriptor.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not _is_call(scope):
            await self._app(scope, receive, send)
            return
        watched = _Watched(receive)
        await self._app(scope, watched.receive, _until_answered(watched, send))
        if await watched.end() and len(self._kept) < _DESCRIPTORS:
            BITES.count += 1
            self._kept.append(os.open(os.devnull, os.O_RDONLY))


class PoisonsSessions:
    """``poisons_sessions``: a session in which a client left a call is answered HTTP 500 from then on.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._poisoned: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = Headers(scope=scope).get("mcp-session-id") if _is_call(scope) else None
        if session_id is None:
            await self._app(scope, receive, send)
            return
        if session_id in self._poisoned:
            BITES.count += 1
            await PlainTextResponse("Internal Server Error", 500)(scope, receive, send)
            return
        watched = _Watched(receive)
        await self._app(scope, watched.receive, _until_answered(watched, send))
        if await watched.end():
            self._poisoned.add(session_id)


class RefusesLostSessions:
    """``answers_lost_sessions_400``: a session that the server does not know is answered 400 instead of 404.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        has_session = scope["type"] == "http" and "mcp-session-id" in Headers(scope=scope)

        async def sending(message: MutableMapping[str, Any]) -> None:
            if has_session and message["type"] == "http.response.start" and message["status"] == 404:
                BITES.count += 1
                message = {**message, "status": 400}
            await send(message)

        await self._app(scope, receive, sending)


class MixesUpAnswers:
    """``mixes_up_answers``: answers are kept by request id alone, so clients with the same ids get each other's.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._running: dict[Any, int] = {}
        self._answers: dict[Any, list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        first = await receive() if _is_call(scope) else None
        request = _request_of(first)
        if first is None or request.get("method") != "tools/call":
            await self._app(scope, receive if first is None else _with(first, receive), send)
            return
        key = request.get("id")
        self._running[key] = self._running.get(key, 0) + 1
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(message)

        try:
            await self._app(scope, _with(first, receive), keep)
        finally:
            self._running[key] -= 1
        other = self._answers.pop(key, None)
        if self._running[key]:
            self._answers[key] = answer
        BITES.count += other is not None
        for message in other or answer:
            await send(message)


def _request_of(first: Message | None) -> dict[str, Any]:
    try:
        request = json.loads((first or {}).get("body", b""))
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def _with(first: Message, receive: Receive) -> Receive:
    """A receive that gives back a message that was read ahead."""
    waiting = [first]

    async def receiving() -> Message:
        return waiting.pop() if waiting else await receive()

    return receiving

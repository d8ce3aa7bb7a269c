"""Planted defects that bite when clients leave in the middle of calls."""

import asyncio
import os

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcp_chaos.lab.defects import Defect
from mcp_chaos.lab.planted.registry import BITES, Planted, is_post, plants, request_of, session_of, with_first

_PLACES = 6
_DESCRIPTORS = 400
_SPINNERS = 2


class Watched:
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

    async def receive_until_gone(self) -> Message:
        """ASGI's receive, for an application that is not told that its client has left."""
        message = await self._messages.get()
        while message["type"] == "http.disconnect":
            await asyncio.Event().wait()
        return message

    async def end(self) -> bool:
        """The application has answered; whether its client had left before that."""
        await asyncio.sleep(0)
        self._reading.cancel()
        return self.gone


def until_answered(watched: Watched, send: Send) -> Send:
    """A send after whose last message the client may leave: it has its answer."""

    async def sending(message: Message) -> None:
        gone = watched.gone
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await watched.end()
            watched.gone = gone

    return sending


class Watching(Planted):
    """Sees whether a client is still there when its call is answered."""

    async def _lost(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer a call; whether its client had left before that."""
        watched = Watched(receive)
        await self._app(scope, watched.receive, until_answered(watched, send))
        return await watched.end()


@plants(Defect.KEEPS_PLACES_OF_LOST_CLIENTS)
class KeepsPlaces(Watching):
    """``keeps_places_of_lost_clients``: a call takes one of a few places, and gives it back when it was answered."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._places = asyncio.Semaphore(_PLACES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not is_post(scope):
            await self._app(scope, receive, send)
            return
        await self._places.acquire()
        if await self._lost(scope, receive, send):
            BITES.count += 1
        else:
            self._places.release()


@plants(Defect.KEEPS_DESCRIPTORS_OF_LOST_CLIENTS)
class KeepsDescriptors(Watching):
    """``keeps_descriptors_of_lost_clients``: each client that leaves in a call costs a file descriptor."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._kept: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not is_post(scope):
            await self._app(scope, receive, send)
        elif await self._lost(scope, receive, send) and len(self._kept) < _DESCRIPTORS:
            BITES.count += 1
            self._kept.append(os.open(os.devnull, os.O_RDONLY))


@plants(Defect.POISONS_SESSIONS)
class PoisonsSessions(Watching):
    """``poisons_sessions``: a session in which a client left a call is answered HTTP 500 from then on."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._poisoned: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = session_of(scope) if is_post(scope) else None
        if session_id is None:
            await self._app(scope, receive, send)
            return
        if session_id in self._poisoned:
            BITES.count += 1
            await PlainTextResponse("Internal Server Error", 500)(scope, receive, send)
            return
        if await self._lost(scope, receive, send):
            self._poisoned.add(session_id)


@plants(Defect.SPINS_AFTER_LOST_CLIENTS)
class Spins(Watching):
    """``spins_after_lost_clients``: what waited for a client that has left asks again and again whether it is back."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._spinning: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not is_post(scope):
            await self._app(scope, receive, send)
        elif await self._lost(scope, receive, send) and len(self._spinning) < _SPINNERS:
            BITES.count += 1
            self._spinning.append(asyncio.create_task(_spin()))


async def _spin() -> None:
    while True:
        await asyncio.sleep(0)


@plants(Defect.KEEPS_PLACES_OF_LOST_HANDSHAKES)
class KeepsHandshakes(Planted):
    """``keeps_places_of_lost_handshakes``: a session that is being opened takes a place until its client says so."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._places = asyncio.Semaphore(_PLACES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        first = await receive() if is_post(scope) else None
        if first is None:
            await self._app(scope, receive, send)
            return
        method = request_of(first).get("method")
        if method == "initialize":
            BITES.count += self._places.locked()
            await self._places.acquire()
        elif method == "notifications/initialized":
            self._places.release()
        await self._app(scope, with_first(first, receive), send)

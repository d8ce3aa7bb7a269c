"""Planted defects of what a server's process keeps: files, memory, threads, children."""

import asyncio
import os
import subprocess
import sys
import threading

from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_chaos.lab.defects import Defect
from mcp_chaos.lab.planted.lost_clients import Watching
from mcp_chaos.lab.planted.registry import BITES, Planted, is_post, plants, request_of, session_of, with_first

_WRITTEN_AFTER_S = 1.0
_MAX_KEPT = 400
_MAX_CHILDREN = 12
_BUFFER_BYTES = 1_000_000


@plants(Defect.KEEPS_LOGS_OF_ENDED_SESSIONS)
class KeepsLogs(Planted):
    """``keeps_logs_of_ended_sessions``: a second after a session was ended, its log is opened, and stays so."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._kept: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        await self._app(scope, receive, send)
        if session_of(scope) is not None and scope["method"] == "DELETE":
            asyncio.get_running_loop().call_later(_WRITTEN_AFTER_S, self._open)

    def _open(self) -> None:
        if len(self._kept) < _MAX_KEPT:
            BITES.count += 1
            self._kept.append(os.open(os.devnull, os.O_RDONLY))


class _OnOpening(Planted):
    """Does something for each session that is opened."""

    def _opened(self) -> None:
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        first = await receive() if is_post(scope) else None
        if request_of(first).get("method") == "initialize":
            BITES.count += 1
            self._opened()
        await self._app(scope, receive if first is None else with_first(first, receive), send)


@plants(Defect.KEEPS_OPENED_SESSIONS)
class KeepsOpenedSessions(_OnOpening):
    """``keeps_opened_sessions``: the buffer of a session is never given back."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._kept: list[bytes] = []

    def _opened(self) -> None:
        if len(self._kept) < _MAX_KEPT:
            self._kept.append(b"x" * _BUFFER_BYTES)


@plants(Defect.LEAVES_THREADS)
class LeavesThreads(_OnOpening):
    """``leaves_threads``: the thread of a session waits for ever."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._started = 0

    def _opened(self) -> None:
        if self._started < _MAX_KEPT:
            self._started += 1
            threading.Thread(target=threading.Event().wait, daemon=True).start()


@plants(Defect.LEAVES_CHILDREN)
class LeavesChildren(Watching):
    """``leaves_children``: the child process of a call whose client has left is never ended."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._children: list[subprocess.Popen[bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not is_post(scope):
            await self._app(scope, receive, send)
        elif await self._lost(scope, receive, send) and len(self._children) < _MAX_CHILDREN:
            BITES.count += 1
            # It ends with the server: nobody else holds the other end of its standard input.
            self._children.append(subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE))

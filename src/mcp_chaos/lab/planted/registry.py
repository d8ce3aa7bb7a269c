"""What planted defects that stand before the server's endpoints have in common: registration, and a count of bites."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope

from mcp_chaos.lab.defects import Defect

Middleware = Callable[[ASGIApp], ASGIApp]

MIDDLEWARE: dict[Defect, Middleware] = {}
"""By defect, what plants it before the endpoints."""

FILE_VARIABLE = "MCP_CHAOS_LAB_BITES"


class Bites:
    """How often a planted defect bit; also in the file that ``MCP_CHAOS_LAB_BITES`` names, which stays."""

    def __init__(self) -> None:
        self._count = 0

    @property
    def count(self) -> int:
        """So many times."""
        return self._count

    @count.setter
    def count(self, count: int) -> None:
        path = os.environ.get(FILE_VARIABLE)
        if path and count != self._count:
            Path(path).write_text(str(count), encoding="utf-8")
        self._count = count


BITES = Bites()
"""Of the one defect that a server can have."""


class Planted:
    """A middleware before the endpoints.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app


def plants(defect: Defect) -> Callable[[Any], Any]:
    """Register a middleware as that of a defect."""

    def register(middleware: Any) -> Any:
        MIDDLEWARE[defect] = middleware
        return middleware

    return register


def is_post(scope: Scope) -> bool:
    """Whether a request carries a message."""
    return bool(scope["type"] == "http" and scope["method"] == "POST")


def session_of(scope: Scope) -> str | None:
    """The session that a request names."""
    return Headers(scope=scope).get("mcp-session-id") if scope["type"] == "http" else None


async def never_answer(receive: Receive) -> None:
    """Leave a request without an answer until its client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def request_of(first: Message | None) -> dict[str, Any]:
    """The JSON-RPC message of a request's body; empty where there is none."""
    try:
        request = json.loads((first or {}).get("body", b""))
    except ValueError:
        return {}
    return request if isinstance(request, dict) else {}


def with_first(first: Message, receive: Receive) -> Receive:
    """A receive that gives back a message that was read ahead."""
    waiting = [first]

    async def receiving() -> Message:
        return waiting.pop() if waiting else await receive()

    return receiving

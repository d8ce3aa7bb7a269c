"""What planted defects that stand before the server's endpoints have in common: registration, and a count of bites."""

import json
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope

from mcp_chaos.lab.defects import Defect

Middleware = Callable[[ASGIApp], ASGIApp]

MIDDLEWARE: dict[Defect, Middleware] = {}
"""By defect, what plants it before the endpoints."""


class Bites:
    """How often a planted defect bit."""

    count = 0


BITES = Bites()
"""Of the one defect that a server can have."""


def _is_call(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["method"] == "POST")


def plants(defect: Defect) -> Callable[[Any], Any]:
    """Register a middleware as that of a defect."""

    def register(middleware: Any) -> Any:
        MIDDLEWARE[defect] = middleware
        return middleware

    return register


def is_post(scope: Scope) -> bool:
    """Whether a request carries a message."""
    return bool(scope["type"] == "http" and scope["method"] == "POST")


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

"""Planted defects of what a server says of its health."""

from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_chaos.lab.defects import Defect
from mcp_chaos.lab.planted.lost_clients import Watching
from mcp_chaos.lab.planted.registry import BITES, is_post, plants

_LOST_CLIENTS = 4


class _Counting(Watching):
    """Counts the clients that left before their answer."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._lost_clients = 0

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._lost_clients += await self._lost(scope, receive, send)


def _asks_health(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["path"] == "/health")


@plants(Defect.HEALTH_STAYS_DOWN)
class StaysDown(_Counting):
    """``health_stays_down``: what was noted of a lost client is never forgotten."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if is_post(scope):
            await self._post(scope, receive, send)
        elif _asks_health(scope) and self._lost_clients:
            BITES.count += 1
            await JSONResponse({"status": "unhealthy"}, 503)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@plants(Defect.HEALTH_SAYS_WELL)
class SaysWell(_Counting):
    """``health_says_well``: no call is answered any more, and the text of /health is what it was."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if is_post(scope) and self._lost_clients >= _LOST_CLIENTS:
            BITES.count += 1
            await PlainTextResponse("Internal Server Error", 500)(scope, receive, send)
        elif is_post(scope):
            await self._post(scope, receive, send)
        else:
            answer: Any = JSONResponse({"status": "healthy"}) if _asks_health(scope) else self._app
            await answer(scope, receive, send)

"""Planted defects of what a server says of its health."""

from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mcp_chaos.lab.defects import Defect
from mcp_chaos.lab.planted.lost_clients import Watching
from mcp_chaos.lab.planted.registry import BITES, is_post, plants


class _Remembering(Watching):
    """Remembers whether a client left before its answer."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._is_hurt = False

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._is_hurt = await self._lost(scope, receive, send) or self._is_hurt


def _asks_health(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["path"] == "/health")


@plants(Defect.HEALTH_STAYS_DOWN)
class StaysDown(_Remembering):
    """``health_stays_down``: what was noted of a lost client is never forgotten."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if is_post(scope):
            await self._post(scope, receive, send)
        elif _asks_health(scope) and self._is_hurt:
            BITES.count += 1
            await JSONResponse({"status": "unhealthy"}, 503)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


@plants(Defect.HEALTH_SAYS_WELL)
class SaysWell(_Remembering):
    """``health_says_well``: no call is answered any more, and the text of /health is what it was."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if is_post(scope) and self._is_hurt:
            BITES.count += 1
            await PlainTextResponse("Internal Server Error", 500)(scope, receive, send)
        elif is_post(scope):
            await self._post(scope, receive, send)
        else:
            answer: Any = JSONResponse({"status": "healthy"}) if _asks_health(scope) else self._app
            await answer(scope, receive, send)

"""What stands before the reference server's endpoints: the rate limit, and planted defects."""

import asyncio
import math
import time

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class RateLimiter:
    """A token bucket per client, one second deep.

    Args:
        rate_per_s: calls per second and client; 0 for no limit.
    """

    def __init__(self, rate_per_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._buckets: dict[str, tuple[float, float]] = {}
        self.refused = 0

    def wait_s(self, client: str) -> float:
        """Take a token; 0 when there was one, else how long until there is."""
        if self._rate_per_s <= 0:
            return 0.0
        now = time.monotonic()
        depth = max(1.0, self._rate_per_s)
        tokens, since = self._buckets.get(client, (depth, now))
        tokens = min(depth, tokens + (now - since) * self._rate_per_s)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        self.refused += not allowed
        return 0.0 if allowed else (1 - tokens) / self._rate_per_s


def too_many(wait_s: float) -> Response:
    """HTTP 429 with the whole seconds after which to try again."""
    return JSONResponse({"error": "rate limited"}, status_code=429, headers={"Retry-After": str(math.ceil(wait_s))})


class RateLimit:
    """The rate limit of the official endpoint, per session.

    Args:
        app: what stands behind.
        limiter: shared with the specification's dialect.
    """

    def __init__(self, app: ASGIApp, limiter: RateLimiter) -> None:
        self._app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = Headers(scope=scope).get("mcp-session-id") if scope["type"] == "http" else None
        wait_s = self._limiter.wait_s(session_id) if session_id is not None and scope["method"] == "POST" else 0.0
        await (too_many(wait_s) if wait_s else self._app)(scope, receive, send)


class HangsAfterCut:
    """The planted defect ``hangs_after_cut``: a session is answered only on the connection that first used it.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._home: dict[str, tuple[str, int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        session_id = Headers(scope=scope).get("mcp-session-id") if scope["type"] == "http" else None
        if session_id is not None and self._home.setdefault(session_id, scope["client"]) != scope["client"]:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await self._app(scope, receive, send)


class SlowerByAFifth:
    """The planted defect ``slower_by_a_fifth``: what was ready to be sent waits for a fifth of the time it took.

    Args:
        app: what stands behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        began_s = time.monotonic()

        async def send_later(message: Message) -> None:
            if message.get("body"):
                await asyncio.sleep((time.monotonic() - began_s) / 5)
            await send(message)

        await self._app(scope, receive, send_later if scope["type"] == "http" else send)

"""What stands before the reference server's endpoints: the rate limit, and planted defects."""

import math
import time

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send


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

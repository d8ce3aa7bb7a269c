"""The server's side of the specification's dialect: JSON-RPC on one path, the method being the tool's name."""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mcp_chaos.lab.backend import BackendError, QueryError
from mcp_chaos.lab.middleware import RateLimiter, too_many

Tool = Callable[..., Awaitable[Any]]


class ToolsCall:
    """``POST /mcp/tools/call``.

    Args:
        tools: by name.
        limiter: calls per second and ``_client_id``.
    """

    def __init__(self, tools: Mapping[str, Tool], limiter: RateLimiter) -> None:
        self._tools = tools
        self._limiter = limiter

    async def answer(self, request: Request) -> Response:
        """Answer one call. Errors have JSON-RPC's codes; -32603 stands for a warehouse that does not answer."""
        try:
            message = json.loads(await request.body())
        except ValueError:
            return _error(None, -32700, "Parse error", 400)
        if (
            not isinstance(message, dict)
            or message.get("jsonrpc") != "2.0"
            or not isinstance(message.get("params", {}), dict)
        ):
            return _error(None, -32600, "Invalid request", 400)
        call_id, params = message.get("id"), dict(message.get("params", {}))
        wait_s = self._limiter.wait_s(str(params.pop("_client_id", "anonymous")))
        if wait_s:
            return too_many(wait_s)
        tool = self._tools.get(message.get("method", ""))
        if tool is None:
            return _error(call_id, -32601, f"Unknown tool: {message.get('method')}")
        try:
            rows = await tool(**params)
        except (TypeError, QueryError) as error:
            return _error(call_id, -32602, str(error))
        except BackendError as error:
            return _error(call_id, -32603, str(error))
        content = [{"type": "text", "text": json.dumps(rows)}]
        return JSONResponse({"jsonrpc": "2.0", "id": call_id, "result": {"content": content, "isError": False}})


def _error(call_id: Any, code: int, text: str, status: int = 200) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": call_id, "error": {"code": code, "message": text}}, status_code=status)

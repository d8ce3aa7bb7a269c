"""Streamable HTTP in front of a stdio server, in the server's own era.

All clients share the one process, as the calls of one agent do. A session is as old as the process: one that was opened
before a restart is not found (404), so that clients notice what the server has forgotten.
"""

import asyncio
from typing import Any
from uuid import uuid4

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mcp_chaos.bridge.pipe import MODERN, Pipe, PipeError
from mcp_chaos.mcp.message import Message, parse_message
from mcp_chaos.mcp.modern import PROTOCOL_VERSION

_PARSE_ERROR = -32700
_INVALID_REQUEST = -32600
_UNSUPPORTED_VERSION = -32022
_SERVER_ENDED = -32000


class Bridge:
    """The endpoint.

    Args:
        pipe: opened.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._sessions: set[str] = set()

    def app(self) -> Starlette:
        """``/mcp``, and ``/health``, which asks the server itself."""
        return Starlette(
            routes=[
                Route("/mcp", self.post, methods=["POST"]),
                Route("/mcp", self.delete, methods=["DELETE"]),
                Route("/health", self.health),
            ]
        )

    async def post(self, request: Request) -> Response:
        """A message of a client."""
        message = parse_message(await request.body())
        if message is None or not isinstance(message.get("method", ""), str):
            return _error(400, None, _PARSE_ERROR, "a JSON-RPC message is needed")
        refused = self._refusal(request, message)
        if refused is not None:
            return refused
        if "method" not in message or "id" not in message:
            # What a client says of its own handshake is said already, and its ids mean nothing to the server.
            return Response(status_code=202)
        if message["method"] == "initialize":
            return self._open_session(message)
        return await self._ask(request, message)

    async def delete(self, request: Request) -> Response:
        """The end of a session."""
        session = request.headers.get("mcp-session-id", "")
        if session not in self._sessions:
            return _error(404 if session else 405, None, _INVALID_REQUEST, "there is no such session")
        self._sessions.remove(session)
        return Response(status_code=200)

    async def health(self, request: Request) -> Response:
        """Whether the server answers."""
        try:
            await self._pipe.is_alive()
        except PipeError as error:
            return JSONResponse({"status": "unhealthy", "error": str(error)}, status_code=503)
        return JSONResponse({"status": "healthy"})

    def _refusal(self, request: Request, message: Message) -> Response | None:
        """What a server of this era refuses before it looks at the method."""
        if self._pipe.era == MODERN:
            if message.get("method") == "initialize":
                return _error(
                    400, message.get("id"), _UNSUPPORTED_VERSION, f"this server speaks {PROTOCOL_VERSION} only"
                )
            return None
        if message.get("method") == "initialize":
            return None
        session = request.headers.get("mcp-session-id")
        if session is None:
            return _error(400, message.get("id"), _INVALID_REQUEST, "a session id is needed")
        return (
            None if session in self._sessions else _error(404, message.get("id"), _INVALID_REQUEST, "no such session")
        )

    def _open_session(self, message: Message) -> Response:
        session = uuid4().hex
        self._sessions.add(session)
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": self._pipe.introduction}
        return _json(answer, headers={"Mcp-Session-Id": session})

    async def _ask(self, request: Request, message: Message) -> Response:
        """Pass a request on. A client that hangs up has the request cancelled, for on a pipe nobody hangs up."""
        asking = asyncio.create_task(self._pipe.request(message["method"], message.get("params")))
        hanging_up = asyncio.create_task(_hang_up(request))
        try:
            await asyncio.wait({asking, hanging_up}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                return Response(status_code=499)  # to nobody
            return _json({**asking.result(), "id": message["id"]})
        except PipeError as error:
            return _error(502, message["id"], _SERVER_ENDED, str(error))
        finally:
            asking.cancel()
            hanging_up.cancel()


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(message: Message, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(message), status, headers, "application/json")


def _error(status: int, message_id: Any, code: int, text: str) -> Response:
    return _json({"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}}, status)

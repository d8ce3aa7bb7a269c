"""Which protocol a server speaks, found out by asking.

    server/discover ──answered──▶ modern
          │ refused: an RPC error, or HTTP 4xx
          ▼
    initialize ──answered──▶ streamable
          │ refused with HTTP 4xx
          ▼
    GET ──a stream that says where messages go──▶ sse
          │ anything else
          ▼
    none of them: what the server said to initialize

A network error, silence, or HTTP 5xx is no verdict about the era: the server may speak any when it is well.
Source: modelcontextprotocol.io, specification 2026-07-28, basic/versioning: how a client of both eras begins;
specification 2025-11-25, basic/transports, "Backwards Compatibility": how one begins that knows HTTP+SSE too.
"""

import asyncio

import httpx

from mcp_chaos.errors import TargetError
from mcp_chaos.mcp import DialectError, Sse
from mcp_chaos.mcp.modern import PROTOCOL_VERSION
from mcp_chaos.observe.advice import shown
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.transport import SseTransport

_REJECTIONS = range(400, 500)
_NOT_OF_THE_ERA = (401, 403, 421, 429)


def find_dialect(url: str, deadline_s: float, host_header: str | None = None) -> str:
    """The name of the dialect that a server speaks: ``modern`` where it can, else ``streamable``, else ``sse``.

    Args:
        url: of the MCP endpoint.
        deadline_s: for each of the questions.
        host_header: what the server wants to be called, when ``url`` is a proxy.

    Raises:
        TargetError: it speaks none of them, or cannot be asked; says what it answered.
    """
    with McpClient(url, "modern", deadline_s, host_header) as client:
        answer = client.discover()
    if isinstance(answer, dict):
        versions = answer.get("supportedVersions")
        if isinstance(versions, list) and PROTOCOL_VERSION in versions:
            return "modern"
    elif answer.status not in (200, *_REJECTIONS):
        raise TargetError(
            f"{shown(url)} answered 'server/discover' with {answer}, so what it speaks is not known. "
            "A server that is well otherwise is one of an earlier version: set MCP_DIALECT=streamable."
        )
    elif answer.status in _NOT_OF_THE_ERA:
        raise TargetError(f"{shown(url)} answered 'server/discover' with {answer}.")
    try:
        with McpClient(url, "streamable", deadline_s, host_header) as client:
            client.open()
    except TargetError:
        if asyncio.run(_begins_a_stream(url, deadline_s, host_header)):
            return "sse"
        raise
    return "streamable"


async def _begins_a_stream(url: str, deadline_s: float, host_header: str | None) -> bool:
    transport = SseTransport(url, Sse(), host_header)
    try:
        async with asyncio.timeout(deadline_s):
            return await transport.is_offered()
    except (httpx.HTTPError, httpx.InvalidURL, DialectError, OSError, TimeoutError):
        return False
    finally:
        await transport.close()

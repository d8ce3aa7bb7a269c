"""Which era's protocol a server speaks, found out by asking.

    server/discover ──answered──▶ modern
          │ refused: an RPC error, or HTTP 4xx
          ▼
    initialize ──answered──▶ streamable
          │ refused
          ▼
    neither: the server's own words

A network error, silence, or HTTP 5xx is no verdict about the era: the server may speak either when it is well.
Source: modelcontextprotocol.io, specification 2026-07-28, basic/versioning: how a client of both eras begins.
"""

from mcp_chaos.errors import TargetError
from mcp_chaos.mcp.modern import PROTOCOL_VERSION
from mcp_chaos.observe.client import McpClient

_REJECTIONS = range(400, 500)


def find_dialect(url: str, deadline_s: float, host_header: str | None = None) -> str:
    """The name of the dialect that a server speaks: ``modern`` where it can, else ``streamable``.

    Args:
        url: of the MCP endpoint.
        deadline_s: for each of the two questions.
        host_header: what the server wants to be called, when ``url`` is a proxy.

    Raises:
        TargetError: it speaks neither, or cannot be asked; says what it answered.
    """
    with McpClient(url, "modern", deadline_s, host_header) as client:
        answer = client.discover()
    if isinstance(answer, dict):
        versions = answer.get("supportedVersions")
        if isinstance(versions, list) and PROTOCOL_VERSION in versions:
            return "modern"
    elif answer.status not in (200, *_REJECTIONS):
        raise TargetError(f"{url} answered 'server/discover' with {answer}, which tells nothing of what it speaks.")
    with McpClient(url, "streamable", deadline_s, host_header) as client:
        client.open()
    return "streamable"

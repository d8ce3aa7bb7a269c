"""The dialects of MCP as sans-I/O codecs and session state machines, one file each.

A dialect knows what to say and how to read the answer; it never opens a socket. ``load`` drives it over its own
connections, ``observe`` over httpx.
"""

from mcp_chaos.mcp.dialect import Dialect, DialectError
from mcp_chaos.mcp.jsonrpc import JsonRpc
from mcp_chaos.mcp.modern import Modern
from mcp_chaos.mcp.operation import GetRequest, ListCall, McpCall, Operation, ToolCall
from mcp_chaos.mcp.sse import Sse
from mcp_chaos.mcp.streamable import Streamable
from mcp_chaos.mcp.websocket import WebSocket

DIALECTS: dict[str, type[Dialect]] = {
    "streamable": Streamable,
    "modern": Modern,
    "sse": Sse,
    "jsonrpc": JsonRpc,
    "websocket": WebSocket,
}
"""Every dialect by the name a person gives it."""

__all__ = [
    "DIALECTS",
    "Dialect",
    "DialectError",
    "GetRequest",
    "JsonRpc",
    "ListCall",
    "McpCall",
    "Modern",
    "Operation",
    "Sse",
    "Streamable",
    "ToolCall",
    "WebSocket",
]

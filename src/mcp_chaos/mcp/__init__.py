"""The dialects of MCP as sans-I/O codecs and session state machines, one file each.

A dialect knows what to say and how to read the answer; it never opens a socket. ``load`` drives it over its own
connections and Locust's, ``observe`` over httpx.
"""

from importlib import import_module
from pkgutil import iter_modules

from mcp_chaos.mcp.dialect import DIALECTS, Dialect, DialectError, TransportKind, dialect_of_path, dialects_over
from mcp_chaos.mcp.jsonrpc import JsonRpc
from mcp_chaos.mcp.modern import Modern
from mcp_chaos.mcp.operation import GetRequest, ListCall, McpCall, Operation, PromptGet, ResourceRead, ToolCall
from mcp_chaos.mcp.sse import Sse
from mcp_chaos.mcp.streamable import Streamable
from mcp_chaos.mcp.websocket import WebSocket

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
    "PromptGet",
    "ResourceRead",
    "Sse",
    "Streamable",
    "ToolCall",
    "TransportKind",
    "WebSocket",
    "dialect_of_path",
    "dialects_over",
]

for _module in iter_modules(__path__):  # a dialect is registered by being here
    import_module(f"{__name__}.{_module.name}")

"""A server of whichever MCP SDK this runs with: ``any_sdk.py PORT http|sse|stdio sse|json stateful|stateless``."""

import sys
from typing import Any

from mcp.types import ToolAnnotations

try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:  # SDK 1.x
    from mcp.server.fastmcp import FastMCP as Server  # type: ignore[no-redef,import-not-found,attr-defined,unused-ignore]


async def now() -> str:
    """Answer at once."""
    return "now"


def app_of(server: Any, transport: str, answers: str, state: str) -> Any:
    """The server as a web application."""
    if transport == "sse":
        return server.sse_app()
    options = {"json_response": answers == "json", "stateless_http": state == "stateless"}
    if not hasattr(server.settings, "json_response"):
        return server.streamable_http_app(**options)
    for name, value in options.items():  # SDK 1.x
        setattr(server.settings, name, value)
    return server.streamable_http_app()


def main() -> None:
    """Serve."""
    port, transport, answers, state = sys.argv[1:]
    server = Server("any")
    is_new = "read_only_hint" in ToolAnnotations.model_fields
    hint: dict[str, Any] = {"read_only_hint" if is_new else "readOnlyHint": True}
    server.add_tool(now, annotations=ToolAnnotations(**hint))
    if transport == "stdio":
        server.run("stdio")
        return
    import uvicorn

    uvicorn.run(app_of(server, transport, answers, state), port=int(port), log_level="error")


if __name__ == "__main__":
    main()

"""The embedded target: a warehouse and the reference MCP server, as child processes on loopback."""

"""A server that speaks over standard input and output, behind a loopback port: its network can be broken too."""

COMMAND = "MCP_CHAOS_BRIDGED"
"""The variable by which a bridge is told the words of its server's command, as JSON."""

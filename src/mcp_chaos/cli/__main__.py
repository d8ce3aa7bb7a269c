"""``python -m mcp_chaos.cli`` is ``mcp-chaos``."""

from mcp_chaos.cli import main

main()

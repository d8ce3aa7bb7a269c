"""Variables that may hold secrets, and an environment without them, for processes that need none."""

import os

SECRETS = (
    *("MCP_TOKEN", "MCP_TOKEN_FILE", "MCP_HEADERS", "MCP_COMMAND", "MCP_ARGUMENTS"),
    *("MCP_OAUTH_TOKEN_URL", "MCP_OAUTH_CLIENT_ID", "MCP_OAUTH_CLIENT_SECRET", "MCP_OAUTH_CLIENT_SECRET_FILE"),
    *("MCP_OAUTH_SCOPE", "MCP_OAUTH_RESOURCE"),
)


def without_secrets() -> dict[str, str]:
    """The environment of this process, but for credentials and what is given to programs of other people."""
    return {name: value for name, value in os.environ.items() if name not in SECRETS}

"""TLS as a client: the system's authorities, and one's own from ``MCP_CA_FILE``; certificates are always checked."""

import os
import ssl
from pathlib import Path

from mcp_chaos.history.regular_file import read_regular

CA_FILE = "MCP_CA_FILE"


def client_context() -> ssl.SSLContext:
    """A context that checks certificates and names.

    Raises:
        OSError: ``MCP_CA_FILE`` cannot be read, or holds no certificate (``ssl.SSLError``).
    """
    context = ssl.create_default_context()
    path = os.environ.get(CA_FILE, "").strip()
    if path:
        context.load_verify_locations(path)
    return context


def context_for(url: str) -> ssl.SSLContext:
    """The context for a URL; where that is not https, one that trusts nobody and takes no time to make."""
    return client_context() if url.lower().startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def ca_problems() -> list[str]:
    """What is wrong with ``MCP_CA_FILE``, in words; empty when nothing is."""
    path = os.environ.get(CA_FILE, "").strip()
    if not path:
        return []
    try:
        read_regular(Path(path))
        client_context()
    except ssl.SSLError:
        return [f"{CA_FILE}: {os.environ[CA_FILE]} holds no certificates (PEM)"]
    except OSError as error:
        return [f"{CA_FILE}: {os.environ[CA_FILE]} cannot be read ({error.strerror})"]
    return []

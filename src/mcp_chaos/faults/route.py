"""The way to a server through a proxy, and the one past it."""

import socket
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from mcp_chaos.faults.exchange import HTTP, Exchange


@dataclass(frozen=True)
class Route:
    """Two ways to one server.

    Args:
        proxy: the proxy's name.
        proxied: host and port that the proxy listens on.
        direct: host and port of the server itself.
        host_header: what the server wants to be called.
        path: something to GET.
        tls: whether the server speaks TLS.
        exchange: what is said on it first; ``None`` where that is to be found out (``protocol.py``).
    """

    proxy: str
    proxied: tuple[str, int]
    direct: tuple[str, int]
    host_header: str
    path: str = "/health"
    tls: bool = False
    exchange: Exchange | None = HTTP

    def secured(self, connection: socket.socket) -> socket.socket:
        """The connection, over TLS where the server speaks it.

        Whose certificate it is does not matter here: the canary feels the network, and says nothing that is secret.
        """
        if not self.tls:
            return connection
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(connection, server_hostname=urlsplit(f"//{self.host_header}").hostname)

"""Which protocol a server speaks, found out by asking it on the way past the proxy."""

import select
import socket
from dataclasses import replace

from mcp_chaos.faults.exchange import TRIED, Exchange, Saying, recognised
from mcp_chaos.faults.route import Route
from mcp_chaos.machine.loopback import connect

_PATIENCE_S = 1.0


def with_exchange(route: Route) -> Route:
    """A route whose first exchange is known, where it can be found out."""
    return route if route.exchange is not None else replace(route, exchange=find_exchange(route))


def find_exchange(route: Route) -> Exchange | None:
    """The first exchange of the protocol that a server speaks; ``None`` where it is none of those known.

    Each protocol is tried on a connection of its own; a server that says nothing takes a second for each.

    Args:
        route: to the server.
    """
    for tried in TRIED:
        try:
            with connect(*route.direct, _PATIENCE_S) as connection:
                connection.sendall(tried.request(Saying(route.path, route.host_header)))
                answer = _first_words(connection)
        except OSError:
            continue
        found = recognised(tried, answer)
        if found is not None:
            return found
    return None


def _first_words(connection: socket.socket) -> bytes:
    return connection.recv(65536) if select.select([connection], [], [], _PATIENCE_S)[0] else b""

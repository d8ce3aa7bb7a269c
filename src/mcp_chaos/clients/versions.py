"""The protocol versions that a server's clients may speak: the one that was found, and one with sessions beside it.

Many servers answer 2026-07-28, which has no sessions, and ``initialize`` of the versions before it too. Their clients
with sessions are served by the same process, so what is asked about sessions has to be asked in both.
Source: modelcontextprotocol.io, specification 2026-07-28, basic/versioning.
"""

from contextlib import suppress
from dataclasses import replace

from mcp_chaos.clients.exchange import FAILURES, Client, Wire
from mcp_chaos.mcp.modern import PROTOCOL_VERSION, Modern
from mcp_chaos.mcp.streamable import Streamable


async def wires_of(wire: Wire) -> tuple[Wire, ...]:
    """A server in each of its protocol versions: as it was found, then with sessions where it gives some in another."""
    if wire.target.dialect != Modern.name:
        return (wire,)
    beside = replace(wire, target=replace(wire.target, dialect=Streamable.name))
    client = Client(beside, "mcp_chaos-asks-for-a-session")
    try:
        await client.open()
    except FAILURES:
        return (wire,)
    if not isinstance(client.dialect, Streamable) or client.session_id is None:
        return (wire,)
    with_sessions = replace(beside, version=client.dialect.version)
    with suppress(*FAILURES):
        await client.close()
    return replace(wire, version=PROTOCOL_VERSION), with_sessions

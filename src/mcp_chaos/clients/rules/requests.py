"""Rules on requests: how their bytes arrive must not matter, nor what was asked on the connection before.

Source: RFC 9112, section 6 (a message ends by its length, not by its packets); JSON-RPC 2.0, section 5.1 (errors).
"""

import asyncio

from mcp_chaos.clients.exchange import Reply, why_failed
from mcp_chaos.clients.rules.registry import GOOD, Subject, close_all, rule
from mcp_chaos.load.clients.request import LostError

_PIECES = 12
_BETWEEN_S = 0.05


@rule
async def requests_in_pieces_are_answered(subject: Subject) -> str | None:
    """A request that a slow network delivers in small pieces is answered like any other."""
    client = await subject.client("in-pieces")
    call_id, request = client.call_request(subject.operation)
    reply = Reply()
    connection = await client.wire.connect(reply)
    step = -(-len(request) // _PIECES)
    try:
        for start in range(0, len(request), step):
            connection.send(request[start : start + step])
            await asyncio.sleep(_BETWEEN_S)
        async with asyncio.timeout(subject.wire.deadline_s):
            answer = await reply.answer()
    except (TimeoutError, LostError) as error:
        return f"a request that came in {_PIECES} pieces: {why_failed(error, subject.wire.deadline_s)}"
    finally:
        connection.abandon()
        await close_all(client)
    reason = client.dialect.judge(call_id, answer.status, answer.message, subject.operation)
    return None if reason in GOOD else f"a request that came in {_PIECES} pieces was answered {answer}"


@rule
async def bad_requests_spoil_nothing(subject: Subject) -> str | None:
    """After bad requests, which agents' clients do send, the same session is served as before."""
    client = await subject.client("errs")
    for body in (b'{"jsonrpc": "2.0", "id": ', b"[]", b'{"jsonrpc": "2.0", "id": 9001, "method": "no/such"}'):
        try:
            await client.exchange(body)
        except (TimeoutError, LostError):
            continue  # how they are refused is not asked here
    try:
        reason, answer = await client.call(subject.operation)
        if answer.status == 404:
            client.dialect.forget()
            await client.open()
            reason, answer = await client.call(subject.operation)
    except (TimeoutError, LostError) as error:
        return f"after bad requests on a session, a good call: {why_failed(error, subject.wire.deadline_s)}"
    finally:
        await close_all(client)
    return None if reason in GOOD else f"after bad requests on a session, a good call was answered {answer}"

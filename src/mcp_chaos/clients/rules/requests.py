"""Rules on requests: how their bytes arrive must not matter, nor what was asked on the connection before.

Source: RFC 9112, section 6 (a message ends by its length, not by its packets); JSON-RPC 2.0, section 5.1 (errors).
"""

import asyncio

from mcp_chaos.clients.exchange import Client, Reply, why_failed
from mcp_chaos.clients.rules.registry import (
    GOOD,
    NotApplicableError,
    Subject,
    close_all,
    patient_rule,
    rule,
    sessionless,
)
from mcp_chaos.load.clients.http_connection import Connection, Head
from mcp_chaos.load.clients.request import LostError

_PIECES = 12
_BETWEEN_S = 0.05
_CLOSES_WITHIN_S = 0.5
_CLOSES_TIMES = 5
_IDLE_S = 8.5
"""Far from the 5, 6 and 10 s after which common servers close what is idle."""


@rule
@sessionless
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
    if answer.status == 404:
        raise NotApplicableError("the server's sessions end too soon to tell")
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
        reason, answer = await client.call_renewed(subject.operation)
    except (TimeoutError, LostError) as error:
        return f"after bad requests on a session, a good call: {why_failed(error, subject.wire.deadline_s)}"
    finally:
        await close_all(client)
    return None if reason in GOOD else f"after bad requests on a session, a good call was answered {answer}"


class _Whole(Reply):
    """Keeps the head of a response that has come to its end."""

    head: Head | None = None

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        self.head = head
        super().got_response(connection, head, body, size_bytes)


@rule
@sessionless
async def closing_connections_say_so(subject: Subject) -> str | None:
    """A server that closes connections after each answer MUST say so in it (``Connection: close``).

    One that does not loses requests of clients that use the connection again. Idle ones may be closed at any time, so
    it is one only where every connection is closed at once. Source: RFC 9112, section 9.3. Report: ida-pro-mcp 513.
    """
    client = await subject.patient.client("keeps-its-connection")
    try:
        for _ in range(_CLOSES_TIMES):
            if not await _closes_at_once(client, client.call_request(subject.operation)[1]):
                return None
    finally:
        await close_all(client)
    return (
        f"{_CLOSES_TIMES} of {_CLOSES_TIMES} connections were closed within {_CLOSES_WITHIN_S:g} s of an answer that "
        "did not say so (Connection: close): clients that use them again lose requests"
    )


async def _closes_at_once(client: Client, request: bytes) -> bool:
    """Whether the server closes a connection soon after an answer by which it could be used again."""
    reply = _Whole()
    connection = await client.wire.connect(reply)
    try:
        connection.send(request)
        async with asyncio.timeout(client.wire.deadline_s):
            await reply.answer()
        await asyncio.sleep(_CLOSES_WITHIN_S)
        return reply.head is not None and reply.head.keep_alive and connection.is_closed
    finally:
        connection.abandon()


@patient_rule
@sessionless
async def idle_connection_is_served_or_closed(subject: Subject) -> str | None:
    """A connection that was idle is closed by the server while nobody asks, or serves the next request.

    One that is reset when the next request is on its way makes clients guess whether their call was made.
    """
    client = await subject.patient.client("idle-connection")
    reply = Reply()
    connection = await client.wire.connect(reply)
    try:
        connection.send(client.call_request(subject.operation)[1])
        async with asyncio.timeout(subject.patience_s):
            await reply.answer()
        await asyncio.sleep(_IDLE_S)
        if connection.is_closed:
            return None
        again = reply.renewed()
        connection.send(client.call_request(subject.operation)[1])
        async with asyncio.timeout(subject.patience_s):
            await again
    except LostError as error:
        why = why_failed(error, subject.patience_s)
        return f"a connection that was idle for {_IDLE_S:g} s and not closed: its next request: {why}"
    finally:
        connection.abandon()
        await close_all(client)
    return None

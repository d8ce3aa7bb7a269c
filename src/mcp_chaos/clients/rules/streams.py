"""Rules on GET streams and on resuming: what comes on which stream, and what a stream may cost.

Source: modelcontextprotocol.io, basic/transports, 2025-03-26 to 2025-11-25. Reports: typescript-sdk 2151,
specification 1939.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from mcp_chaos.clients.exchange import FAILURES, Answer, Client, Reply, why_failed
from mcp_chaos.clients.rules.registry import GOOD, NotApplicableError, Subject, close_all, rule
from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.http_connection import Connection, Head, HttpConnection
from mcp_chaos.load.clients.request import LostError
from mcp_chaos.mcp import McpCall
from mcp_chaos.mcp.message import is_answer, parse_message

_AGAIN_WITHIN_S = 5.0
_QUIET_S = 0.2
_REPLAY_S = 0.5
_MANY_STREAMS = 24
_LEAVES = 6


class _Stream(Reply):
    """A GET stream: what comes on it, and with which status it was refused or ended."""

    status: int | None = None

    def got_event(self, connection: Connection, head: Head, data: bytes) -> None:
        message = parse_message(data)
        if message is not None:
            self.messages.append(message)

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        self.status = head.status


async def _open_stream(client: Client, last_event_id: str | None = None) -> tuple[HttpConnection, _Stream]:
    stream = _Stream()
    connection = await client.wire.connect(stream)
    connection.send(client.stream_request(last_event_id))
    await asyncio.sleep(0.1)
    return connection, stream


@rule
async def session_outlives_its_stream(subject: Subject) -> str | None:
    """A client that loses its GET stream keeps its session, and can open a stream again."""
    client = await subject.with_session("streams")
    began = time.monotonic()
    try:
        connection, stream = await _open_stream(client)
        if stream.status is not None:
            raise NotApplicableError(f"the server gives no GET stream (HTTP {stream.status})")
        connection.close_abruptly()
        reason, answer = await client.call(subject.operation)
        await _refuse_short_lives(subject, answer, began)
        if reason not in GOOD:
            return f"after the GET stream of a session was lost, a call on it was answered {answer}"
        status = await _reopened(client)
    finally:
        await close_all(client)
    if status in (None, 200, 404, 429):
        return None
    return f"after a GET stream was lost, a new one is answered HTTP {status} for {_AGAIN_WITHIN_S:g} s"


async def _refuse_short_lives(subject: Subject, answer: Answer, began: float) -> None:
    """Say that a rule does not apply where sessions that nobody disturbed are answered 404 at the same age.

    Raises:
        NotApplicableError: they are.
    """
    if answer.status == 404 and not await subject.sessions_last(time.monotonic() - began):
        raise NotApplicableError("the server's sessions end too soon to tell")


async def _reopened(client: Client) -> int | None:
    """With which status a stream is refused at last; ``None`` where it stands."""
    until = time.monotonic() + _AGAIN_WITHIN_S
    while True:
        connection, stream = await _open_stream(client)
        connection.close_abruptly()
        if stream.status in (None, 200, 404, 429) or time.monotonic() > until:
            return stream.status
        await asyncio.sleep(_QUIET_S)


@rule
async def second_stream_spoils_nothing(subject: Subject) -> str | None:
    """A client that opens a second GET stream, as one that reconnects does, gets it or is refused; its calls go on."""
    client = await subject.with_session("streams-twice")
    began = time.monotonic()
    connections = []
    try:
        for _ in range(2):
            connection, stream = await _open_stream(client)
            connections.append(connection)
            if stream.status is not None and len(connections) == 1:
                raise NotApplicableError(f"the server gives no GET stream (HTTP {stream.status})")
        reason, answer = await client.call(subject.operation)
        await _refuse_short_lives(subject, answer, began)
    except (TimeoutError, LostError) as error:
        return f"after a session opened a second GET stream, a call on it: {why_failed(error, subject.wire.deadline_s)}"
    finally:
        for connection in connections:
            connection.abandon()
        await close_all(client)
    return None if reason in GOOD else f"after a session opened a second GET stream, a call on it was answered {answer}"


@asynccontextmanager
async def _two_listening(subject: Subject) -> AsyncIterator[tuple[Client, Callable[[], int]]]:
    """A client with a GET stream, beside another one; and how many answers came on those streams, where none belongs.

    Raises:
        NotApplicableError: the server has no sessions, or gives no GET stream.
    """
    clients = await subject.with_session("asks"), await subject.with_session("listens")
    streams = [await _open_stream(client) for client in clients]
    try:
        if any(stream.status is not None for _, stream in streams):
            raise NotApplicableError("the server gives no GET stream")
        yield clients[0], lambda: sum(is_answer(message) for _, stream in streams for message in stream.messages)
    finally:
        for connection, _ in streams:
            connection.abandon()
        await close_all(*clients)


@rule
async def undelivered_answers_go_nowhere(subject: Subject) -> str | None:
    """The answer to a client that has left MUST NOT come on a GET stream, its own or another session's."""
    async with _two_listening(subject) as (leaves, strays):
        _, took_s = await subject.slowest()
        for number in range(_LEAVES):
            connection = await leaves.wire.connect(Reply())
            connection.send(leaves.call_request(subject.operation)[1])
            await asyncio.sleep(min(took_s, 1.0) * number / _LEAVES)
            connection.close_abruptly()
        await asyncio.sleep(min(took_s, 1.0) + _REPLAY_S)
    stray = strays()
    return f"{stray} answers to a client that had left came on GET streams" if stray else None


@rule
async def answers_come_on_one_stream(subject: Subject) -> str | None:
    """An answer MUST come on the stream of its request, and on no other one, nor another session's."""
    async with _two_listening(subject) as (asks, strays):
        reason, answer = await asks.call(subject.operation)
        if reason not in (*GOOD, Reason.SESSION_LOST):
            return f"with GET streams open, a call was answered {answer}"
        await asyncio.sleep(_QUIET_S)
    stray = strays()
    return f"the answer of a call came on {stray} GET streams that did not ask for it" if stray else None


@rule
async def open_streams_keep_nobody_out(subject: Subject) -> str | None:
    """Every official SDK holds a GET stream open: with that of many clients open, a new one is served."""
    clients = [await subject.with_session("holds")]
    first, stream = await _open_stream(clients[0])
    connections = [first]
    try:
        if stream.status is not None:
            raise NotApplicableError("the server gives no GET stream")
        for number in range(1, _MANY_STREAMS):
            clients.append(await subject.client(f"holds-{number}"))
            connections.append((await _open_stream(clients[-1]))[0])
        newcomer = await subject.client("comes-last")
        clients.append(newcomer)
        reason, answer = await newcomer.call(subject.operation)
    except FAILURES as error:
        why = why_failed(error, subject.wire.deadline_s)
        return f"with the GET streams of {len(connections)} clients open, a new client was not served: {why}"
    finally:
        for connection in connections:
            connection.abandon()
        await close_all(*clients)
    if reason in GOOD:
        return None
    return f"with the GET streams of {_MANY_STREAMS} clients open, a new client's call was answered {answer}"


@rule
async def resumed_streams_replay_their_own(subject: Subject) -> str | None:
    """A stream that is resumed by Last-Event-ID MAY be replayed, but MUST NOT carry what belongs to another stream."""
    asks, other = await subject.with_session("resumes"), await subject.with_session("asks-meanwhile")
    other.skip_ids(1000)  # so that it is seen whose answer comes
    try:
        first_id, call_id = await _first_event_id(asks, subject.operation)
        for client in (other, asks, other):
            await client.call(subject.operation)
        connection, stream = await _open_stream(asks, first_id)
        await asyncio.sleep(_REPLAY_S)
        connection.abandon()
    finally:
        await close_all(asks, other)
    if stream.status not in (None, 200):
        raise NotApplicableError(f"the server does not resume streams (HTTP {stream.status})")
    replayed = [message.get("id") for message in stream.messages if is_answer(message)]
    if any(found != call_id for found in replayed):
        return "a stream that was resumed by Last-Event-ID carried the answers of other calls"
    if len(replayed) > 1:
        return f"a stream that was resumed by Last-Event-ID carried one answer {len(replayed)} times"
    return None


async def _first_event_id(client: Client, operation: McpCall) -> tuple[str, int]:
    """The id of the first event in answer to a call, and the call's own id.

    Raises:
        NotApplicableError: the answer's events have no ids.
    """
    call_id, request = client.call_request(operation)
    reply = _Noting()
    await client.send(request, reply)
    if reply.first_id is None:
        raise NotApplicableError("the events of the server's streams have no ids")
    return reply.first_id, call_id


class _Noting(Reply):
    """Keeps the id of the first event of its stream."""

    first_id: str | None = None

    def got_event(self, connection: Connection, head: Head, data: bytes) -> None:
        if isinstance(connection, HttpConnection):
            self.first_id = connection.first_event_id
        super().got_event(connection, head, data)

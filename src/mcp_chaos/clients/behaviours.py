"""How clients misbehave: one function per behaviour, registered by its name.

Each is given a client whose session is open, and returns whether its call was really in flight when it misbehaved.
Sources: python-sdk 1764, 2064, 1967, 2958, 1811; ``docs/experiments.md`` says which report each stands for.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mcp_chaos.clients.exchange import FAILURES, Client, Reply, hang_up
from mcp_chaos.load.clients.http_connection import HttpConnection
from mcp_chaos.mcp import McpCall, ToolCall

_HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Chance:
    """What varies between one misbehaviour and the next.

    Args:
        operation: to call.
        random: seeded.
        usual_s: how long a call usually takes.
    """

    operation: McpCall
    random: random.Random
    usual_s: float

    @property
    def reset(self) -> bool:
        """Whether to leave by RST; else by FIN."""
        return self.random.random() < 0.5

    @property
    def moment_s(self) -> float:
        """A moment within a usual call."""
        return self.random.uniform(0.0, 0.9) * min(self.usual_s, 0.5)


Behaviour = Callable[[Client, Chance], Coroutine[Any, Any, bool]]

BEHAVIOURS: dict[str, Behaviour] = {}
"""Every behaviour by its name."""


def behaviour(function: Behaviour) -> Behaviour:
    """Register a behaviour under its function's name."""
    BEHAVIOURS[function.__name__] = function
    return function


async def _send_and_leave(client: Client, data: bytes, chance: Chance, stay_s: float) -> bool:
    """Send bytes, stay for a moment, hang up; whether no answer had come by then."""
    reply = Reply()
    async with asyncio.timeout(client.wire.deadline_s):
        connection = await client.wire.connect(reply)
        try:
            connection.send(data)
            await asyncio.sleep(stay_s)
            return not reply.arrived
        finally:
            hang_up(connection, reset=chance.reset)


async def _call_and(client: Client, chance: Chance, then: Callable[[int], Coroutine[Any, Any, None]]) -> bool:
    """Send a call, do something while it runs, hang up; whether the call was in flight when that began."""
    call_id, request = client.call_request(chance.operation)
    reply = Reply()
    async with asyncio.timeout(client.wire.deadline_s):
        connection = await client.wire.connect(reply)
        try:
            connection.send(request)
            await asyncio.sleep(chance.moment_s)
            in_flight = not reply.arrived
            await then(call_id)
            return in_flight
        finally:
            hang_up(connection, reset=chance.reset)


@behaviour
async def leave_during_call(client: Client, chance: Chance) -> bool:
    """Send a call and hang up before its answer."""
    _, request = client.call_request(chance.operation)
    return await _send_and_leave(client, request, chance, chance.moment_s)


@behaviour
async def leave_at_once(client: Client, chance: Chance) -> bool:
    """Send a call and hang up in the same moment."""
    _, request = client.call_request(chance.operation)
    return await _send_and_leave(client, request, chance, 0.002)


@behaviour
async def leave_in_body(client: Client, chance: Chance) -> bool:
    """Hang up in the middle of the request's body."""
    _, request = client.call_request(chance.operation)
    head = request.index(_HEAD_END) + len(_HEAD_END)
    cut = head + (len(request) - head) // 2
    return await _send_and_leave(client, request[:cut], chance, 0.01)


@behaviour
async def leave_in_head(client: Client, chance: Chance) -> bool:
    """Hang up in the middle of the request's head."""
    _, request = client.call_request(chance.operation)
    return await _send_and_leave(client, request[: request.index(_HEAD_END) // 2], chance, 0.01)


@behaviour
async def connect_and_leave(client: Client, chance: Chance) -> bool:
    """Connect, send nothing, and leave, ten times at once."""
    await asyncio.gather(*(_send_and_leave(client, b"", chance, 0.0) for _ in range(10)))
    return False


@behaviour
async def send_garbage(client: Client, chance: Chance) -> bool:
    """Send what is no JSON-RPC, and ask for a tool that is not there."""
    with suppress(*FAILURES):
        await client.exchange(b'{"jsonrpc": "2.0", "id": ')
        await client.call(ToolCall("mcp_chaos_no_such_tool"))
    return False


@behaviour
async def leave_during_handshake(client: Client, chance: Chance) -> bool:
    """Ask for a session, and hang up before it is opened."""
    newcomer = Client(client.wire, client.dialect.client_id)
    body = newcomer.dialect.opening()
    if body is not None:
        await _send_and_leave(newcomer, newcomer.request(body), chance, chance.moment_s)
    return False


@behaviour
async def crowd_and_leave(client: Client, chance: Chance) -> bool:
    """Make many calls at once, wait for a moment, and leave them all."""
    calls = max(5, min(30, round(0.5 / max(chance.usual_s, 0.001))))
    requests = [client.call_request(chance.operation)[1] for _ in range(calls)]
    left = await asyncio.gather(
        *(_send_and_leave(client, request, chance, chance.moment_s) for request in requests), return_exceptions=True
    )
    return True in left


@behaviour
async def cancel_call(client: Client, chance: Chance) -> bool:
    """Send a call, cancel it as its protocol version has it, and hang up."""

    async def cancel(call_id: int) -> None:
        body = client.dialect.cancellation(call_id)
        if body is not None:
            await client.exchange(body)

    return await _call_and(client, chance, cancel)


@behaviour
async def end_session_during_call(client: Client, chance: Chance) -> bool:
    """Send a call and end the session by DELETE while it runs."""

    async def end(_: int) -> None:
        await client.close()

    try:
        return await _call_and(client, chance, end)
    finally:
        client.dialect.forget()


@behaviour
async def ask_twice(client: Client, chance: Chance) -> bool:
    """Send the same request on two connections and hang up on one of them."""
    call_id, request = client.call_request(chance.operation)
    left, again = await asyncio.gather(
        _send_and_leave(client, request, chance, chance.moment_s),
        client.send(client.call_request(chance.operation, call_id)[1]),
        return_exceptions=True,
    )
    return left is True and not isinstance(again, FAILURES)


@behaviour
async def drop_the_stream(client: Client, chance: Chance) -> bool:
    """Open the GET stream, as every official SDK does after its handshake, and hang up on it."""
    if client.session_id is None:
        return False
    return await _send_and_leave(client, client.stream_request(), chance, 0.02)


@behaviour
async def drop_the_session(client: Client, chance: Chance) -> bool:
    """Make a call, then never come back: no DELETE."""
    with suppress(*FAILURES):
        await client.call(chance.operation)
    client.dialect.forget()
    return False


async def never_finish_the_request(client: Client, *, in_body: bool) -> HttpConnection:
    """Send half a head, or a head and half a body, and nothing more; the connection, to be abandoned later."""
    request = client.request(client.dialect.opening() or b'{"jsonrpc": "2.0"}')
    head_bytes = request.index(_HEAD_END) + len(_HEAD_END)
    cut = (head_bytes + len(request)) // 2 if in_body else head_bytes // 2
    connection = await client.wire.connect(Reply())
    connection.send(request[:cut])
    return connection


async def never_read(client: Client, operation: McpCall, requests: int) -> HttpConnection:
    """Ask for the same again and again on one connection and read nothing; the connection, to be abandoned later."""
    connection = await client.wire.connect(Reply(), receive_bytes=4096)
    connection.pause()
    for _ in range(requests):
        connection.send(client.call_request(operation)[1])
    return connection

"""Rules of the specification that hold under disturbance, one function each, registered by its name.

Each returns what it saw broken, in words, or ``None``; it raises :class:`NotApplicableError` where the server, or its
protocol version, lacks what the rule is about.
Source: modelcontextprotocol.io, basic/transports, basic/utilities/cancellation and ping, 2025-03-26 to 2026-07-28.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import orjson

from mcp_chaos.clients.exchange import FAILURES, Answer, Client, Reply, Wire, why_failed
from mcp_chaos.clients.storm import usual_s
from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.http_connection import HttpConnection
from mcp_chaos.load.clients.request import LostError
from mcp_chaos.mcp import Operation
from mcp_chaos.mcp.dialect import parse_message

_IDLE = "idle_session_is_served"
_IDLE_S = 6.0
_AGAIN_WITHIN_S = 5.0
_SHORTEST_S = 0.1
_SLOW_S = 0.1
_SLOW_CALLS = 16
_ABANDONED_S = 6.0
_NOTICEABLE_S = 1.0
_LONGEST_S = 30.0


class NotApplicableError(Exception):
    """The rule says nothing about this server; says what is missing."""


Rule = Callable[[Wire, Operation], Coroutine[Any, Any, str | None]]

RULES: dict[str, Rule] = {}
"""Every rule by its name."""


def rule(function: Rule) -> Rule:
    """Register a rule under its function's name."""
    RULES[function.__name__] = function
    return function


async def check_rules(wire: Wire, operation: Operation, names: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    """Check rules, one after the other but for the idle wait.

    Returns:
        What is broken, in words; and of each rule that does not apply, why.
    """
    broken: list[str] = []
    missing: dict[str, str] = {}
    checks = {name: RULES[name](wire, operation) for name in names}
    # It waits most of its time, beside the others.
    idle = asyncio.create_task(checks.pop(_IDLE)) if _IDLE in checks else None
    for name, check in [*checks.items(), *([(_IDLE, idle)] if idle is not None else [])]:
        try:
            found = await check
        except NotApplicableError as error:
            missing[name] = str(error)
        except FAILURES as error:
            broken.append(f"{name.replace('_', ' ')}: {why_failed(error, wire.deadline_s)}")
        else:
            broken += [found] if found else []
    return broken, missing


async def _with_session(wire: Wire, name: str) -> Client:
    client = Client(wire, f"mcp_chaos-{name}")
    await client.open()
    if client.session_id is None:
        raise NotApplicableError("the server has no sessions")
    return client


def _rejects_the_session(answer: Answer) -> bool:
    return answer.status == 404


@rule
async def ended_session_is_answered_404(wire: Wire, operation: Operation) -> str | None:
    """A session that was ended by DELETE MUST be answered 404, so that its client opens a new one."""
    client = await _with_session(wire, "ended")
    status = await client.close()
    if status is None or not 200 <= status < 300:
        raise NotApplicableError(f"the server does not end sessions by DELETE (HTTP {status})")
    _, request = client.call_request(operation)
    try:
        answer = await client.send(request)
    except (TimeoutError, LostError) as error:
        return f"a call on a session that was ended got no 404: {why_failed(error, wire.deadline_s)}"
    if _rejects_the_session(answer):
        return None
    return f"a call on a session that was ended was answered {answer}, not 404, so clients do not open a new one"


@rule
async def unknown_session_is_answered_404(wire: Wire, operation: Operation) -> str | None:
    """A session that the server does not know, as after its restart, MUST be answered 404."""
    client = await _with_session(wire, "unknown")
    known = client.session_id or ""
    client.dialect.session_id = known[:-4] + ("0000" if known[-4:] != "0000" else "1111")  # type: ignore[attr-defined]
    client.dialect.headers_version += 1
    _, request = client.call_request(operation)
    answer = await client.send(request)
    client.dialect.session_id = known  # type: ignore[attr-defined]
    with suppress(*FAILURES):
        await client.close()
    if _rejects_the_session(answer):
        return None
    return f"a call on an unknown session was answered {answer}, not 404, so clients never recover from a restart"


@rule
async def ping_is_answered(wire: Wire, operation: Operation) -> str | None:
    """``ping`` MUST be answered promptly, also while calls are under way (until 2025-11-25)."""
    client = await _with_session(wire, "pings")
    calls = [asyncio.create_task(client.call(operation)) for _ in range(4)]
    body = orjson.dumps({"jsonrpc": "2.0", "id": client.next_id(), "method": "ping"})
    try:
        answer = await client.exchange(body)
    finally:
        await asyncio.gather(*calls, return_exceptions=True)
        with suppress(*FAILURES):
            await client.close()
    if answer.status == 429:
        raise NotApplicableError("the server limits rates")
    good = answer.status == 200 and isinstance((answer.message or {}).get("result"), dict)
    return None if good else f"a ping was answered {answer}"


@rule
async def calls_do_not_block_bystanders(wire: Wire, operation: Operation) -> str | None:
    """While some clients wait for slow calls, another one that asks for the list of tools is served as before."""
    if wire.target.dialect == "jsonrpc":
        raise NotApplicableError("the dialect has no list of tools")
    usual = await usual_s(wire, operation)
    if usual < _SLOW_S:
        raise NotApplicableError(f"a call takes {usual * 1e3:.0f} ms only, so it keeps nobody waiting")
    patient = Wire(wire.target, _LONGEST_S)
    busy, bystander = Client(patient, "mcp_chaos-busy"), Client(patient, "mcp_chaos-bystander")
    await busy.open()
    await bystander.open()
    calls = [asyncio.create_task(busy.call(operation)) for _ in range(_SLOW_CALLS)]
    await asyncio.sleep(0.1)
    began = time.monotonic()
    try:
        await bystander.call(Operation("", method="tools/list"))
        took_s = time.monotonic() - began
    finally:
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.gather(busy.close(), bystander.close(), return_exceptions=True)
    if took_s < 3 * usual + _NOTICEABLE_S:
        return None
    return (
        f"a client that asked for the list of tools waited {took_s:.1f} s behind {_SLOW_CALLS} calls of {usual:.2f} s"
    )


async def _open_stream(client: Client) -> tuple[HttpConnection, "_Stream"]:
    stream = _Stream()
    connection = await client.wire.connect(stream)
    connection.send(client.stream_request())
    await asyncio.sleep(0.1)
    return connection, stream


class _Stream(Reply):
    """A GET stream: what comes on it."""

    status: int | None = None

    def got_event(self, connection: object, head: object, data: bytes) -> None:
        message = parse_message(data)
        if message is not None:
            self.messages.append(message)

    def got_response(self, connection: object, head: object, body: bytes, size_bytes: int) -> None:
        self.status = head.status  # type: ignore[attr-defined]


@rule
async def session_outlives_its_stream(wire: Wire, operation: Operation) -> str | None:
    """A client that loses its GET stream keeps its session, and can open a stream again."""
    client = await _with_session(wire, "streams")
    connection, stream = await _open_stream(client)
    if stream.status is not None:
        with suppress(*FAILURES):
            await client.close()
        raise NotApplicableError(f"the server gives no GET stream (HTTP {stream.status})")
    connection.close_abruptly()
    reason, answer = await client.call(operation)
    if reason not in (Reason.OK, Reason.RATE_LIMITED):
        return f"after the GET stream of a session was lost, a call on it was answered {answer}"
    until = time.monotonic() + _AGAIN_WITHIN_S
    while True:
        connection, stream = await _open_stream(client)
        connection.close_abruptly()
        if stream.status in (None, 200, 429):
            break
        if time.monotonic() > until:
            return f"after a GET stream was lost, a new one is answered HTTP {stream.status} for {_AGAIN_WITHIN_S:g} s"
        await asyncio.sleep(0.2)
    with suppress(*FAILURES):
        await client.close()
    return None


@rule
async def answers_come_on_one_stream(wire: Wire, operation: Operation) -> str | None:
    """An answer MUST come on the stream of its request, and on no other one, nor another session's."""
    asks, listens = await _with_session(wire, "asks"), await _with_session(wire, "listens")
    streams = [await _open_stream(client) for client in (asks, listens)]
    try:
        if any(stream.status is not None for _, stream in streams):
            raise NotApplicableError("the server gives no GET stream")
        reason, answer = await asks.call(operation)
        if reason not in (Reason.OK, Reason.RATE_LIMITED):
            return f"with GET streams open, a call was answered {answer}"
        await asyncio.sleep(0.2)
    finally:
        for connection, _ in streams:
            connection.abandon()
        for client in (asks, listens):
            with suppress(*FAILURES):
                await client.close()
    stray = [message for _, stream in streams for message in stream.messages if "method" not in message]
    return f"the answer of a call came on {len(stray)} GET streams that did not ask for it" if stray else None


@rule
async def idle_session_is_served(wire: Wire, operation: Operation) -> str | None:
    """A session that was idle for some seconds is served, or answered 404 and opened anew."""
    client = await _with_session(wire, "idle")
    await client.call(operation)
    await asyncio.sleep(_IDLE_S)
    reason, answer = await client.call(operation)
    if answer.status == 404:
        client.dialect.forget()
        await client.open()
        reason, answer = await client.call(operation)
    with suppress(*FAILURES):
        await client.close()
    if reason in (Reason.OK, Reason.RATE_LIMITED):
        return None
    return f"a session that was idle for {_IDLE_S:g} s was answered {answer}, neither served nor 404"


@rule
async def cancelled_calls_free_their_capacity(wire: Wire, operation: Operation) -> str | None:
    """The work of calls that were cancelled stops: a neighbour is served before it would have been done.

    Until 2025-11-25 a call is cancelled by its notification; in 2026-07-28 by closing its stream.
    """
    if wire.target.dialect == "jsonrpc":
        raise NotApplicableError("the dialect knows no cancellation")
    usual = await usual_s(wire, operation)
    if usual < _SHORTEST_S:
        raise NotApplicableError(f"a call takes {usual * 1e3:.0f} ms only, so nothing is there to cancel")
    calls = min(40, max(8, round(_ABANDONED_S / usual)))
    kept_s = await _neighbour_s(wire, operation, calls, cancel=False)
    bound_s = 3 * usual + _NOTICEABLE_S
    if kept_s < bound_s:
        raise NotApplicableError(f"{calls} calls at once do not keep a neighbour waiting")
    freed_s = await _neighbour_s(wire, operation, calls, cancel=True)
    if freed_s < max(bound_s, 0.6 * kept_s):
        return None
    return (
        f"{calls} calls were cancelled, and a neighbour waited {freed_s:.1f} s for its answer, as if they still ran "
        f"(usual: {usual:.2f} s; behind calls that were not cancelled: {kept_s:.1f} s)"
    )


async def _neighbour_s(wire: Wire, operation: Operation, calls: int, *, cancel: bool) -> float:
    """How long a neighbour waits behind so many calls, which were cancelled or not."""
    patient = Wire(wire.target, _LONGEST_S)
    crowd = [Client(patient, f"mcp_chaos-crowd-{n}") for n in range(min(8, calls))]
    neighbour = Client(patient, "mcp_chaos-neighbour")
    await asyncio.gather(*(client.open() for client in [*crowd, neighbour]))
    open_calls = await asyncio.gather(*(_begin(crowd[n % len(crowd)], operation) for n in range(calls)))
    await asyncio.sleep(0.1)
    if cancel:
        await asyncio.gather(*(_cancel(*begun) for begun in open_calls), return_exceptions=True)
    began = time.monotonic()
    try:
        await neighbour.call(operation)
        took_s = time.monotonic() - began
        if not cancel:
            replies = (reply.answer() for _, _, _, reply in open_calls)
            await asyncio.wait_for(asyncio.gather(*replies, return_exceptions=True), _LONGEST_S)
    finally:
        for _, connection, _, _ in open_calls:
            connection.abandon()
        await asyncio.gather(*(client.close() for client in [*crowd, neighbour]), return_exceptions=True)
    return took_s


async def _begin(client: Client, operation: Operation) -> tuple[Client, HttpConnection, int, Reply]:
    call_id, request = client.call_request(operation)
    reply = Reply()
    connection = await client.wire.connect(reply)
    connection.send(request)
    return client, connection, call_id, reply


async def _cancel(client: Client, connection: HttpConnection, call_id: int, reply: Reply) -> None:
    body = client.dialect.cancellation(call_id)
    if body is not None:
        await client.exchange(body)
    connection.close_abruptly()

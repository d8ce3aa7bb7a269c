"""Rules on capacity: one client's calls must not keep others out, and calls that were given up must not either.

Source: modelcontextprotocol.io, basic/utilities/cancellation. Reports: rust-sdk 857, mcp-go 755, fastmcp 4354.
"""

import asyncio
import time
from contextlib import suppress

from mcp_chaos.clients.behaviours import never_read
from mcp_chaos.clients.exchange import Client, Reply, why_failed
from mcp_chaos.clients.rules.registry import NotApplicableError, Subject, close_all, rule, sessionless
from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.http_connection import HttpConnection
from mcp_chaos.load.clients.request import LostError
from mcp_chaos.mcp import ListCall, McpCall

_SHORTEST_S = 0.1
_BUSY_S = 6.0
_NOTICEABLE_S = 1.0
_PLACES = 5
_MOST_CALLS = 60
_AT_ONCE = 12
_TRIALS = 5
_HEAD_START_S = 0.02
_SLOW_READERS = 2
_READING_S = 0.5
_LONGEST_READING_S = 8.0
_MOST_UNREAD = 300
_FULL_BYTES = 200_000


async def _slow_call(subject: Subject) -> tuple[McpCall, float, int]:
    """A call that takes long enough to be noticed, how long in seconds, and how many fill some seconds one by one."""
    if not subject.wire.target.lists_tools:
        raise NotApplicableError("the dialect has no list of tools and no cancellation")
    operation, took_s = await subject.slowest()
    if took_s < _SHORTEST_S:
        raise NotApplicableError(f"a call takes {took_s * 1e3:.0f} ms only, so it keeps nobody waiting")
    return operation, took_s, min(40, max(8, round(_BUSY_S / took_s)))


@rule
@sessionless
async def calls_do_not_block_bystanders(subject: Subject) -> str | None:
    """While one slow call is under way, another client that asks for the list of tools is served as before."""
    operation, took_s, _ = await _slow_call(subject)
    patient = subject.patient
    busy, bystander = await patient.client("busy"), await patient.client("bystander")
    try:
        # The least of several: one slow moment of the machine is nobody's fault, a server that is blocked always waits.
        alone_s = min([await _list_s(bystander) for _ in range(_TRIALS)])
        beside_s = min([await _list_beside_s(busy, operation, bystander) for _ in range(_TRIALS)])
    finally:
        await close_all(busy, bystander)
    if beside_s - alone_s < took_s / 2:
        return None
    return (
        f"beside one slow call of another client ({took_s:.2f} s), the list of tools took {beside_s:.2f} s or more "
        f"(alone: {alone_s:.3f} s): the server does one thing at a time"
    )


async def _list_s(client: Client) -> float:
    began = time.monotonic()
    await client.call(ListCall())
    return time.monotonic() - began


async def _list_beside_s(busy: Client, operation: McpCall, bystander: Client) -> float:
    call = asyncio.create_task(busy.call(operation))
    await asyncio.sleep(_HEAD_START_S)
    try:
        return await _list_s(bystander)
    finally:
        await asyncio.gather(call, return_exceptions=True)


@rule
@sessionless
async def slow_readers_keep_nobody_out(subject: Subject) -> str | None:
    """While some clients ask for much and read nothing, another one is served."""
    operation, took_s, answer_bytes = await subject.largest()
    requests = _FULL_BYTES // max(1, answer_bytes) + 2
    if requests > _MOST_UNREAD:
        raise NotApplicableError(f"answers of {answer_bytes} bytes do not fill the buffers on the way")
    readers = [await subject.client(f"reads-nothing-{number}") for number in range(_SLOW_READERS)]
    bystander = await subject.client("reads-all")
    holding = [await never_read(reader, operation, requests) for reader in readers]
    try:
        # Until they have asked for more than fits on the way.
        await asyncio.sleep(min(_LONGEST_READING_S, _READING_S + _SLOW_READERS * requests * took_s))
        await bystander.call(subject.operation)
    except (TimeoutError, LostError) as error:
        why = why_failed(error, subject.wire.deadline_s)
        return f"while {_SLOW_READERS} clients did not read their answers, a call of another one was not served: {why}"
    finally:
        for connection in holding:
            connection.abandon()
        await close_all(*readers, bystander)
    return None


@rule
async def calls_at_once_are_all_answered(subject: Subject) -> str | None:
    """Calls of one session that are made at the same time are all answered, in whatever order."""
    patient = subject.patient
    client = await patient.client("hurries")
    results = await asyncio.gather(*(client.call(subject.operation) for _ in range(_AT_ONCE)), return_exceptions=True)
    await close_all(client)
    lost = sum(isinstance(result, BaseException) for result in results)
    wrong = sum(not isinstance(result, BaseException) and result[0] is Reason.WRONG_ANSWER for result in results)
    if lost:
        return f"of {_AT_ONCE} calls that a session made at once, {lost} had no answer within {subject.patience_s:g} s"
    return f"of {_AT_ONCE} calls that a session made at once, {wrong} got another one's answer" if wrong else None


@rule
async def cancelled_calls_free_their_capacity(subject: Subject) -> str | None:
    """The work of calls that were cancelled stops: a neighbour is served before it would have been done.

    Until 2025-11-25 a call is cancelled by its notification; in 2026-07-28 by closing its stream.
    """
    operation, usual, calls = await _slow_call(subject)
    patient = subject.patient
    bound_s = 3 * usual + _NOTICEABLE_S
    kept_s = await _neighbour_s(patient, operation, calls, cancel=False)
    if kept_s < bound_s:  # several places: as many calls as fill some of them
        calls = min(_MOST_CALLS, _PLACES * calls)
        kept_s = await _neighbour_s(patient, operation, calls, cancel=False)
    freed_s = await _neighbour_s(patient, operation, calls, cancel=True)
    if max(kept_s, freed_s) < bound_s:
        raise NotApplicableError(f"{calls} calls at once do not keep a neighbour waiting")
    if freed_s < max(bound_s, 0.6 * kept_s):
        return None
    return (
        f"{calls} calls were cancelled, and a neighbour waited {freed_s:.1f} s for its answer, as if they still ran "
        f"(usual: {usual:.2f} s; behind calls that were not cancelled: {kept_s:.1f} s)"
    )


async def _neighbour_s(patient: Subject, operation: McpCall, calls: int, *, cancel: bool) -> float:
    """How long a neighbour waits behind so many calls, which were cancelled or not, in seconds."""
    crowd = [Client(patient.wire, f"mcp_chaos-crowd-{n}") for n in range(min(8, calls))]
    neighbour = Client(patient.wire, "mcp_chaos-neighbour")
    await asyncio.gather(*(client.open() for client in [*crowd, neighbour]))
    open_calls = await asyncio.gather(*(_begin(crowd[n % len(crowd)], operation) for n in range(calls)))
    await asyncio.sleep(0.1)
    if cancel:
        await asyncio.gather(*(_cancel(*begun) for begun in open_calls), return_exceptions=True)
    began = time.monotonic()
    try:
        with suppress(TimeoutError):  # then it waited as long as it does
            await neighbour.call(operation)
        took_s = time.monotonic() - began
        if not cancel:
            replies = (reply.answer() for _, _, _, reply in open_calls)
            await asyncio.wait_for(asyncio.gather(*replies, return_exceptions=True), patient.wire.deadline_s)
    finally:
        for _, connection, _, _ in open_calls:
            connection.abandon()
        await close_all(*crowd, neighbour)
    return took_s


async def _begin(client: Client, operation: McpCall) -> tuple[Client, HttpConnection, int, Reply]:
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

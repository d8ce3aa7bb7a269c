"""Rules on sessions: when they end, and when they must not.

Source: modelcontextprotocol.io, basic/transports and basic/utilities/ping, 2025-03-26 to 2025-11-25.
"""

import asyncio
from contextlib import suppress

import orjson

from mcp_chaos.clients.exchange import FAILURES, Answer, Client, Reply, is_rate_limit, why_failed
from mcp_chaos.clients.rules.registry import (
    GOOD,
    NotApplicableError,
    Subject,
    close_all,
    patient_rule,
    refuse_rate_limit,
    rule,
)
from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.request import LostError
from mcp_chaos.mcp import McpCall

_IDLE_S = 6.0
_HERD = 20
_TRIES = 6
_LONGEST_STAY_S = 1.0


@rule
async def ended_session_is_answered_404(subject: Subject) -> str | None:
    """A session that was ended by DELETE MUST be answered 404, so that its client opens a new one."""
    client = await subject.with_session("ended")
    status = await client.close()
    if status is None or not 200 <= status < 300:
        raise NotApplicableError(f"the server does not end sessions by DELETE (HTTP {status})")
    _, request = client.call_request(subject.operation)
    what = "a call on a session that was ended"
    try:
        answer = await client.send(request)
    except (TimeoutError, LostError) as error:
        return f"{what} got no 404: {why_failed(error, subject.wire.deadline_s)}"
    return _unless_404(what, answer, "do not open a new one")


@rule
async def unknown_session_is_answered_404(subject: Subject) -> str | None:
    """A session that the server does not know, as after its restart, MUST be answered 404."""
    client = await subject.with_session("unknown")
    known = client.session_id or ""
    forged = known[:-4] + ("0000" if known[-4:] != "0000" else "1111")
    _, request = client.call_request(subject.operation)
    try:
        answer = await client.send(request.replace(known.encode("latin-1"), forged.encode("latin-1"), 1))
    finally:
        await close_all(client)
    return _unless_404("a call on an unknown session", answer, "never recover from a restart")


def _unless_404(what: str, answer: Answer, so_clients: str) -> str | None:
    refuse_rate_limit(answer)
    return None if answer.status == 404 else f"{what} was answered {answer}, not 404, so clients {so_clients}"


@rule
async def ping_is_answered(subject: Subject) -> str | None:
    """``ping`` MUST be answered promptly, also while calls are under way (until 2025-11-25)."""
    client = await subject.with_session("pings")
    calls = [asyncio.create_task(client.call(subject.operation)) for _ in range(4)]
    body = orjson.dumps({"jsonrpc": "2.0", "id": client.next_id(), "method": "ping"})
    try:
        answer = await client.exchange(body)
    finally:
        await asyncio.gather(*calls, return_exceptions=True)
        await close_all(client)
    refuse_rate_limit(answer)
    good = answer.status == 200 and isinstance((answer.message or {}).get("result"), dict)
    return None if good else f"a ping was answered {answer}"


@rule
async def sessions_opened_at_once_are_served(subject: Subject) -> str | None:
    """When many clients come at once, as after an outage, each gets a session of its own and is served, in the end."""
    clients = [Client(subject.patient.wire, f"mcp_chaos-herd-{number}") for number in range(_HERD)]

    async def use(client: Client) -> Reason:
        await client.open()
        return (await client.call(subject.operation))[0]

    results = await asyncio.gather(*(use(client) for client in clients), return_exceptions=True)
    ids = [client.session_id for client in clients if client.session_id is not None]
    await close_all(*clients)
    bad = [result for result in results if result not in GOOD and not is_rate_limit(result)]
    if len(set(ids)) < len(ids):
        return f"{_HERD} clients that came at once got {len(set(ids))} different sessions"
    if not bad:
        return None
    why = why_failed(bad[0], subject.patience_s) if isinstance(bad[0], BaseException) else bad[0].name.lower()
    return f"of {_HERD} clients that came at once, {len(bad)} were not served: {why.replace('_', ' ')}"


@rule
async def cancelled_call_spares_its_session(subject: Subject) -> str | None:
    """A session in which a call was cancelled while it ran is served as before, or answered 404 and opened anew.

    Two sessions have to be lost: one slow moment of the machine is nobody's fault. Report: nelssec/qualys-mcp 213.
    """
    lost_before = False
    for _ in range(_TRIES):
        client = await subject.with_session("cancels")
        try:
            if not await _cancel_while_it_runs(client, *await subject.slowest()):
                continue
            found = await _next_call(client, subject)
        finally:
            await close_all(client)
        if found is None or lost_before:
            return found
        lost_before = True
    raise NotApplicableError("calls are over too soon to be cancelled while they run")


async def _cancel_while_it_runs(client: Client, operation: McpCall, took_s: float) -> bool:
    """Make a call and cancel it after a third of its usual time; whether it still ran then."""
    call_id, request = client.call_request(operation)
    cancellation = client.dialect.cancellation(call_id)
    if cancellation is None:
        raise NotApplicableError("the protocol version has no message that cancels a call")
    reply = Reply()
    async with asyncio.timeout(client.wire.deadline_s):
        connection = await client.wire.connect(reply)
    try:
        connection.send(request)
        await asyncio.sleep(min(took_s / 3, _LONGEST_STAY_S))
        still_ran = not reply.arrived
        with suppress(*FAILURES):  # how it is taken is not asked here
            await client.exchange(cancellation)
    finally:
        connection.abandon()
    return still_ran


async def _next_call(client: Client, subject: Subject) -> str | None:
    what = "after a call was cancelled while it ran, the next call of its session"
    try:
        reason, answer = await client.call_renewed(subject.operation)
    except FAILURES as error:
        if is_rate_limit(error):
            return None
        return f"{what}: {why_failed(error, subject.wire.deadline_s)}"
    return None if reason in GOOD else f"{what} was answered {answer}"


@patient_rule
async def idle_session_is_served(subject: Subject) -> str | None:
    """A session that was idle for some seconds is served, or answered 404 and opened anew."""
    client = await subject.patient.with_session("idle")
    await client.call(subject.operation)
    await asyncio.sleep(_IDLE_S)
    reason, answer = await client.call_renewed(subject.operation)
    await close_all(client)
    if reason in GOOD:
        return None
    return f"a session that was idle for {_IDLE_S:g} s was answered {answer}, neither served nor 404"

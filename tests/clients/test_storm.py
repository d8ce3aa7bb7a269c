"""Misbehaving clients: they really leave in flight, find the planted defects, and leave the sound server alone."""

import asyncio

import pytest

from mcp_chaos.clients.behaviours import BEHAVIOURS
from mcp_chaos.clients.fault import ClientFaults, behaviour_names
from mcp_chaos.clients.storm import MIN_IN_FLIGHT, Storm, StormResult
from mcp_chaos.clients.tally import fresh_sessions
from mcp_chaos.clients.versions import wires_of
from mcp_chaos.errors import UsageError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.mcp import McpCall, ToolCall
from tests.clients.conftest import Serve, Wire, bites

SLOW = ToolCall("slow")
ECHO = ToolCall("echo", {"text": "hello"})


def storm(
    wire: Wire, operation: McpCall = ECHO, names: tuple[str, ...] = tuple(BEHAVIOURS), for_s: float = 1.5
) -> StormResult:
    return asyncio.run(Storm([wire], operation, names, seed=1).run(clients=4, for_s=for_s))


@pytest.mark.parametrize("dialect", ["streamable", "modern"])
def test_the_sound_server_serves_fresh_sessions_meanwhile_and_afterwards(serve: Serve, dialect: str) -> None:
    wire = serve(dialect=dialect)
    result = storm(wire)
    assert result.in_flight.total() >= MIN_IN_FLIGHT
    assert len(result.fresh.served) >= 2
    assert result.fresh.why == ""
    assert result.returned.failures == []
    assert result.returned.served or dialect == "modern"
    assert asyncio.run(fresh_sessions([wire], ECHO, 3)).failures == []


@pytest.mark.parametrize("name", ["leave_during_call", "leave_in_body", "cancel_call", "end_session_during_call"])
def test_calls_are_in_flight_when_their_clients_leave(serve: Serve, name: str) -> None:
    result = storm(serve(slow_s=0.2), SLOW, (name,))
    assert result.in_flight[name] >= 0.6 * result.made[name] > 0


def test_places_that_lost_clients_keep_are_missed_by_fresh_sessions(serve: Serve) -> None:
    wire = serve("keeps_places_of_lost_clients")
    result = storm(wire, names=("leave_during_call", "leave_at_once"))
    assert bites(wire) >= 6, "the defect did not bite"
    assert "no answer within 5 s" in result.fresh.why
    assert asyncio.run(fresh_sessions([wire], ECHO, 1)).failures == ["no answer within 5 s"]


def test_sessions_that_end_with_a_lost_call_are_missed_by_clients_that_come_back(serve: Serve) -> None:
    wire = serve("poisons_sessions")
    result = storm(wire, names=("leave_during_call", "leave_in_body"))
    assert bites(wire) > 0
    assert "HTTP 500" in result.returned.told("clients that came back were not served")
    assert result.fresh.failures == []


@pytest.mark.parametrize("defect", ["locks_reads", "keeps_places_of_lost_handshakes"])
def test_what_unfinished_requests_and_handshakes_keep_is_missed_by_fresh_sessions(serve: Serve, defect: str) -> None:
    wire = serve(defect)
    result = storm(wire, names=("leave_during_handshake", "leave_at_once"), for_s=6)
    assert bites(wire) > 0
    assert "no answer within 5 s" in result.fresh.why


def test_descriptors_are_kept_for_clients_that_left(serve: Serve) -> None:
    wire = serve("keeps_descriptors_of_lost_clients")
    storm(wire, names=("leave_during_call",))
    assert bites(wire) > 0


def test_a_storm_is_a_fault_with_its_window_and_proof(serve: Serve, folder: RunFolder, clock: Clock) -> None:
    faults = ClientFaults(folder, clock)
    receipt = faults.run([serve()], ECHO, ("leave_at_once",), 4, 1.0, 1)
    kinds = [event.kind for event in folder.events()]
    assert kinds == ["fault_injecting", "fault_proven", "fault_healed"]
    assert "misbehaved while their call was in flight" in receipt["proof"]


def test_too_few_calls_in_flight_prove_nothing(serve: Serve, folder: RunFolder, clock: Clock) -> None:
    gone = Wire(serve().target.__class__("127.0.0.1", 1, "127.0.0.1:1", "/mcp", "streamable"), 1.0)
    ClientFaults(folder, clock).run([gone], ECHO, ("leave_at_once",), 1, 0.3, 1)
    unproven = [event for event in folder.events() if event.kind == "fault_unproven"]
    assert unproven[0].data["doubt"].endswith("at least 10 needed")


def test_behaviours_are_checked_by_name() -> None:
    assert behaviour_names("all") == tuple(BEHAVIOURS)
    with pytest.raises(UsageError, match="there is no swear"):
        behaviour_names("leave_at_once,swear")


def test_other_dialects_are_refused(serve: Serve, folder: RunFolder, clock: Clock) -> None:
    with pytest.raises(UsageError, match="spoken to in 'sse'"):
        ClientFaults(folder, clock).run([serve(dialect="sse")], ECHO, ("leave_at_once",), 1, 0.1, 1)
    assert folder.events() == []


def test_a_server_that_is_gone_fails_fresh_sessions_with_the_reason(serve: Serve) -> None:
    wire = Wire(serve().target.__class__("127.0.0.1", 1, "127.0.0.1:1", "/mcp", "streamable"), 1.0)
    found = asyncio.run(fresh_sessions([wire], ECHO, 2))
    assert found.why == "2 of 2 fresh sessions were not served: the connection was refused (2)"


def test_clients_take_the_protocol_versions_in_turn_and_failures_say_which(serve: Serve) -> None:
    wires = asyncio.run(wires_of(serve("poisons_sessions", dialect="modern")))
    result = asyncio.run(Storm(wires, ECHO, ("leave_during_call",), seed=1).run(clients=4, for_s=1.5))
    said = result.returned.told("clients that came back were not served")
    assert "HTTP 500" in said
    assert "(protocol version 2025-11-25)" in said
    assert "2026-07-28" not in said

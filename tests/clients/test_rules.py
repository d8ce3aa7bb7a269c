"""Protocol rules: each finds its planted defect, and lets the sound server pass."""

import asyncio

import pytest

from mcp_chaos.clients.rules import RULES, check_rules
from mcp_chaos.mcp import Operation
from tests.clients.conftest import Serve, Wire, bites

SLOW = Operation("slow")


def check(wire: Wire, *names: str) -> tuple[list[str], dict[str, str]]:
    return asyncio.run(check_rules(wire, SLOW, names or tuple(RULES)))


def test_the_sound_server_keeps_every_rule(serve: Serve) -> None:
    broken, missing = check(serve())
    assert (broken, missing) == ([], {})


def test_a_stateless_server_has_no_sessions_to_judge(serve: Serve) -> None:
    broken, missing = check(serve(stateless=True), "ended_session_is_answered_404", "ping_is_answered")
    assert broken == []
    assert set(missing.values()) == {"the server has no sessions"}


def test_the_modern_protocol_cancels_by_hanging_up(serve: Serve) -> None:
    names = ("cancelled_calls_free_their_capacity", "calls_do_not_block_bystanders")
    assert check(serve(dialect="modern"), *names) == ([], {})


def test_a_lost_session_that_is_answered_400_is_found(serve: Serve) -> None:
    wire = serve("RefusesLostSessions")
    broken, _ = check(wire, "ended_session_is_answered_404", "unknown_session_is_answered_404")
    assert bites(wire) == 2
    assert len(broken) == 2
    assert all("HTTP 400" in sentence and "not 404" in sentence for sentence in broken)


def test_a_call_that_blocks_the_server_is_found_from_a_bystanders_side(serve: Serve) -> None:
    broken, _ = check(serve(flaw="blocks"), "calls_do_not_block_bystanders")
    assert len(broken) == 1
    assert "asked for the list of tools waited" in broken[0]


@pytest.mark.parametrize("dialect", ["streamable", "modern"])
def test_cancelled_calls_that_run_on_are_found_from_a_neighbours_side(serve: Serve, dialect: str) -> None:
    broken, _ = check(serve(flaw="runs on", dialect=dialect), "cancelled_calls_free_their_capacity")
    assert len(broken) == 1
    assert "as if they still ran" in broken[0]


@pytest.mark.parametrize("name", ["cancelled_calls_free_their_capacity", "calls_do_not_block_bystanders"])
def test_quick_calls_leave_nothing_to_measure(serve: Serve, name: str) -> None:
    _, missing = asyncio.run(check_rules(serve(), Operation("echo", {"text": "x"}), (name,)))
    assert "only" in missing[name]


def test_a_server_that_is_gone_breaks_a_rule_with_the_reason(serve: Serve) -> None:
    wire = Wire(serve().target.__class__("127.0.0.1", 1, "127.0.0.1:1", "/mcp", "streamable"), 1.0)
    broken, _ = check(wire, "ping_is_answered")
    assert broken == ["ping is answered: the connection was refused"]

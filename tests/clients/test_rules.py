"""Protocol rules: each finds its planted defect, and lets the sound server pass."""

import asyncio
import socket
from dataclasses import replace

import pytest

from mcp_chaos.clients.rules import RULES, Subject, check_rules, check_rules_in_versions
from mcp_chaos.clients.versions import wires_of
from mcp_chaos.load.spec import Target
from mcp_chaos.mcp import ToolCall
from tests.clients.conftest import Serve, Wire, bites
from tests.conftest import read_request, serving

SLOW = ToolCall("slow")
ECHO = ToolCall("echo", {"text": "x"})
BIG = ToolCall("echo", {"text": "x" * 100_000})


def check(wire: Wire, *names: str) -> tuple[list[str], dict[str, str]]:
    return asyncio.run(check_rules(Subject(wire, SLOW, (BIG,)), names or tuple(RULES)))


def test_the_sound_server_keeps_every_rule(serve: Serve) -> None:
    broken, missing = check(serve(flaw="replays its own"))
    assert (broken, missing) == ([], {})


def test_a_stateless_server_has_no_sessions_to_judge(serve: Serve) -> None:
    broken, missing = check(serve(stateless=True), "ended_session_is_answered_404", "ping_is_answered")
    assert broken == []
    assert set(missing.values()) == {"the server has no sessions"}


def test_the_modern_protocol_cancels_by_hanging_up(serve: Serve) -> None:
    names = ("cancelled_calls_free_their_capacity", "calls_do_not_block_bystanders")
    assert check(serve(dialect="modern"), *names) == ([], {})


def test_a_lost_session_that_is_answered_400_is_found(serve: Serve) -> None:
    wire = serve("answers_lost_sessions_400")
    broken, _ = check(wire, "ended_session_is_answered_404", "unknown_session_is_answered_404")
    assert bites(wire) == 2
    assert len(broken) == 2
    assert all("HTTP 400" in sentence and "not 404" in sentence for sentence in broken)


def test_a_call_that_blocks_the_server_is_found_from_a_bystanders_side(serve: Serve) -> None:
    broken, _ = check(serve(flaw="blocks"), "calls_do_not_block_bystanders")
    assert len(broken) == 1
    assert "the server does one thing at a time" in broken[0]


@pytest.mark.parametrize("dialect", ["streamable", "modern"])
def test_cancelled_calls_that_run_on_are_found_from_a_neighbours_side(serve: Serve, dialect: str) -> None:
    broken, _ = check(serve(flaw="runs on", dialect=dialect), "cancelled_calls_free_their_capacity")
    assert len(broken) == 1
    assert "as if they still ran" in broken[0]


@pytest.mark.parametrize(
    ("defect", "name", "said"),
    [
        (
            "reads_one_piece",
            "requests_in_pieces_are_answered",
            "in 12 pieces was answered HTTP 400",
        ),
        ("never_forgives_bad_requests", "bad_requests_spoil_nothing", "a good call was answered HTTP 500"),
        ("streams_take_places", "open_streams_keep_nobody_out", "a new client was not served: no answer within 5 s"),
        ("broadcasts_answers", "answers_come_on_one_stream", "came on 2 GET streams that did not ask for it"),
        ("breaks_on_second_stream", "second_stream_spoils_nothing", "a call on it: no answer within 5 s"),
        ("broadcasts_undelivered", "undelivered_answers_go_nowhere", "answers to a client that had left came on GET"),
        ("locks_writes", "slow_readers_keep_nobody_out", "a call of another one was not served: no answer within 5 s"),
        (
            "resets_idle_connections",
            "idle_connection_is_served_or_closed",
            "not closed: its next request: the connection",
        ),
        ("forgets_idle_sessions_badly", "idle_session_is_served", "was answered HTTP 500, neither served nor 404"),
    ],
)
def test_each_rule_finds_its_planted_defect(serve: Serve, defect: str, name: str, said: str) -> None:
    wire = serve(defect)
    broken, missing = asyncio.run(check_rules(Subject(wire, SLOW, (BIG,)), [name]))
    assert missing == {}
    assert bites(wire) > 0, "the defect did not bite"
    assert len(broken) == 1
    assert said in broken[0]


def test_a_session_that_a_cancellation_stops_is_found(serve: Serve) -> None:
    wire = serve("stops_sessions_by_cancellation")
    impatient = Subject(replace(wire, deadline_s=1.5), ECHO, (SLOW,))
    broken, _ = asyncio.run(check_rules(impatient, ["cancelled_call_spares_its_session"]))
    assert bites(wire) == 2, "a call of each of two sessions"
    assert broken == ["after a call was cancelled while it ran, the next call of its session: no answer within 1.5 s"]


def test_a_session_that_loses_calls_at_once_is_found(serve: Serve) -> None:
    wire = serve("loses_calls_at_once")
    impatient = Subject(wire, ECHO, patience_s=2.0)
    broken, _ = asyncio.run(check_rules(impatient, ["calls_at_once_are_all_answered"]))
    assert bites(wire) == 4
    assert broken == ["of 12 calls that a session made at once, 4 had no answer within 2 s"]


def test_a_resumed_stream_that_carries_what_is_not_its_own_is_found(serve: Serve) -> None:
    wire = serve(flaw="replays all")
    broken, _ = check(wire, "resumed_streams_replay_their_own")
    assert bites(wire) > 0
    assert broken == ["a stream that was resumed by Last-Event-ID carried the answers of other calls"]


def test_no_rule_is_begun_when_the_time_is_over(serve: Serve) -> None:
    broken, missing = asyncio.run(check_rules(Subject(serve(), ECHO), tuple(RULES), limit_s=-1.0))
    assert broken == []
    assert {why for why in missing.values() if why.startswith("no time")} == {"no time was left after -1 s"}
    assert "idle_session_is_served" not in missing, "it ran beside the others"


def test_the_slowest_call_is_found_by_trying(serve: Serve) -> None:
    wire = serve(flaw="blocks")
    subject = Subject(wire, ECHO, (ToolCall("no_such_tool"), SLOW))
    broken, missing = asyncio.run(check_rules(subject, ["calls_do_not_block_bystanders"]))
    assert missing == {}
    assert len(broken) == 1


@pytest.mark.parametrize("name", ["cancelled_calls_free_their_capacity", "calls_do_not_block_bystanders"])
def test_quick_calls_leave_nothing_to_measure(serve: Serve, name: str) -> None:
    _, missing = asyncio.run(check_rules(Subject(serve(), ECHO), (name,)))
    assert "only" in missing[name]


def test_a_rule_whose_clients_wait_longer_says_how_long(serve: Serve) -> None:
    impatient = Subject(serve(slow_s=20.0), SLOW, patience_s=1.0)
    broken, _ = asyncio.run(check_rules(impatient, ["idle_session_is_served"]))
    assert broken == ["idle session is served: no answer within 1 s"]


def test_a_server_that_is_gone_breaks_a_rule_with_the_reason(serve: Serve) -> None:
    wire = Wire(serve().target.__class__("127.0.0.1", 1, "127.0.0.1:1", "/mcp", "streamable"), 1.0)
    broken, _ = check(wire, "ping_is_answered")
    assert broken == ["ping is answered: the connection was refused"]


def test_a_server_of_both_kinds_of_versions_is_asked_about_sessions_in_the_one_that_has_them(serve: Serve) -> None:
    wires = asyncio.run(wires_of(serve("answers_lost_sessions_400", dialect="modern")))
    assert [(wire.target.dialect, wire.version) for wire in wires] == [
        ("modern", "2026-07-28"),
        ("streamable", "2025-11-25"),
    ]
    names = ("ended_session_is_answered_404", "requests_in_pieces_are_answered", "answers_come_on_one_stream")
    broken, missing = asyncio.run(check_rules_in_versions([Subject(wire, ECHO) for wire in wires], names))
    assert len(broken) == 1
    assert broken[0].endswith("(protocol version 2025-11-25)")
    assert missing == {}


@pytest.mark.parametrize(("dialect", "stateless"), [("streamable", False), ("modern", True)])
def test_a_server_without_other_sessions_is_asked_in_one_version(
    serve: Serve, dialect: str, *, stateless: bool
) -> None:
    wire = serve(dialect=dialect, stateless=stateless)
    assert asyncio.run(wires_of(wire)) == (wire,)


@pytest.mark.parametrize(
    ("header", "closes", "found"),
    [(b"", True, 1), (b"Connection: keep-alive\r\n", True, 1), (b"Connection: close\r\n", True, 0), (b"", False, 0)],
)
def test_a_server_that_closes_each_connection_has_to_say_so(header: bytes, found: int, *, closes: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: 2\r\n\r\n{}" % header

    def handle(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer)
            if closes:
                return

    with serving(handle) as server:
        where = Target("127.0.0.1", server.port, f"127.0.0.1:{server.port}", "/mcp", "modern")
        broken, missing = check(Wire(where, 5.0), "closing_connections_say_so")
    assert (len(broken), missing) == (found, {})

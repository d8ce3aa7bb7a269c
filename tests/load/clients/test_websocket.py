"""WebSocket users against a real server: every call ends in time, counts once, and is classed for what it was."""

import json
import socket
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from websockets.sync.server import ServerConnection

from mcp_chaos.history.calls import Outcome
from mcp_chaos.load.clients import websocket_connection
from mcp_chaos.workload.workload import UserKind, Workload
from tests.conftest import read_request, serving
from tests.load.test_engine import DEADLINE_S, http, reasons, run_engine
from tests.load.websocket_servers import PAGE, TOOL, Answers, answered, calls_to, raw, result, spec_for, talking


def against(answers: Answers, users: int = 2, total: int = 6, **options: Any) -> Counter[str]:
    with talking(answers) as server:
        return reasons(calls_to(server.port, users, total, **options))


def test_each_user_opens_one_session_for_all_its_calls() -> None:
    with talking() as server:
        calls = calls_to(server.port, 3, 60)
    assert reasons(calls) == {"OK": 60}
    assert set(calls["outcome"]) == {Outcome.OK}
    assert server.sessions == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": 999_999}, "WRONG_ANSWER"),
        ({"id": True}, "WRONG_ANSWER"),
        ({"jsonrpc": "1.0"}, "WRONG_ANSWER"),
        ({"result": None}, "WRONG_ANSWER"),
        ({"result": {"content": [], "isError": True}}, "TOOL_ERROR"),
        ({"error": {"code": -1, "message": "no"}}, "RPC_ERROR"),
    ],
)
def test_bad_answers_are_classed(changes: dict[str, Any], reason: str) -> None:
    assert against(lambda connection, message: connection.send(result(message, **changes))) == {reason: 6}


@pytest.mark.parametrize("text", ["hello", "[]", "", b"\xff\x00"])
def test_a_message_that_is_no_answer_is_a_wrong_one(text: str | bytes) -> None:
    assert against(lambda connection, _: connection.send(text)) == {"WRONG_ANSWER": 6}


def test_an_answer_out_of_step_costs_the_connection() -> None:
    with talking(lambda connection, message: connection.send(result(message, id=0))) as server:
        assert reasons(calls_to(server.port, 1, 4)) == {"WRONG_ANSWER": 4}
        assert server.sessions == 4


def test_an_answer_in_pieces_or_as_binary_is_whole() -> None:
    def in_pieces(connection: ServerConnection, message: dict[str, Any]) -> None:
        text = result(message)
        connection.send(iter([text[:5], text[5:6], "", text[6:]]))

    assert against(in_pieces) == {"OK": 6}
    assert against(lambda connection, message: connection.send(result(message).encode())) == {"OK": 6}


def test_what_the_server_says_of_its_own_is_no_answer() -> None:
    def chatty(connection: ServerConnection, message: dict[str, Any]) -> None:
        connection.send('{"jsonrpc":"2.0","method":"notifications/progress","params":{}}')
        connection.send(json.dumps({"jsonrpc": "2.0", "id": message["id"], "method": "roots/list"}))
        connection.ping()
        connection.send(result(message))
        connection.send('{"jsonrpc":"2.0","method":"notifications/message","params":{}}')

    with talking(chatty, greeting='{"jsonrpc":"2.0","method":"notifications/message"}') as server:
        assert reasons(calls_to(server.port, 2, 20)) == {"OK": 20}
        assert server.sessions == 2


def test_pings_are_answered() -> None:
    def ping_first(connection: ServerConnection, message: dict[str, Any]) -> None:
        assert connection.ping().wait(5)
        connection.send(result(message))

    def in_a_thread(*call: Any) -> None:
        threading.Thread(target=ping_first, args=call).start()

    with talking(in_a_thread) as server:
        assert reasons(calls_to(server.port, 1, 5)) == {"OK": 5}


def test_silence_ends_at_the_deadline_and_the_next_call_has_a_new_session() -> None:
    with talking(lambda *_: None) as server:
        calls = calls_to(server.port, 2, 4)
        assert reasons(calls) == {"TIMED_OUT": 4}
        assert set(calls["outcome"]) == {Outcome.INFO}
        assert server.sessions == 4


def test_a_server_that_only_ever_pings_is_silent() -> None:
    def ping_on(connection: ServerConnection, _: dict[str, Any]) -> None:
        while True:
            connection.ping()
            time.sleep(0.02)

    assert against(ping_on, total=2) == {"TIMED_OUT": 2}


def test_a_connection_lost_between_calls_is_opened_anew_and_fails_none() -> None:
    def last_answer(connection: ServerConnection, message: dict[str, Any]) -> None:
        connection.send(result(message))
        connection.close()

    with talking(last_answer) as server:
        spec = spec_for(server.port)
        kind = UserKind("u", (TOOL,), wait_s=(0.05, 0.05), websocket=True)
        calls = run_engine(replace(spec, workload=Workload((kind,))), 2, 8)
        assert reasons(calls) == {"OK": 8}
        assert server.sessions == 8


def test_a_close_instead_of_an_answer_is_a_closed_connection() -> None:
    with talking(lambda connection, _: connection.close()) as server:
        calls = calls_to(server.port, 2, 6)
    assert reasons(calls) == {"CLOSED": 6}
    assert set(calls["outcome"]) == {Outcome.INFO}


def test_an_answer_beyond_all_measure_is_a_wrong_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket_connection, "MAX_ANSWER_BYTES", 10_000)
    large = {"content": [{"type": "text", "text": "x" * 9_000}]}
    assert against(lambda connection, message: connection.send(result(message, result=large))) == {"OK": 6}
    assert against(lambda connection, _: connection.send("x" * 20_000)) == {"WRONG_ANSWER": 6}
    assert against(lambda connection, _: connection.send(["x" * 6_000] * 2)) == {"WRONG_ANSWER": 6}


@pytest.mark.parametrize("greeting", ["hello", '{"jsonrpc":"2.0","id":0,"result":{}}'])
def test_a_server_that_speaks_first_and_out_of_turn_costs_no_deadline(greeting: str) -> None:
    with talking(greeting=greeting) as server:
        calls = calls_to(server.port, 2, 10)
    assert set(reasons(calls)) <= {"OK", "WRONG_ANSWER", "CLOSED", "RPC_ERROR"}
    assert np.all(calls["done_ns"] - calls["intended_ns"] < DEADLINE_S * 1e9)


def test_a_second_answer_to_one_call_is_never_that_of_another() -> None:
    def twice(connection: ServerConnection, message: dict[str, Any]) -> None:
        connection.send(result(message))
        connection.send(result(message))

    assert set(against(twice, users=1, total=10)) <= {"OK", "WRONG_ANSWER", "CLOSED"}


def test_pages_are_read_over_http_beside_the_session() -> None:
    with talking() as server:
        calls = calls_to(server.port, 2, 40, TOOL, PAGE)
        assert reasons(calls) == {"OK": 40}
        assert server.sessions == 2
    pages = calls[calls["operation"] == 1]
    assert 5 < len(pages) < 35
    assert set(pages["bytes"]) == {4}


def test_a_page_that_says_something_else_is_wrong_content() -> None:
    with talking() as server:
        calls = calls_to(server.port, 1, 10, TOOL, replace(PAGE, expect="healthy"))
    assert set(reasons(calls[calls["operation"] == 1])) == {"WRONG_CONTENT"}
    assert set(reasons(calls[calls["operation"] == 0])) == {"OK"}


def test_a_page_leaves_no_connection_behind() -> None:
    began: list[Any] = []
    ended: list[Any] = []
    open_at_once: list[Any] = []

    def page_or_session(conn: socket.socket) -> None:
        if conn.recv(7, socket.MSG_PEEK) == b"GET /ws":
            raw(answered)(conn)
            return
        began.append(conn)
        open_at_once.append(len(began) - len(ended))
        while read_request(conn):
            conn.sendall(http(b"fine"))
        ended.append(conn)

    with serving(page_or_session) as server:
        assert reasons(calls_to(server.port, 1, 20, replace(PAGE, weight=9), TOOL)) == {"OK": 20}
    assert len(began) > 10
    assert max(open_at_once) <= 4  # the server may hear of an end a little later

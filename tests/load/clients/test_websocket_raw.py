"""WebSocket users against what no real server can be made to do."""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mcp_chaos.history.calls import Calls, Outcome
from tests.conftest import Handler, answer_always, read_request, serving
from tests.load.test_engine import DEADLINE_S, http, reasons
from tests.load.websocket_servers import (
    CLOSE,
    PAGE,
    TOOL,
    WELCOME,
    answered,
    calls_to,
    frame,
    raw,
    read_message,
    upgraded,
)

RESET = b"\1" + b"\0" * 7


def against(handler: Handler, users: int = 2, total: int = 6, *operations: Any) -> Calls:
    with serving(handler) as server:
        return calls_to(server.port, users, total, *operations)


def test_the_raw_server_is_taken_for_a_real_one() -> None:
    assert reasons(against(raw(answered), 2, 20, TOOL, PAGE)) == {"OK": 20}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (http(b"no", status="404 Not Found"), "HTTP_ERROR"),
        (http(b"no", status="401 Unauthorized"), "HTTP_ERROR"),
        (http(b"no", status="302 Found", extra="Location: /x\r\n"), "HTTP_ERROR"),
        (http(b"no", status="429 Too Many Requests"), "RATE_LIMITED"),
        (http(b"no", status="500 Internal Server Error"), "SERVER_ERROR"),
        (http(b"no", status="200 OK"), "WRONG_ANSWER"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "WRONG_ANSWER"),
        (b"I am not HTTP\r\n\r\n", "WRONG_ANSWER"),
        (b"\x00" * 100_000, "WRONG_ANSWER"),
    ],
)
def test_a_refused_upgrade_is_the_calls_failure(said: bytes, reason: str) -> None:
    calls = against(answer_always(said))
    assert reasons(calls) == {reason: 6}
    assert set(calls["outcome"]) == {Outcome.FAIL}
    assert set(calls["sent_ns"]) == {0}


def test_a_refusal_that_ends_with_its_connection_is_whole() -> None:
    def handle(conn: socket.socket) -> None:
        read_request(conn)
        conn.sendall(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nnot here")

    assert reasons(against(handle)) == {"HTTP_ERROR": 6}


def after_the_request(act: Callable[[socket.socket, bytes], Any]) -> Handler:
    return lambda conn: act(conn, read_request(conn)) and None


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (lambda conn: read_request(conn) and None, "CLOSED"),
        (
            after_the_request(lambda conn, _: conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1" + b"\0" * 7)),
            "RESET",
        ),
        (after_the_request(lambda conn, _: conn.recv(1)), "TIMED_OUT"),
        (after_the_request(lambda conn, request: (conn.sendall(upgraded(request)[:-9]), conn.recv(1))), "TIMED_OUT"),
        (after_the_request(lambda conn, request: conn.sendall(upgraded(request)[:-9])), "CLOSED"),
        (after_the_request(lambda conn, request: (conn.sendall(upgraded(request)), read_message(conn))), "CLOSED"),
        (after_the_request(lambda conn, request: conn.sendall(upgraded(request) + CLOSE)), "CLOSED"),
        (raw(answered, welcome=b""), "TIMED_OUT"),
        (raw(answered, welcome=WELCOME[:-1]), "TIMED_OUT"),
        (raw(answered, welcome=CLOSE), "CLOSED"),
        (raw(answered, welcome=WELCOME + CLOSE), "CLOSED"),
        (raw(answered, welcome=b"\xff" * 9), "WRONG_ANSWER"),
        (raw(answered, welcome=frame('{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"no"}}')), "RPC_ERROR"),
        (raw(answered, welcome=frame("hello")), "WRONG_ANSWER"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_handshake_that_fails_ends_in_time_and_nothing_was_sent(handler: Handler, reason: str) -> None:
    calls = against(handler, total=2)
    assert reasons(calls) == {reason: 2}
    assert set(calls["outcome"]) == {Outcome.FAIL}


def test_nobody_there_means_that_it_surely_did_not_happen() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        calls = calls_to(bound.getsockname()[1], 2, 6, TOOL, PAGE)
    assert reasons(calls) == {"REFUSED": 6}
    assert set(calls["outcome"]) == {Outcome.FAIL}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda m: answered(m)[:-1], "TIMED_OUT"),
        (lambda m: CLOSE, "CLOSED"),
        (lambda m: b"\xff\xff\xff\xff", "WRONG_ANSWER"),
        (lambda m: b"\x81\x85\0\0\0\0hello", "WRONG_ANSWER"),
        (lambda m: frame("{", fin=False) + answered(m), "WRONG_ANSWER"),
        (lambda m: frame("x", opcode=0), "WRONG_ANSWER"),
        (lambda m: b"\xc1" + answered(m)[1:], "WRONG_ANSWER"),
        (lambda m: b"\x81\x7f\x7f" + b"\xff" * 7, "WRONG_ANSWER"),
        (lambda m: http(answered(m)), "WRONG_ANSWER"),
    ],
)
def test_an_answer_that_is_no_frame_is_classed(answer: Callable[[dict[str, Any]], bytes], reason: str) -> None:
    calls = against(raw(answer), total=4)
    assert reasons(calls) == {reason: 4}
    assert set(calls["outcome"]) == {Outcome.INFO}


def test_an_answer_that_comes_byte_by_byte_is_whole() -> None:
    def dribble(conn: socket.socket) -> None:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = upgraded(read_request(conn))
        while True:
            for byte in data:
                conn.send(bytes([byte]))
            message = read_message(conn)
            if message is None:
                return
            data = WELCOME if message["method"] == "initialize" else answered(message) if "id" in message else b""

    assert reasons(against(dribble, total=4)) == {"OK": 4}


def test_an_answer_and_a_close_in_one_piece_fail_no_call() -> None:
    with serving(raw(lambda message: answered(message) + CLOSE)) as server:
        assert reasons(calls_to(server.port, 2, 8)) == {"OK": 8}
        assert server.connections == 8


@pytest.mark.parametrize("extra", [WELCOME, frame("hello"), frame("[]")])
def test_a_message_out_of_turn_in_the_handshake_begins_no_call_without_a_session(extra: bytes) -> None:
    seen: list[list[str]] = []

    def handle(conn: socket.socket) -> None:
        methods: list[str] = []
        seen.append(methods)
        conn.sendall(upgraded(read_request(conn)))
        while message := read_message(conn):
            methods.append(message["method"])
            if "id" in message:
                conn.sendall(WELCOME + extra if message["method"] == "initialize" else answered(message))

    calls = against(handle)
    assert all(methods[0] == "initialize" for methods in seen if methods)
    assert set(reasons(calls)) <= {"OK", "WRONG_ANSWER", "CLOSED"}
    assert np.all(calls["done_ns"] - calls["intended_ns"] < DEADLINE_S * 1e9)


def test_a_message_that_comes_while_a_page_is_read_is_not_the_page() -> None:
    sessions: list[socket.socket] = []
    answer = raw(answered)

    def handle(conn: socket.socket) -> None:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if conn.recv(7, socket.MSG_PEEK) == b"GET /ws":
            sessions.append(conn)
        else:
            for session in sessions[-1:]:
                with contextlib.suppress(OSError):
                    session.sendall(frame("stray"))
            time.sleep(0.02)  # the stray message comes first
        answer(conn)

    calls = against(handle, 1, 20, TOOL, PAGE)
    assert reasons(calls) == {"OK": 20}
    assert set(calls["bytes"][calls["operation"] == 1]) == {4}


def test_a_page_that_fails_leaves_the_session_alone() -> None:
    answer = raw(answered)

    def handle(conn: socket.socket) -> None:
        if conn.recv(7, socket.MSG_PEEK) == b"GET /ws":
            answer(conn)

    calls = against(handle, 1, 20, TOOL, PAGE)
    assert set(reasons(calls[calls["operation"] == 0])) == {"OK"}
    assert set(reasons(calls[calls["operation"] == 1])) <= {"CLOSED", "RESET"}


def test_a_page_that_is_never_answered_leaves_the_session_alone() -> None:
    answer, sessions = raw(answered), []

    def handle(conn: socket.socket) -> None:
        if conn.recv(7, socket.MSG_PEEK) == b"GET /ws":
            sessions.append(conn)
            answer(conn)
        else:
            while conn.recv(65536):
                pass

    calls = against(handle, 1, 8, TOOL, PAGE)
    assert set(reasons(calls[calls["operation"] == 0])) == {"OK"}
    assert set(reasons(calls[calls["operation"] == 1])) == {"TIMED_OUT"}
    assert len(sessions) == 1

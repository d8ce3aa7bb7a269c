"""The engine against servers that misbehave: every call ends in time, counts once, and is classed for what it was."""

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from mcp_chaos.history.calls import CALL, Calls, Outcome, Reason
from mcp_chaos.load.clients import http_connection
from mcp_chaos.load.engine import Engine
from mcp_chaos.load.shape import Step
from mcp_chaos.load.shapes import Burst
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.clock import Clock
from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.workload import Workload
from tests.conftest import Handler, answer_always, closes_after_reading, read_request, serving
from tests.servers import answering, http, result_for

DEADLINE_S = 0.4


def spec_for(port: int, dialect: str = "jsonrpc", deadline_s: float = DEADLINE_S) -> LoadSpec:
    target = Target("127.0.0.1", port, f"127.0.0.1:{port}", "/mcp", dialect)
    return LoadSpec("test", target, Burst(), Workload.of(ToolCall("list_databases")), deadline_s, seed=1)


def run_engine(
    spec: LoadSpec, users: int, total: int, during: Callable[[Engine], Coroutine[Any, Any, None]] | None = None
) -> Calls:
    """Run one step on this thread and return its calls."""
    records: list[bytes] = []

    async def main() -> None:
        engine = Engine(spec, Clock.start(), records.append)
        step = asyncio.create_task(engine.run_step(Step(users, total)))
        if during is not None:
            await during(engine)
        async with asyncio.timeout(20):
            await step
            await engine.close()

    asyncio.run(main())
    return np.frombuffer(b"".join(records), dtype=CALL)


def against(handler: Handler, users: int = 2, total: int = 6, **options: Any) -> Calls:
    with serving(handler) as server:
        calls = run_engine(spec_for(server.port, **options), users, total)
    assert len(calls) == total
    assert np.all(calls["intended_ns"] <= calls["done_ns"])
    sent = calls[calls["sent_ns"] > 0]
    assert np.all((sent["intended_ns"] <= sent["sent_ns"]) & (sent["sent_ns"] <= sent["done_ns"]))
    return calls


def reasons(calls: Calls) -> Counter[str]:
    return Counter(Reason(reason).name for reason in calls["reason"])


def test_good_answers_are_counted_and_connections_kept() -> None:
    with serving(answering(lambda request: http(result_for(request)))) as server:
        calls = run_engine(spec_for(server.port), 3, 30)
        assert server.connections == 3
    assert reasons(calls) == {"OK": 30}
    assert set(calls["outcome"]) == {Outcome.OK}


def test_a_server_that_closes_after_each_answer_fails_no_call() -> None:
    def handle(conn: socket.socket) -> None:
        conn.sendall(http(result_for(read_request(conn)), extra="Connection: close\r\n"))

    assert reasons(against(handle)) == {"OK": 6}


def test_an_answer_that_ends_with_its_connection_is_whole() -> None:
    def handle(conn: socket.socket) -> None:
        body = result_for(read_request(conn))
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + body)

    assert reasons(against(handle)) == {"OK": 6}


def test_an_interim_answer_is_not_the_answer() -> None:
    handler = answering(lambda request: b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(result_for(request)))
    assert reasons(against(handler)) == {"OK": 6}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda r: http(result_for(r, id=-1)), "WRONG_ANSWER"),
        (lambda r: http(result_for(r, result=None)), "WRONG_ANSWER"),
        (lambda r: http(b"<html>hello</html>", kind="text/html"), "WRONG_ANSWER"),
        (lambda r: http(b'{"jsonrpc":"2.0","id":"\xff"}'), "WRONG_ANSWER"),
        (lambda r: http(b"\x1f\x8b\x08\x00", extra="Content-Encoding: gzip\r\n"), "WRONG_ANSWER"),
        (lambda r: http(result_for(r, result={"isError": True})), "TOOL_ERROR"),
        (lambda r: http(result_for(r, error={"code": -1, "message": "no"})), "RPC_ERROR"),
        (lambda r: http(b"", status="429 Too Many Requests"), "RATE_LIMITED"),
        (lambda r: http(b"", status="500 Internal Server Error"), "SERVER_ERROR"),
        (lambda r: http(b"", status="404 Not Found"), "HTTP_ERROR"),
        (lambda r: http(b"", status="302 Found", extra="Location: /x\r\n"), "HTTP_ERROR"),
    ],
)
def test_bad_answers_are_classed(make: Callable[[bytes], bytes], reason: str) -> None:
    assert reasons(against(answering(make))) == {reason: 6}


def test_what_is_not_http_costs_the_connection_only() -> None:
    assert reasons(against(answer_always(b"I am not HTTP\r\n\r\n"))) == {"WRONG_ANSWER": 6}


def test_two_answers_to_one_request_are_never_taken_for_two() -> None:
    calls = against(answering(lambda request: http(result_for(request)) * 2), users=1, total=4)
    assert reasons(calls)["OK"] >= 1
    assert set(reasons(calls)) <= {"OK", "WRONG_ANSWER"}


def test_silence_ends_at_the_deadline_and_is_unknown() -> None:
    began = time.monotonic()
    calls = against(lambda conn: (read_request(conn) and time.sleep(2)) or None, users=3, total=3)
    assert time.monotonic() - began < 5
    assert reasons(calls) == {"TIMED_OUT": 3}
    assert set(calls["outcome"]) == {Outcome.INFO}


def test_half_an_answer_ends_at_the_deadline() -> None:
    def handle(conn: socket.socket) -> None:
        conn.sendall(http(result_for(read_request(conn)))[:-5])
        conn.recv(1)

    assert reasons(against(handle, total=2)) == {"TIMED_OUT": 2}


def test_half_an_answer_and_an_end_is_a_closed_connection() -> None:
    def handle(conn: socket.socket) -> None:
        conn.sendall(http(result_for(read_request(conn)))[:-5])

    calls = against(handle)
    assert reasons(calls) == {"CLOSED": 6}
    assert set(calls["outcome"]) == {Outcome.INFO}


def test_a_reset_is_told_from_a_close() -> None:
    def handle(conn: socket.socket) -> None:
        read_request(conn)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    assert reasons(against(handle)) == {"RESET": 6}


def test_nobody_there_means_that_it_surely_did_not_happen() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        calls = run_engine(spec_for(bound.getsockname()[1]), 2, 6)
    assert reasons(calls) == {"REFUSED": 6}
    assert set(calls["outcome"]) == {Outcome.FAIL}
    assert set(calls["sent_ns"]) == {0}


def test_an_answer_beyond_all_measure_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_ANSWER_BYTES", 100_000)
    assert reasons(against(answer_always(http(b"x" * 200_000)), total=2)) == {"WRONG_ANSWER": 2}


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
def test_a_large_answer_is_an_answer(kind: str) -> None:
    content = [{"type": "text", "text": "x" * 10_000_000}]

    def make(request: bytes) -> bytes:
        body = result_for(request, result={"content": content})
        return http(body if kind == "application/json" else b"data: " + body + b"\n\n", kind=kind)

    calls = against(answering(make), users=1, total=2, deadline_s=20)
    assert reasons(calls) == {"OK": 2}
    assert set(calls["bytes"] > 10_000_000) == {True}


def streaming(*pieces: bytes, end: bool = True) -> Handler:
    """Answers as an event stream, chunk by chunk; ID stands for the call's id."""

    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            call_id = str(json.loads(request.partition(b"\r\n\r\n")[2])["id"]).encode()
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in pieces:
                data = piece.replace(b"ID", call_id)
                conn.sendall(b"%x\r\n%b\r\n" % (len(data), data))
            if end:
                conn.sendall(b"0\r\n\r\n")

    return handle


MESSAGE = b'data: {"jsonrpc":"2.0","id":ID,"result":{"content":[]}}\r\n\r\n'
PROGRESS = b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n'


def test_an_answer_in_a_stream_is_found_among_pings_and_notifications() -> None:
    calls = against(streaming(b": ping\r\n\r\n", b"id: 1\r\ndata: \r\n\r\n", PROGRESS, MESSAGE))
    assert reasons(calls) == {"OK": 6}


def test_a_stream_that_ends_without_an_answer_is_no_success() -> None:
    assert reasons(against(streaming(PROGRESS))) == {"WRONG_ANSWER": 6}


def test_a_stream_that_never_ends_after_its_answer_counts_as_answered() -> None:
    calls = against(streaming(MESSAGE, end=False), users=1, total=2)
    assert reasons(calls) == {"OK": 2}
    assert np.all(calls["done_ns"] - calls["sent_ns"] < DEADLINE_S * 1e9 / 2)


def test_a_stream_of_pings_without_end_is_cut_at_the_deadline() -> None:
    def handle(conn: socket.socket) -> None:
        read_request(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            conn.sendall(b": ping\n\n")
            time.sleep(0.05)

    assert reasons(against(handle, users=2, total=2)) == {"TIMED_OUT": 2}


@pytest.mark.parametrize("piece", [b"event: message\ndata: ", b"data: "])
def test_an_event_stream_that_says_its_length_is_read_as_one(piece: bytes) -> None:
    def make(request: bytes) -> bytes:
        return http(piece + result_for(request) + b"\n\n", kind="text/event-stream")

    assert reasons(against(answering(make), users=1, total=9)) == {"OK": 9}


class FakeStreamable:
    """A streamable server whose sessions last for so many calls."""

    def __init__(self, calls_per_session: int = 1000, refuse: bytes = b"") -> None:
        self.sessions: dict[str, int] = {}
        self.deleted: list[str] = []
        self._limit = calls_per_session
        self._refuse = refuse

    def __call__(self, conn: socket.socket) -> None:
        while request := read_request(conn):
            conn.sendall(self.answer(request))

    def answer(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
        session = {k.lower(): v for k, v in lines}.get(b"mcp-session-id", b"").decode()
        if request.startswith(b"DELETE"):
            self.deleted.append(session)
            return http(b"")
        message = json.loads(body)
        if message["method"] == "initialize":
            if self._refuse:
                return self._refuse
            fresh = f"session-{len(self.sessions)}"
            self.sessions[fresh] = 0
            result = {"protocolVersion": "2025-11-25", "serverInfo": {}}
            return http(result_for(request, result=result), extra=f"Mcp-Session-Id: {fresh}\r\n")
        if message["method"] == "notifications/initialized":
            return http(b"", status="202 Accepted")
        self.sessions[session] += 1
        return (
            http(result_for(request)) if self.sessions[session] <= self._limit else http(b"{}", status="404 Not Found")
        )


class Twice(FakeStreamable):
    """Answers each initialize twice."""

    def answer(self, request: bytes) -> bytes:
        return super().answer(request) * (2 if b'"initialize"' in request else 1)


class Closing(FakeStreamable):
    """Closes after each answer."""

    def __call__(self, conn: socket.socket) -> None:
        conn.sendall(self.answer(read_request(conn)).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))


class Streaming(FakeStreamable):
    """Answers initialize on a stream that does not end."""

    def __call__(self, conn: socket.socket) -> None:
        while request := read_request(conn):
            answer = self.answer(request)
            if b'"initialize"' not in request:
                conn.sendall(answer)
                continue
            head, _, body = answer.partition(b"\r\n\r\n")
            session = next(line for line in head.split(b"\r\n") if line.startswith(b"Mcp-Session-Id"))
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + session + b"\r\n\r\n"
            conn.sendall(head + b"data: " + body + b"\n\n")


@pytest.mark.parametrize(("server", "users"), [(Twice(), 5), (Closing(), 5), (Streaming(), 2)])
def test_odd_handshakes_lose_and_double_no_call(server: FakeStreamable, users: int) -> None:
    calls = against(server, users=users, total=30, dialect="streamable", deadline_s=2.0)
    assert len(calls) == 30
    assert reasons(calls)["OK"] >= 30 - users


def test_a_server_that_speaks_first_is_not_answered_by_a_call() -> None:
    def handle(conn: socket.socket) -> None:
        conn.sendall(http(b"{}"))
        while request := read_request(conn):
            conn.sendall(http(result_for(request)))

    assert set(reasons(against(handle, users=3, total=20))) <= {"OK", "CLOSED", "WRONG_ANSWER"}


def test_one_answer_too_many_costs_one_call_at_most() -> None:
    seen: list[bytes] = []

    def make(request: bytes) -> bytes:
        seen.append(request)
        return http(result_for(request)) * (2 if len(seen) == 1 else 1)

    assert reasons(against(answering(make), users=1, total=20))["OK"] >= 19


@pytest.mark.parametrize(("status", "reason"), [("500 Oops", "SERVER_ERROR"), ("429 Slow down", "RATE_LIMITED")])
def test_the_status_of_a_stream_counts(status: str, reason: str) -> None:
    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            conn.sendall(http(b"data: " + result_for(request) + b"\n\n", status=status, kind="text/event-stream"))

    assert reasons(against(handle)) == {reason: 6}


def test_a_trailer_changes_nothing() -> None:
    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            body = result_for(request)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            conn.sendall(head + b"%x\r\n%b\r\n0\r\nContent-Type: text/html\r\n\r\n" % (len(body), body))

    assert reasons(against(handle)) == {"OK": 6}


def test_a_head_without_end_is_cut_off() -> None:
    def handle(conn: socket.socket) -> None:
        read_request(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 200_000)
        conn.recv(1)

    assert reasons(against(handle, total=2)) == {"WRONG_ANSWER": 2}


def test_each_user_opens_one_session_and_ends_it_properly() -> None:
    server = FakeStreamable()
    assert reasons(against(server, users=3, total=12, dialect="streamable")) == {"OK": 12}
    assert sorted(server.deleted) == sorted(server.sessions) == [f"session-{n}" for n in range(3)]


class Forgetful(FakeStreamable):
    """Says with another status that it does not know a session any more, and may open no other."""

    def __init__(self, status: str, text: str = "", *, again: bool = True) -> None:
        super().__init__(calls_per_session=2)
        self._status, self._text, self._again = status, text, again

    def answer(self, request: bytes) -> bytes:
        if b'"initialize"' in request and self.sessions and not self._again:
            return http(b"", status="503 Service Unavailable")
        body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": self._text}})
        return (
            super()
            .answer(request)
            .replace(http(b"{}", status="404 Not Found"), http(body.encode(), status=self._status))
        )


def test_a_session_that_is_answered_404_is_renewed_and_its_call_made_again() -> None:
    server = FakeStreamable(calls_per_session=2)
    calls = against(server, users=1, total=6, dialect="streamable")
    renewed = ["OK", "OK", "SESSION_RENEWED", "OK", "SESSION_RENEWED", "OK"]
    assert [Reason(reason).name for reason in calls["reason"]] == renewed
    assert set(calls["outcome"]) == {Outcome.OK}
    assert len(server.sessions) == 3


def test_a_session_that_does_not_live_for_one_call_is_lost() -> None:
    calls = against(FakeStreamable(calls_per_session=0), users=1, total=3, dialect="streamable")
    assert reasons(calls) == {"SESSION_LOST": 3}
    assert set(calls["outcome"]) == {Outcome.FAIL}


def test_a_session_that_cannot_be_renewed_is_lost() -> None:
    calls = against(Forgetful("404 Not Found", again=False), users=1, total=3, dialect="streamable")
    assert reasons(calls)["SESSION_LOST"] == 1


def test_a_lost_session_that_another_status_tells_of_is_a_failure() -> None:
    calls = against(Forgetful("400 Bad Request", "No valid session"), users=1, total=6, dialect="streamable")
    assert reasons(calls) == {"OK": 4, "SESSION_LOST": 2}


def test_a_refused_handshake_is_the_calls_failure() -> None:
    server = FakeStreamable(refuse=http(b"", status="401 Unauthorized"))
    calls = against(server, dialect="streamable")
    assert reasons(calls) == {"HTTP_ERROR": 6}
    assert set(calls["sent_ns"]) == {0}


def test_a_handshake_cut_off_or_swallowed_ends_in_time() -> None:
    assert reasons(against(closes_after_reading, total=2, dialect="streamable")) == {"CLOSED": 2}
    silent = against(lambda conn: time.sleep(1), total=2, dialect="streamable")
    assert reasons(silent) == {"TIMED_OUT": 2}
    assert set(silent["outcome"]) == {Outcome.FAIL}


def test_stopping_starts_no_more_calls_and_waits_for_those_under_way() -> None:
    def slow(conn: socket.socket) -> None:
        while request := read_request(conn):
            time.sleep(0.1)
            conn.sendall(http(result_for(request)))

    async def stop_soon(engine: Engine) -> None:
        await asyncio.sleep(0.15)
        engine.stop()

    with serving(slow) as server:
        calls = run_engine(spec_for(server.port), 2, 1000, stop_soon)
    assert 2 <= len(calls) <= 8
    assert set(reasons(calls)) == {"OK"}

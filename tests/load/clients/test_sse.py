"""Users over HTTP+SSE, against a server of the official SDK and against what no real one can be made to do."""

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_chaos.history.calls import Calls
from mcp_chaos.load.shapes import Burst
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.machine.processes import Child
from mcp_chaos.mcp import GetRequest, ListCall, Operation, ToolCall
from mcp_chaos.workload.workload import Workload
from tests.conftest import Handler, answer_always, serving
from tests.load.test_engine import http, reasons, run_engine
from tests.real_servers.servers import ANY_SDK
from tests.sse_servers import STREAM, Post, Say, SseServer, answer_of, event, well

DEADLINE_S = 0.4
TOOL = ToolCall("list_databases")
PAGE = GetRequest("/status")
LIST = ListCall()
ACCEPTED = http(b"", status="202 Accepted")


def spec_for(port: int, *operations: Operation, deadline_s: float = DEADLINE_S, path: str = "/sse") -> LoadSpec:
    target = Target("127.0.0.1", port, f"127.0.0.1:{port}", path, "sse")
    return LoadSpec("test", target, Burst(), Workload.of(*(operations or (TOOL,))), deadline_s, seed=1)


def against(handler: Handler, users: int = 2, total: int = 6, *operations: Operation) -> Calls:
    with serving(handler) as server:
        calls = run_engine(spec_for(server.port, *operations), users, total)
    assert len(calls) == total
    return calls


@pytest.fixture
def sdk(tmp_path: Path) -> Iterator[int]:
    """The port of a server of the SDK."""
    port = ReservedPort()
    child = Child("sdk", [sys.executable, str(ANY_SDK), str(port.number), "sse", "x", "x"], tmp_path / "log", "x")
    child.start()

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port.number)) == 0

    child.wait_until(listens, 20)
    yield port.number
    child.stop()
    port.release()


def test_users_of_a_real_server(sdk: int) -> None:
    calls = run_engine(spec_for(sdk, ToolCall("now"), LIST, deadline_s=10), 5, 100)
    assert reasons(calls) == {"OK": 100}
    assert set(calls["operation"]) == {0, 1}


def test_the_bare_server_is_taken_for_a_real_one() -> None:
    assert reasons(against(SseServer(), 3, 30, TOOL, PAGE, LIST)) == {"OK": 30}


def test_an_answer_may_come_before_its_post_is_accepted() -> None:
    def early(conn: socket.socket, say: Say, request: bytes) -> None:
        say(event("message", b'{"jsonrpc":"2.0","method":"notifications/progress"}'))
        say(event("message", answer_of(request)))
        conn.sendall(ACCEPTED)

    assert reasons(against(SseServer(early))) == {"OK": 6}


def test_an_address_may_be_whole() -> None:
    def handle(conn: socket.socket) -> None:
        served = SseServer(first=b"http://127.0.0.1:%b/messages?session=%%d" % str(conn.getsockname()[1]).encode())
        served.streams = streams
        served(conn)

    streams: dict[bytes, socket.socket] = {}
    assert reasons(against(handle, 1, 3)) == {"OK": 3}


def closes_the_stream(conn: socket.socket, say: Say, request: bytes) -> None:
    conn.sendall(ACCEPTED)
    say(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("post", "reason"),
    [
        (closes_the_stream, "CLOSED"),
        (lambda conn, say, request: conn.sendall(ACCEPTED), "TIMED_OUT"),
        (lambda conn, say, request: conn.close(), "CLOSED"),
        (lambda conn, say, request: conn.sendall(http(b"", status="404 Not Found")), "SESSION_LOST"),
        (lambda conn, say, request: conn.sendall(http(b"", status="429 Slow Down")), "RATE_LIMITED"),
        (lambda conn, say, request: conn.sendall(http(b"", status="500 Oops")), "SERVER_ERROR"),
        (
            lambda conn, say, request: well(conn, say, request.replace(b'"id":', b'"id":9')),
            "WRONG_ANSWER",
        ),
    ],
)
def test_what_goes_wrong_in_a_call_is_its_reason(post: Post, reason: str) -> None:
    assert reasons(against(SseServer(post), 2, 4)) == {reason: 4}


def test_an_event_beyond_all_measure_ends_its_call() -> None:
    def much(conn: socket.socket, say: Say, request: bytes) -> None:
        conn.sendall(ACCEPTED)
        say(event("message", b"{" * 20_000_000))

    with serving(SseServer(much)) as server:
        assert reasons(run_engine(spec_for(server.port, deadline_s=20), 1, 1)) == {"WRONG_ANSWER": 1}


def test_after_a_lost_session_a_new_one_is_opened() -> None:
    refused = iter([True, True])

    def once(conn: socket.socket, say: Say, request: bytes) -> None:
        if next(refused, False):
            conn.sendall(http(b"", status="404 Not Found"))
        else:
            well(conn, say, request)

    assert reasons(against(SseServer(once), 2, 10)) == {"SESSION_LOST": 2, "OK": 8}


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (b"http://192.0.2.1/messages", "WRONG_ANSWER"),
        (b"ftp://192.0.2.1/messages", "WRONG_ANSWER"),
        (b"\xff\xfe", "WRONG_ANSWER"),
        (b"//[", "WRONG_ANSWER"),
    ],
)
def test_messages_go_to_no_other_server(first: bytes, reason: str) -> None:
    assert reasons(against(SseServer(first=first))) == {reason: 6}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (http(b"<html>", kind="text/html"), "WRONG_ANSWER"),
        (http(b"", status="401 Unauthorized"), "HTTP_ERROR"),
        (http(b"", status="503 Busy"), "HTTP_ERROR"),
        (STREAM + b"0\r\n\r\n", "CLOSED"),
        (b"I am not HTTP\r\n\r\n", "WRONG_ANSWER"),
    ],
)
def test_a_stream_that_is_none_is_the_calls_failure(answer: bytes, reason: str) -> None:
    assert reasons(against(answer_always(answer))) == {reason: 6}


def test_a_stream_that_never_says_where_messages_go_ends_at_the_deadline() -> None:
    def handle(conn: socket.socket) -> None:
        conn.sendall(STREAM)
        with contextlib.suppress(OSError):
            while conn.recv(1 << 16):
                pass

    assert reasons(against(handle, 2, 4)) == {"TIMED_OUT": 4}

"""Readings by a realistic client, against servers that answer badly."""

import json
import socket
import time

import pytest

from mcp_chaos.errors import TargetError
from mcp_chaos.history.calls import Reason
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.mcp import ToolCall
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.target import check_answers, list_tools, read_health, read_status
from tests.conftest import ANSWER, answer_always, read_request, serving
from tests.servers import answering, http, tools_server

CALL = ToolCall("list_databases")


def page(status: str, kind: str = "text/html", body: str = "<html>") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (page("200 OK"), "it answered text/html, which is not MCP"),
        (page("404 Not Found"), "HTTP 404"),
        (page("401 Unauthorized", "application/json", "{}"), "HTTP 401"),
        (page("302 Found"), "HTTP 302"),
        (page("500 Oops", "text/plain", "no"), "HTTP 500"),
        (page("200 OK", "application/json", "{"), "HTTP 200"),
    ],
)
def test_a_first_answer_that_is_no_mcp_is_named(answer: bytes, said: str) -> None:
    with serving(answer_always(answer)) as server, pytest.raises(TargetError, match=said):
        check_answers(f"http://127.0.0.1:{server.port}/mcp", "streamable", CALL, 2)


def test_a_server_that_is_not_there_is_named() -> None:
    port = ReservedPort()
    with pytest.raises(TargetError, match="cannot be reached"):
        check_answers(f"http://127.0.0.1:{port.number}/mcp", "streamable", CALL, 2)
    port.release()


@pytest.mark.parametrize("dialect", ["streamable", "jsonrpc"])
def test_a_server_that_says_nothing_ends_at_the_deadline(dialect: str) -> None:
    began = time.monotonic()
    with serving(lambda conn: (conn.recv(1) and time.sleep(1)) or None) as server:
        with pytest.raises(TargetError, match=r"did not answer within 0\.2 s"):
            check_answers(f"http://127.0.0.1:{server.port}/", dialect, CALL, 0.2)
        assert time.monotonic() - began < 1


def test_a_stream_of_pings_ends_at_the_deadline() -> None:
    def handle(conn: socket.socket) -> None:
        read_request(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            conn.sendall(b": ping\n\n")
            time.sleep(0.05)

    with serving(handle) as server, pytest.raises(TargetError, match=r"did not answer within 0\.3 s"):
        check_answers(f"http://127.0.0.1:{server.port}/", "streamable", CALL, 0.3)


def test_a_head_that_drips_ends_at_the_deadline() -> None:
    def handle(conn: socket.socket) -> None:
        read_request(conn)
        for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
            conn.sendall(bytes([letter]))
            time.sleep(0.02)

    began = time.monotonic()
    with serving(handle) as server:
        with pytest.raises(TargetError, match=r"did not answer within 0\.3 s"):
            check_answers(f"http://127.0.0.1:{server.port}/", "streamable", CALL, 0.3)
        assert time.monotonic() - began < 2


def test_a_session_id_that_is_not_ascii_is_sent_back_as_it_came() -> None:
    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            assert b"\xe9" in request or b'"initialize"' in request
            message = json.loads(request.partition(b"\r\n\r\n")[2] or b"{}")
            result = {"protocolVersion": "2025-11-25", "content": []}
            body = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result}).encode()
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: \xe9\r\n"
            conn.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))

    with serving(handle) as server:
        check_answers(f"http://127.0.0.1:{server.port}/", "streamable", CALL, 2)


def test_a_stream_that_closes_without_an_answer_is_no_session() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 8\r\n\r\n: ping\n\n"
    with serving(answer_always(answer)) as server, pytest.raises(TargetError, match="did not open an MCP session"):
        check_answers(f"http://127.0.0.1:{server.port}/", "streamable", CALL, 2)


def test_a_url_that_cannot_be_called_is_named() -> None:
    with pytest.raises(TargetError, match=r"is not a URL that can be called|cannot be reached"):
        check_answers("http://127.0.0.1:1\x00/", "streamable", CALL, 1)


def test_a_call_that_fails_is_named_by_its_reason() -> None:
    wrong = page("200 OK", "application/json", '{"jsonrpc":"2.0","id":1,"result":{"isError":true}}')
    with serving(answer_always(wrong)) as server, pytest.raises(TargetError, match="'list_databases' with tool error"):
        check_answers(f"http://127.0.0.1:{server.port}/", "jsonrpc", CALL, 2)


NOW = {"name": "now", "annotations": {"readOnlyHint": True}, "inputSchema": {}}


def test_a_session_can_be_left_in_the_middle() -> None:
    with (
        serving(tools_server([NOW])) as server,
        McpClient(f"http://127.0.0.1:{server.port}/", "streamable", 2) as client,
    ):
        client.open()
        assert client.call(CALL) is Reason.OK


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (ANSWER, "healthy"),
        (page("200 OK", "text/plain", "fine"), "healthy"),
        (page("404 Not Found"), "unknown"),
        (page("503 Gone", "application/json", '{"status": "unhealthy"}'), "unhealthy"),
        (page("200 OK", "application/json", "[1]"), "healthy"),
        (page("200 OK", "application/json", "{"), "unreachable"),
    ],
)
def test_health_is_what_the_server_says(answer: bytes, status: str) -> None:
    with serving(answer_always(answer)) as server:
        assert read_health(f"http://127.0.0.1:{server.port}/health", 2, "me:1").status == status


def test_a_server_that_is_gone_is_a_reading_too() -> None:
    port = ReservedPort()
    assert read_health(f"http://127.0.0.1:{port.number}/health", 1).status == "unreachable"
    assert read_status(f"http://127.0.0.1:{port.number}/status", 1) == {}
    port.release()
    with serving(answer_always(page("200 OK", "application/json", "[]"))) as server:
        assert read_status(f"http://127.0.0.1:{server.port}/status", 1) == {}


@pytest.mark.parametrize(("pages", "expected"), [(1, 1), (3, 3), (10_000, 100)])
def test_tools_are_listed_to_the_last_page_of_not_too_many(pages: int, expected: int) -> None:
    asked: list[str | None] = []

    def make(request: bytes) -> bytes:
        message = json.loads(request.partition(b"\r\n\r\n")[2])
        asked.append(message["params"].get("cursor"))
        assert "_meta" in message["params"]
        more = {"nextCursor": str(len(asked))} if len(asked) < pages else {}
        result = {"tools": [{"name": f"tool-{len(asked)}"}], **more}
        return http(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())

    with serving(answering(make)) as server:
        tools = list_tools(f"http://127.0.0.1:{server.port}/mcp", "modern", 10)
    assert [tool["name"] for tool in tools] == [f"tool-{n}" for n in range(1, expected + 1)]
    assert asked == [None, *map(str, range(1, expected))]


def test_a_page_that_leads_to_itself_is_the_last() -> None:
    def make(request: bytes) -> bytes:
        call_id = json.loads(request.partition(b"\r\n\r\n")[2])["id"]
        result = {"tools": [{"name": "now"}], "nextCursor": "again"}
        return http(json.dumps({"jsonrpc": "2.0", "id": call_id, "result": result}).encode())

    with serving(answering(make)) as server:
        assert len(list_tools(f"http://127.0.0.1:{server.port}/mcp", "modern", 3)) == 2


def test_a_connection_that_is_closed_after_an_answer_is_told_as_what_it_is() -> None:
    initialized = b'{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{}}}'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(initialized)

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head + initialized)
        read_request(connection)  # and gives no answer

    with serving(handle) as server, pytest.raises(TargetError) as told:
        check_answers(f"http://127.0.0.1:{server.port}/mcp", "streamable", CALL, 2)
    assert "without an answer to request 2 of a client, after it had answered those before" in str(told.value)
    assert ".." not in str(told.value)
    assert "cannot be reached" not in str(told.value)

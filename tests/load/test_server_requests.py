"""Servers ask their clients too: a ping is answered, and what this client cannot do is refused."""

import json
import socket
from typing import Any

from websockets.sync.server import ServerConnection

from mcp_chaos.mcp import DIALECTS
from tests.conftest import read_request, serving
from tests.load.clients.test_sse import spec_for as sse_spec_for
from tests.load.test_engine import http, reasons, result_for, run_engine
from tests.load.test_engine import spec_for as http_spec_for
from tests.load.websocket_servers import answer, calls_to, talking
from tests.sse_servers import Say, SseServer, answer_of, event

PING = {"jsonrpc": "2.0", "id": "ping-1", "method": "ping"}
SAMPLE = {"jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {}}
PROGRESS = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}
ASKED = (PING, PROGRESS, SAMPLE)
ANSWERED = [
    {"jsonrpc": "2.0", "id": "ping-1", "result": {}},
    {"jsonrpc": "2.0", "id": 7, "error": {"code": -32601, "message": "Method not found"}},
]


def in_order(replies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(replies, key=lambda reply: "error" in reply)


def test_a_request_on_the_stream_of_a_call_is_answered() -> None:
    replies: list[dict[str, Any]] = []

    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            message = json.loads(request.partition(b"\r\n\r\n")[2] or b"{}")
            if message.get("method") == "initialize":
                opened = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}
                conn.sendall(http(result_for(request, result=opened), extra="Mcp-Session-Id: s\r\n"))
            elif message.get("method") == "tools/call":
                asked = b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in ASKED)
                conn.sendall(http(asked + b"data: " + result_for(request) + b"\n\n", kind="text/event-stream"))
            else:
                if "method" not in message and message:
                    assert b"Mcp-Session-Id: s" in request
                    replies.append(message)
                conn.sendall(http(b"", status="202 Accepted"))

    with serving(handle) as server:
        assert reasons(run_engine(http_spec_for(server.port, "streamable"), 1, 1)) == {"OK": 1}
    assert in_order(replies) == ANSWERED


def test_a_request_over_http_and_sse_is_answered() -> None:
    replies: list[dict[str, Any]] = []

    def post(conn: socket.socket, say: Say, request: bytes) -> None:
        message = json.loads(request.partition(b"\r\n\r\n")[2])
        conn.sendall(http(b"", status="202 Accepted"))
        if "method" not in message:
            replies.append(message)
        elif message["method"] == "tools/call":
            for one in ASKED:
                say(event("message", json.dumps(one).encode()))
            say(event("message", answer_of(request)))

    with serving(SseServer(post=post)) as server:
        assert reasons(run_engine(sse_spec_for(server.port), 1, 1)) == {"OK": 1}
    assert in_order(replies) == ANSWERED


def test_a_request_over_a_websocket_is_answered_on_it() -> None:
    replies: list[dict[str, Any]] = []

    def answers(connection: ServerConnection, message: dict[str, Any]) -> None:
        for one in ASKED:
            connection.send(json.dumps(one))
        replies.extend(json.loads(connection.recv(timeout=2)) for _ in ANSWERED)
        answer(connection, message)

    with talking(answers) as server:
        assert reasons(calls_to(server.port, 1, 1)) == {"OK": 1}
    assert replies == ANSWERED


def test_the_stateless_era_knows_no_requests_of_a_server() -> None:
    answering = {name for name, dialect in DIALECTS.items() if dialect().reply(PING) is not None}
    assert answering == {"streamable", "sse", "websocket"}

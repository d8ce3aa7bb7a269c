"""Small servers of JSON-RPC over HTTP for tests of the load."""

import json
import socket
from collections.abc import Callable
from typing import Any

from tests.conftest import Handler, read_request


def result_for(request: bytes, **changes: Any) -> bytes:
    """The good answer to a call, or one that differs."""
    call_id = json.loads(request.partition(b"\r\n\r\n")[2])["id"]
    message = {"jsonrpc": "2.0", "id": call_id, "result": {"content": [], "isError": False}, **changes}
    return json.dumps(message).encode()


def http(body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> bytes:
    """A response."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def answering(make: Callable[[bytes], bytes]) -> Handler:
    """A handler that makes each answer from its request."""

    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            conn.sendall(make(request))

    return handle


def well() -> Handler:
    """A handler that answers every call well."""
    return answering(lambda request: http(result_for(request)))


def tools_server(tools: object) -> Handler:
    """A stateless server with these tools; each call of them succeeds."""

    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            message = json.loads(request.partition(b"\r\n\r\n")[2])
            results = {
                "initialize": {"protocolVersion": "2025-11-25"},
                "tools/list": {"tools": tools},
                "tools/call": {"content": []},
            }
            answer = {"jsonrpc": "2.0", "id": message.get("id"), "result": results.get(message["method"])}
            body = json.dumps(answer).encode()
            status = "202 Accepted" if "id" not in message else "200 OK"
            head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            conn.sendall(head.encode() + body)

    return handle

"""Servers that speak MCP over WebSockets, a real one and a raw one, and loads of WebSocket users against them."""

import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from mcp_chaos.history.calls import Calls
from mcp_chaos.load.shapes import Burst
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.mcp import GetRequest, Operation, ToolCall
from mcp_chaos.workload.workload import UserKind, Workload
from tests.conftest import Handler, read_request
from tests.load.test_engine import DEADLINE_S, run_engine

Answers = Callable[[ServerConnection, dict[str, Any]], None]
TOOL = ToolCall("list_databases")
PAGE = GetRequest("/status")


def spec_for(port: int, *operations: Operation, deadline_s: float = DEADLINE_S) -> LoadSpec:
    target = Target("127.0.0.1", port, f"127.0.0.1:{port}", "/mcp", "streamable")
    workload = Workload((UserKind("u", operations or (TOOL,), websocket=True),))
    return LoadSpec("test", target, Burst(), workload, deadline_s, seed=1)


def result(message: dict[str, Any], **changes: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": {"content": []}, **changes})


def answer(connection: ServerConnection, message: dict[str, Any]) -> None:
    connection.send(result(message))


class McpServer:
    """A little MCP on the real server of the ``websockets`` library; what it says to a call is up to ``answers``."""

    def __init__(self, answers: Answers, greeting: str = "", initialize: Answers | None = None) -> None:
        self.sessions = self.calls_before_initialized = 0
        self._lock = threading.Lock()
        self.answers, self._greeting, self._initialize = answers, greeting, initialize
        self.server = serve(self._talk, "127.0.0.1", 0, compression=None, process_request=self._page)
        self.port: int = self.server.socket.getsockname()[1]

    @staticmethod
    def _page(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(200, "fine") if request.path == "/status" else None

    def _talk(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            self._converse(connection)

    def _converse(self, connection: ServerConnection) -> None:
        state = "new"
        if self._greeting:
            connection.send(self._greeting)
        for text in connection:
            message = json.loads(text)
            if "method" not in message:
                continue  # the answer to a request of this server's
            if message["method"] == "initialize":
                assert state == "new"
                state = "opened"
                with self._lock:
                    self.sessions += 1
                (self._initialize or self.welcome)(connection, message)
            elif message["method"] == "notifications/initialized":
                state = "ready" if state == "opened" else "wrong"
            else:
                self.calls_before_initialized += state != "ready"
                self.answers(connection, message)

    @staticmethod
    def welcome(connection: ServerConnection, message: dict[str, Any]) -> None:
        connection.send(result(message, result={"protocolVersion": "2025-11-25", "serverInfo": {}}))


@contextmanager
def talking(answers: Answers = answer, **options: Any) -> Iterator[McpServer]:
    made = McpServer(answers, **options)
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join(5)
        assert not made.calls_before_initialized


def frame(text: str | bytes, opcode: int = 1, fin: bool = True) -> bytes:
    """A frame as a server sends it."""
    data = text.encode() if isinstance(text, str) else text
    length = bytes([len(data)]) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
    return bytes([opcode | (0x80 if fin else 0)]) + length + data


CLOSE = frame(b"\x03\xe8", opcode=8)
WELCOME = frame('{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}')


def answered(message: dict[str, Any]) -> bytes:
    """The answer to a call, as a frame."""
    return frame(result(message))


def upgraded(request: bytes) -> bytes:
    """The answer to a request for an upgrade."""
    found = re.search(rb"(?i)sec-websocket-key: (.+)\r\n", request)
    assert found is not None
    key = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + base64.b64encode(key) + b"\r\n\r\n"


def read_message(conn: socket.socket) -> dict[str, Any] | None:
    """A text message of a client; ``None`` when it has gone."""
    read = conn.makefile("rb", buffering=0).read
    head = read(2) or b""
    if len(head) < 2 or head[0] & 0x0F == 8:
        return None
    length = head[1] & 0x7F
    if length == 126:
        length = int.from_bytes(read(2) or b"", "big")
    mask, data = read(4) or b"", read(length) or b""
    message: dict[str, Any] = json.loads(bytes(byte ^ mask[n % 4] for n, byte in enumerate(data)))
    return message


def raw(answer: Callable[[dict[str, Any]], bytes], first: bytes = b"", welcome: bytes = WELCOME) -> Handler:
    """A server that upgrades, welcomes, and answers calls in bytes; pages are fine."""

    def handle(conn: socket.socket) -> None:
        request = read_request(conn)
        if not request.startswith(b"GET /ws"):
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")
            return
        conn.sendall(upgraded(request) + first)
        while message := read_message(conn):
            if message["method"] == "initialize":
                conn.sendall(welcome)
            elif message["method"] == "tools/call":
                conn.sendall(answer(message))

    return handle


def calls_to(port: int, users: int, total: int, *operations: Operation, **options: Any) -> Calls:
    began = time.monotonic()
    calls = run_engine(spec_for(port, *operations, **options), users, total)
    assert time.monotonic() - began < 5
    assert len(calls) == total
    assert np.all(calls["intended_ns"] <= calls["done_ns"])
    sent = calls[calls["sent_ns"] > 0]
    assert np.all((sent["intended_ns"] <= sent["sent_ns"]) & (sent["sent_ns"] <= sent["done_ns"]))
    return calls

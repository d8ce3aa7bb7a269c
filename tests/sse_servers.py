"""A server of HTTP+SSE on bare sockets, each of whose steps a test can do otherwise."""

import itertools
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.conftest import read_request
from tests.servers import http, result_for

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
OPENED = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}

Say = Callable[[bytes], None]
Post = Callable[[socket.socket, Say, bytes], object]


def chunk(data: bytes) -> bytes:
    """Bytes as a chunk of a body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(name: str, data: bytes) -> bytes:
    """An event of a stream."""
    return chunk(b"event: " + name.encode() + b"\r\ndata: " + data + b"\r\n\r\n")


def answer_of(request: bytes) -> bytes:
    """The good answer to a request."""
    method = json.loads(request.partition(b"\r\n\r\n")[2])["method"]
    if method == "initialize":
        return result_for(request, result=OPENED)
    if method == "tools/list":
        tools = [{"name": "now", "annotations": {"readOnlyHint": True}, "inputSchema": {}}]
        return result_for(request, result={"tools": tools})
    return result_for(request)


def well(conn: socket.socket, say: Say, request: bytes) -> None:
    """Accept, then answer."""
    conn.sendall(http(b"Accepted", status="202 Accepted", kind="text/plain"))
    if b'"id"' in request:
        say(event("message", answer_of(request)))


@dataclass
class SseServer:
    """The handler of a server.

    Args:
        post: what is done with a call, or with an answer of the client's: given its connection, the way to its stream,
            and the request.
        first: the stream's first bytes, the number of the session in place of ``%d``.
    """

    post: Post = well
    first: bytes = b"/messages?session=%d"
    streams: dict[bytes, socket.socket] = field(default_factory=dict)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __call__(self, conn: socket.socket) -> None:
        """Serve a connection."""
        while request := read_request(conn):
            if request.startswith(b"GET /status"):
                conn.sendall(http(b"{}"))
            elif request.startswith(b"GET"):
                self._stream(conn)
                return
            else:
                self._post(conn, request)

    def _stream(self, conn: socket.socket) -> None:
        number = next(self.numbers)
        self.streams[b"%d" % number] = conn
        conn.sendall(STREAM + event("endpoint", self.first.replace(b"%d", b"%d" % number)))
        conn.recv(1)  # until the client goes

    def _post(self, conn: socket.socket, request: bytes) -> None:
        stream = self.streams.get(request.partition(b"session=")[2].partition(b" ")[0])
        if stream is None:
            conn.sendall(http(b"no such session", status="404 Not Found", kind="text/plain"))
        elif b'"method"' not in request or b'"tools/call"' in request or b'"list_databases"' in request:
            self.post(conn, stream.sendall, request)
        else:
            well(conn, stream.sendall, request)

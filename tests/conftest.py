"""Fixtures shared by all rooms: real parts on loopback, each taken down by whoever asked for it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.toxiproxy_part import toxiproxy_part
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock

Handler = Callable[[socket.socket], None]

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n{"status": "healthy"}'


def read_request(connection: socket.socket) -> bytes:
    """One HTTP request with its body; empty when the client has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def closes_after_reading(connection: socket.socket) -> None:
    """A handler that takes a request and answers nothing."""
    read_request(connection)


class SocketServer:
    """A server that does to each connection what a handler says, for answers no real server can be made to give."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self.connections = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._handler(connection)

    def close(self) -> None:
        """Stop accepting and cut what is open."""
        for closing in (self._socket, *self._open):
            with contextlib.suppress(OSError):
                closing.shutdown(socket.SHUT_RDWR)
            closing.close()
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)


@contextmanager
def serving(handler: Handler) -> Iterator[SocketServer]:
    """A socket server for as long as the block runs."""
    server = SocketServer(handler)
    try:
        yield server
    finally:
        server.close()


def answer_always(answer: bytes) -> Handler:
    """A handler that gives the same answer to every request of a connection."""

    def handle(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer)

    return handle


@pytest.fixture
def healthy() -> Iterator[SocketServer]:
    """A server that says it is healthy whatever it is asked."""
    with serving(answer_always(ANSWER)) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    """A clock of a run."""
    return Clock.start()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run folder with a manifest."""
    made = RunFolder.create(tmp_path, "a test")
    made.write_manifest({"thresholds": {"fault": ["hung_calls == 0"]}})
    return made


@pytest.fixture(scope="session")
def toxiproxy_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real Toxiproxy, one for all tests; each makes proxies of its own."""
    part = toxiproxy_part(toxiproxy_install.ensure(print), tmp_path_factory.mktemp("toxiproxy"))
    part.start()
    try:
        part.wait_until_it_answers()
        yield f"http://127.0.0.1:{part.port.number}"
    finally:
        part.stop()


@pytest.fixture
def toxiproxy(toxiproxy_url: str) -> Iterator[ToxiproxyServer]:
    """The real Toxiproxy; the proxies that a test made are removed after it."""
    server = ToxiproxyServer(toxiproxy_url)
    before = set(server.proxies())
    yield server
    for name in set(server.proxies()) - before:
        server.delete_proxy(name)

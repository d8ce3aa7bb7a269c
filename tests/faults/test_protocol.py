"""Backends that do not speak HTTP: which protocol it is, and faults proven by its first exchange."""

import getpass
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from mcp_chaos.faults import protocol
from mcp_chaos.faults.asking import ask
from mcp_chaos.faults.exchange import GREETING, HTTP, MYSQL, POSTGRESQL, REDIS, TLS, Exchange, recognised
from mcp_chaos.faults.fault import Fault, make_fault
from mcp_chaos.faults.injection import Injector
from mcp_chaos.faults.kinds import Bandwidth, BlackHole, DataLimit, Latency, Partition, Reset, Slicer, SlowClose
from mcp_chaos.faults.protocol import find_exchange, with_exchange
from mcp_chaos.faults.route import Route
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.machine.processes import Child
from tests.conftest import ANSWER, Handler, read_request, serving

MARIADB_GREETING = bytes.fromhex(
    "640000000a352e352e352d31302e31312e31392d4d6172696144422d302b6465623132753100030000004b4a717c3a4a466100fef708"
    "0200ff81150000000000001d000000347d3d54715d5d3c50606f2f006d7973716c5f6e61746976655f70617373776f726400"
)
"""What a MariaDB 10.11 says first."""


def greets(words: bytes) -> Handler:
    def handle(connection: socket.socket) -> None:
        connection.sendall(words)
        while connection.recv(65536):
            pass

    return handle


def postgresql(connection: socket.socket) -> None:
    """A server that takes an SSLRequest, answers it by one byte, and closes on anything else."""
    if connection.recv(65536) == bytes.fromhex("0000000804d2162f"):
        connection.sendall(b"N")
        connection.recv(65536)


def redis(connection: socket.socket) -> None:
    """A server that echoes what it is pinged with, and waits for the end of other lines."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
        while b"\r\n" in data:
            line, _, data = data.partition(b"\r\n")
            if not line.startswith(b"PING"):
                return
            said = line.removeprefix(b"PING").strip()
            connection.sendall(b"$%d\r\n%b\r\n" % (len(said), said) if said else b"+PONG\r\n")


def http(connection: socket.socket) -> None:
    """A server that keeps connections, and closes those on which something else is said."""
    while request := read_request(connection):
        connection.sendall(ANSWER if request.startswith(b"GET") else b"HTTP/1.1 400 Bad Request\r\n\r\n")


def tls() -> Handler:
    """A server of which nothing is known but that it speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(context)

    def handle(connection: socket.socket) -> None:
        with suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    return handle


def mute(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def route_to(port: int) -> Route:
    return Route("backend", ("127.0.0.1", port), ("127.0.0.1", port), f"127.0.0.1:{port}", "/", exchange=None)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_PATIENCE_S", 0.3)


@pytest.mark.parametrize(
    ("handler", "exchange"),
    [
        (greets(MARIADB_GREETING), MYSQL),
        (greets(b"220 mail.example.com ESMTP\r\n"), GREETING),
        (postgresql, POSTGRESQL),
        (redis, REDIS),
        (http, HTTP),
        (tls(), TLS),
        (mute, None),
    ],
)
def test_a_protocol_is_found_out_by_asking(handler: Handler, exchange: Exchange | None) -> None:
    with serving(handler) as server:
        assert find_exchange(route_to(server.port)) is exchange
        known = with_exchange(route_to(server.port))
        asked = server.connections
        assert with_exchange(known) == known
        assert exchange is None or server.connections == asked  # once
        if exchange is not None:
            assert ask(known.direct, known, 2).ended == "answered"


def test_nobody_there_has_no_protocol() -> None:
    nobody = ReservedPort()
    assert find_exchange(route_to(nobody.number)) is None
    nobody.release()


def test_an_answer_says_more_than_the_question() -> None:
    assert recognised(POSTGRESQL, b"HTTP/1.1 400 Bad Request\r\n") is HTTP
    assert recognised(REDIS, b"\x15\x03\x01\x00\x02\x02\x46") is TLS
    assert recognised(REDIS, b"-NOAUTH Authentication required.\r\n") is REDIS
    assert recognised(GREETING, b"\x04\x00\x00\x00\xff\x69\x04x") is MYSQL  # too many connections
    assert recognised(HTTP, b"-ERR what\r\n") is None


PROVEN: list[tuple[type[Fault], dict[str, Any]]] = [
    (Latency, {"latency_ms": 60}),
    (BlackHole, {}),
    (Partition, {}),
    (Reset, {}),
    (SlowClose, {"delay_ms": 150}),
]
"""What the first exchange of each protocol proves."""


@pytest.fixture
def prove(toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock) -> Iterator[Callable[..., dict[str, Any]]]:
    """Inject a fault before a server on a port, heal it; the receipt."""
    injectors: dict[int, Injector] = {}

    def once(port: int, kind: type[Fault], **settings: Any) -> dict[str, Any]:
        if port not in injectors:
            state = toxiproxy.create_proxy("backend", "127.0.0.1:0", f"127.0.0.1:{port}")
            way = Route("backend", ("127.0.0.1", state.port), ("127.0.0.1", port), "x", "/", exchange=None)
            injectors[port] = Injector(toxiproxy, {"backend": way}, folder, clock)
        receipt = injectors[port].inject(make_fault(kind, proxy="backend", **settings))
        injectors[port].heal()
        return receipt

    yield once
    for injector in injectors.values():
        injector.close()


@pytest.mark.parametrize("handler", [greets(MARIADB_GREETING), postgresql, redis, tls()])
def test_faults_before_any_backend_are_proven(handler: Handler, prove: Callable[..., dict[str, Any]]) -> None:
    with serving(handler) as server:
        for kind, settings in PROVEN:
            assert "proof" in (receipt := prove(server.port, kind, **settings)), receipt


def test_redis_echoes_as_much_as_a_fault_needs(prove: Callable[..., dict[str, Any]]) -> None:
    faults: list[tuple[type[Fault], dict[str, Any]]] = [
        (Bandwidth, {"rate_kb_per_s": 20, "direction": "upstream"}),
        (DataLimit, {"limit_bytes": 100}),
        (Latency, {"latency_ms": 50, "direction": "upstream"}),
    ]
    with serving(redis) as server:
        for kind, settings in faults:
            assert "proof" in (receipt := prove(server.port, kind, **settings)), receipt


@pytest.mark.parametrize(
    ("handler", "kind", "settings", "doubt"),
    [
        (greets(b"220 hello\r\n"), BlackHole, {"direction": "upstream"}, "the server speaks first"),
        (postgresql, Bandwidth, {"rate_kb_per_s": 100}, "the first exchange of PostgreSQL is too short"),
        (postgresql, DataLimit, {"limit_bytes": 100}, "the first exchange of PostgreSQL is too short"),
        (postgresql, Bandwidth, {"rate_kb_per_s": 100, "connection_fraction": 0.5}, "is too short"),
        (postgresql, Slicer, {"average_size_bytes": 10, "delay_us": 10}, "in 1 pieces"),
    ],
)
def test_what_an_exchange_cannot_prove_is_said(
    handler: Handler, kind: type[Fault], settings: dict[str, Any], doubt: str, prove: Callable[..., dict[str, Any]]
) -> None:
    with serving(handler) as server:
        assert doubt in prove(server.port, kind, **settings)["doubt"]


def test_a_server_that_closes_after_each_answer_is_told_from_silence(prove: Callable[..., dict[str, Any]]) -> None:
    def closes(connection: socket.socket) -> None:
        if read_request(connection).startswith(b"GET"):
            connection.sendall(ANSWER)

    with serving(closes) as server:
        receipt = prove(server.port, BlackHole, direction="downstream")
    assert receipt["proof"].startswith("a connection ended without an answer"), receipt


def _redis_server(folder: Path, port: int) -> list[str]:
    return ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]


def _postgresql_server(folder: Path, port: int) -> list[str]:
    (bin_folder,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    options = ["-D", str(folder / "db"), "-p", str(port), "-c", f"unix_socket_directories={folder}"]
    as_user = (
        [] if getpass.getuser() != "root" else ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    )
    if as_user:
        folder.chmod(0o777)
        shutil.chown(folder, "postgres")
    subprocess.run([*as_user, bin_folder / "initdb", "-D", folder / "db"], check=True, capture_output=True, cwd="/")
    return [*as_user, str(bin_folder / "postgres"), *options]


def _mariadb_server(folder: Path, port: int) -> list[str]:
    options = [f"--datadir={folder}/db", "--user=" + getpass.getuser()]
    subprocess.run(["mariadb-install-db", "--no-defaults", *options], check=True, capture_output=True)
    return ["mariadbd", "--no-defaults", *options, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/s"]


REAL: list[tuple[str, Callable[[Path, int], list[str]], Exchange]] = [
    ("redis-server", _redis_server, REDIS),
    ("/usr/lib/postgresql", _postgresql_server, POSTGRESQL),
    ("mariadbd", _mariadb_server, MYSQL),
]


@pytest.mark.e2e
@pytest.mark.skipif(sys.platform != "linux", reason="the servers are Debian's")
@pytest.mark.parametrize(("needs", "command", "exchange"), REAL)
def test_faults_before_real_backends_are_proven(
    needs: str,
    command: Callable[[Path, int], list[str]],
    exchange: Exchange,
    prove: Callable[..., dict[str, Any]],
) -> None:
    if not (Path(needs).is_dir() or shutil.which(needs)):
        pytest.skip(f"{needs} is not installed")
    with tempfile.TemporaryDirectory(
        prefix="backend"
    ) as folder:  # a server may be another user's than pytest's folders
        _prove_all(Path(folder), needs, command, exchange, prove)


def _prove_all(
    folder: Path,
    needs: str,
    command: Callable[[Path, int], list[str]],
    exchange: Exchange,
    prove: Callable[..., dict[str, Any]],
) -> None:
    port = ReservedPort()
    server = Child(needs, command(folder, port.number), folder / "log", str(folder))
    server.start()
    try:
        until = time.monotonic() + 60
        while find_exchange(route_to(port.number)) is not exchange:
            assert server.alive, (folder / "log").read_text()
            assert time.monotonic() < until
        for kind, settings in PROVEN:
            assert "proof" in (receipt := prove(port.number, kind, **settings)), receipt
    finally:
        server.stop()
        port.release()

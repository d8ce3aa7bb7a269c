"""Names of this machine lead to this machine, whatever they resolve to; judged at each connection, by every client."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mcp_chaos.config.oauth import CLIENT_ID, CLIENT_SECRET, TOKEN_URL, token
from mcp_chaos.errors import TargetError, ToxiproxyError
from mcp_chaos.faults.asking import ask
from mcp_chaos.faults.protocol import find_exchange
from mcp_chaos.faults.route import Route
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.machine.exchange import fetch, staying_here, staying_here_async
from mcp_chaos.machine.loopback import connect, is_loopback, open_connection, open_socket
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.target import read_health
from mcp_chaos.run.proxies import at_its_address
from tests.conftest import ANSWER, answer_always, serving

ELSEWHERE = "198.51.100.7"  # of a network that is there for examples only
NAME = "me.localhost"
REFUSED = f"{NAME} is a name of this machine, and resolves to {ELSEWHERE}, which is another; nothing was sent there"

Lead = Callable[..., list[str]]


@pytest.fixture
def lead(monkeypatch: pytest.MonkeyPatch) -> Lead:
    """Have the name lead to some addresses, the last of them for ever; which were tried is told."""
    resolve, tried = socket.getaddrinfo, list[str]()
    connect_to = socket.socket.connect

    def start(*addresses: str) -> list[str]:
        left = list(addresses)

        def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
            if host not in (NAME, NAME.encode()):
                return resolve(host, *args, **kwargs)
            return resolve(left.pop(0) if len(left) > 1 else left[0], *args, **kwargs)

        def noted(sock: socket.socket, address: Any) -> None:
            tried.append(address[0])
            assert address[0] != ELSEWHERE, "a connection was tried"
            connect_to(sock, address)

        monkeypatch.setattr(socket, "getaddrinfo", resolved)
        monkeypatch.setattr(socket.socket, "connect", noted)
        return tried

    return start


def url(port: int, path: str = "/") -> str:
    return f"http://{NAME}:{port}{path}"


async def asyncio_connection(port: int) -> None:
    transport, _ = await open_connection(asyncio.Protocol, NAME, port)
    transport.close()


def observe(where: str, dialect: str) -> None:
    with McpClient(where, dialect, 2) as client:
        client.open()


CLIENTS: dict[str, Callable[[int], object]] = {
    "observer": lambda port: observe(url(port, "/mcp"), "streamable"),
    "observer, sse": lambda port: observe(url(port, "/sse"), "sse"),
    "observer, websocket": lambda port: observe(url(port, "/ws"), "websocket"),
    "toxiproxy": lambda port: ToxiproxyServer(url(port, "")).metrics(),
    "fetch": lambda port: fetch("GET", url(port), 2),
    "load": lambda port: asyncio.run(asyncio_connection(port)),
    "clients": lambda port: asyncio.run(open_socket(NAME, port)),
    "canary": lambda port: connect(NAME, port, 2),
    "upstream": lambda port: at_its_address((NAME, port)),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_name_of_this_machine_that_leads_elsewhere_is_refused_before_a_connection(name: str, lead: Lead) -> None:
    tried = lead(ELSEWHERE)
    with pytest.raises((TargetError, ToxiproxyError, OSError, httpx.ConnectError), match=REFUSED):
        CLIENTS[name](9)
    assert tried == []


def test_locust_resolves_no_name_of_this_machine_to_another() -> None:
    program = f"""
from gevent.resolver.thread import Resolver
Resolver.getaddrinfo = lambda *_, **__: [(2, 1, 6, "", ("{ELSEWHERE}", 80))]
import mcp_chaos.load.locust.users
from gevent import socket
print(socket.getaddrinfo("other.test", 80)[0][4][0])
socket.create_connection(("{NAME}", 80))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{ELSEWHERE}\n"
    assert REFUSED in done.stderr


def test_readings_say_that_it_is_not_there(lead: Lead) -> None:
    lead(ELSEWHERE)
    route = Route("mcp", (NAME, 9), (NAME, 9), NAME)
    assert read_health(url(9, "/health"), 2).status == "unreachable"
    assert ask((NAME, 9), route, 2).ended == "silent"
    assert find_exchange(route) is None


def test_a_client_secret_is_not_sent_elsewhere(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    lead(ELSEWHERE)
    given = {TOKEN_URL: url(9).replace(NAME, "localhost"), CLIENT_ID: "me", CLIENT_SECRET: "hush"}
    for key, value in given.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("tests.machine.test_loopback.NAME", "localhost")
    with pytest.raises(TargetError, match=f"localhost is a name of this machine, and resolves to {ELSEWHERE}"):
        token()


def test_a_name_that_leads_elsewhere_later_is_refused_then(lead: Lead) -> None:
    with serving(answer_always(ANSWER)) as server:
        lead("127.0.0.1", "127.0.0.1", ELSEWHERE)  # httpx resolves the name again after it was judged
        assert fetch("GET", url(server.port, "/health"), 2).status_code == 200
        with pytest.raises(httpx.ConnectError, match=REFUSED):
            fetch("GET", url(server.port, "/health"), 2)
        assert server.connections == 1


class Stream:
    """A connection as httpcore has it, of which the name was resolved otherwise than it was judged."""

    closed = False

    def get_extra_info(self, _: str) -> tuple[str, int]:
        return ELSEWHERE, 80

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def test_what_was_connected_to_is_judged_before_anything_is_sent(lead: Lead) -> None:
    lead("127.0.0.1")
    stream, trace = Stream(), staying_here()
    trace("connection.connect_tcp.started", {"host": NAME, "port": 80})
    with pytest.raises(httpx.ConnectError, match=REFUSED):
        trace("connection.connect_tcp.complete", {"return_value": stream})
    assert stream.closed


def test_what_was_connected_to_is_judged_in_a_loop_too(lead: Lead) -> None:
    async def trace() -> None:
        hears = staying_here_async()
        await hears("connection.connect_tcp.started", {"host": NAME, "port": 80})
        await hears("connection.connect_tcp.complete", {"return_value": stream})

    lead("127.0.0.1")
    stream = Stream()
    with pytest.raises(httpx.ConnectError, match=REFUSED):
        asyncio.run(trace())
    assert stream.closed


@pytest.mark.parametrize("name", ["toxiproxy", "fetch", "load", "canary", "upstream", "clients"])
def test_a_name_that_leads_here_is_connected_to_wherever_somebody_listens(
    name: str, lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def both(host: Any, *args: Any, **kwargs: Any) -> Any:
        found = [resolve(address, *args, **kwargs) for address in ("127.0.0.9", "127.0.0.1")]
        return [*found[0], *found[1]] if host in (NAME, NAME.encode()) else resolve(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with serving(answer_always(ANSWER)) as server:
        done = CLIENTS[name](server.port)
        if isinstance(done, socket.socket):
            done.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "LOCALHOST", "a.b.localhost", "127.9.9.9"])
def test_this_machine_is_known_by_its_names_and_addresses(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["192.0.2.1", "localhost.example.com", "notlocalhost", "0.0.0.0", "", "127.1"])
def test_other_machines_are_not_this_one(host: str) -> None:
    assert not is_loopback(host)


def test_a_host_that_is_no_name_of_this_machine_may_lead_anywhere(lead: Lead, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: resolve("127.0.0.1", *a, **k))
    with serving(answer_always(ANSWER)) as server, connect("allowed.test", server.port, 2) as connection:
        assert connection.getpeername()[0] == "127.0.0.1"

"""Exchanges that would not end by themselves, with servers that do what no real one can be made to do."""

import itertools
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

import httpx
import pytest

from mcp_chaos.config.oauth import CLIENT_ID, CLIENT_SECRET, TOKEN_URL, token
from mcp_chaos.errors import TargetError, ToxiproxyError
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.machine.exchange import MAX_BYTES, TooLargeError, fetch
from mcp_chaos.machine.parts import answers
from mcp_chaos.observe.target import read_health, read_status
from tests.conftest import Handler, read_request, serving

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
DEADLINE_S = 0.5
MARGIN_S = 5.0
_CHUNK = b" " * 65536


def flood(connection: socket.socket) -> None:
    """Answer with a body that never ends."""
    read_request(connection)
    connection.sendall(HEAD)
    while True:
        connection.sendall(_CHUNK)


def drip(head: bytes, gone: threading.Event) -> Handler:
    """A handler that sends a head, and then a byte now and then."""

    def handle(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(head)
        for byte in itertools.cycle(b"x"):
            connection.sendall(bytes([byte]))
            if gone.wait(0.05):
                return

    return handle


@contextmanager
def dripping(head: bytes):  # type: ignore[no-untyped-def]
    gone = threading.Event()
    with serving(drip(head, gone)) as server:
        try:
            yield server
        finally:
            gone.set()


READERS: list[Callable[[str], object]] = [
    lambda url: read_health(f"{url}/health", DEADLINE_S),
    lambda url: read_status(f"{url}/status", DEADLINE_S),
    lambda url: answers(url),
]


@pytest.mark.parametrize("head", [HEAD, b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["body", "head"])
def test_a_byte_now_and_then_does_not_move_a_deadline(head: bytes) -> None:
    with dripping(head) as server:
        began = time.monotonic()
        with pytest.raises(httpx.ReadTimeout):
            fetch("GET", f"http://127.0.0.1:{server.port}/", DEADLINE_S)
        assert time.monotonic() - began < DEADLINE_S + MARGIN_S


def test_a_body_without_end_is_not_read_on() -> None:
    with serving(flood) as server, pytest.raises(TooLargeError, match=str(MAX_BYTES)):
        fetch("GET", f"http://127.0.0.1:{server.port}/", 60.0)


@pytest.mark.parametrize("read", READERS)
def test_readings_of_a_server_without_end_end(read: Callable[[str], object]) -> None:
    with serving(flood) as server:
        began = time.monotonic()
        read(f"http://127.0.0.1:{server.port}")
        assert time.monotonic() - began < 2.0 + MARGIN_S


def test_a_health_page_without_end_is_no_answer() -> None:
    with serving(flood) as server:
        assert read_health(f"http://127.0.0.1:{server.port}/health", 30.0).status == "unreachable"


@pytest.mark.parametrize("head", [HEAD, b"HTTP/1.1 200 OK\r\nX-Slow: "], ids=["body", "head"])
def test_toxiproxy_has_one_deadline_for_a_whole_answer(head: bytes) -> None:
    with dripping(head) as server:
        began = time.monotonic()
        with pytest.raises(ToxiproxyError, match=r"within 0\.5 s"):
            ToxiproxyServer(f"http://127.0.0.1:{server.port}", DEADLINE_S).proxies()
        assert time.monotonic() - began < DEADLINE_S + MARGIN_S


def test_what_floods_is_not_toxiproxy() -> None:
    with serving(flood) as server, pytest.raises(ToxiproxyError, match="sent more than"):
        ToxiproxyServer(f"http://127.0.0.1:{server.port}", 60.0).proxies()


def test_an_authorization_server_without_end_gives_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(flood) as server:
        monkeypatch.setenv(TOKEN_URL, f"http://127.0.0.1:{server.port}/token")
        monkeypatch.setenv(CLIENT_ID, "a")
        monkeypatch.setenv(CLIENT_SECRET, "a secret")
        with pytest.raises(TargetError, match="sent more than"):
            token()

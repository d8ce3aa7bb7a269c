"""Which era a server speaks is asked of it, and nothing else is taken for an answer."""

import json
import socket
import time
from collections.abc import Callable

import pytest

from mcp_chaos.errors import TargetError
from mcp_chaos.observe.era import find_dialect
from tests.conftest import Handler, closes_after_reading, read_request, serving
from tests.servers import answering, http, result_for

DISCOVERED = {"supportedVersions": ["2026-07-28"], "capabilities": {}}
OPENED = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}


def server(discover: Callable[[bytes], bytes], initialize: Callable[[bytes], bytes] | None = None) -> Handler:
    """Answers discover and initialize, and takes the notification."""

    def make(request: bytes) -> bytes:
        method = json.loads(request.partition(b"\r\n\r\n")[2] or b"{}").get("method")
        if method == "server/discover":
            return discover(request)
        if method == "initialize" and initialize is not None:
            return initialize(request)
        return http(b"", status="202 Accepted") if method else http(b"", status="405 Method Not Allowed")

    return answering(make)


def opens(request: bytes) -> bytes:
    return http(result_for(request, result=OPENED))


def found(handler: Handler, deadline_s: float = 5) -> str:
    with serving(handler) as made:
        return find_dialect(f"http://127.0.0.1:{made.port}/mcp", deadline_s)


def test_a_server_of_the_stateless_era_says_so() -> None:
    assert found(server(lambda r: http(result_for(r, result=DISCOVERED)))) == "modern"


@pytest.mark.parametrize(
    "discover",
    [
        lambda r: http(result_for(r, result=None, error={"code": -32601, "message": "Method not found"})),
        lambda r: http(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}', status="400 Bad Request"),
        lambda r: http(b"", status="404 Not Found"),
        lambda r: http(b"", status="406 Not Acceptable"),
        lambda r: http(result_for(r, result={"supportedVersions": ["2027-01-01"]})),
        lambda r: http(result_for(r, result={"supportedVersions": 3})),
    ],
)
def test_a_server_that_rejects_discovery_is_asked_in_the_older_way(discover: Callable[[bytes], bytes]) -> None:
    assert found(server(discover, opens)) == "streamable"


@pytest.mark.parametrize("status", ["500 Oops", "503 Service Unavailable"])
def test_a_server_that_is_not_well_tells_nothing_of_its_era(status: str) -> None:
    with pytest.raises(TargetError, match=f"HTTP {status[:3]} .*what it speaks is not known.*MCP_DIALECT=streamable"):
        found(server(lambda r: http(b"", status=status), opens))


def test_silence_and_a_cut_are_no_verdict_about_the_era() -> None:
    def silent(conn: socket.socket) -> None:
        read_request(conn)
        time.sleep(0.5)

    with pytest.raises(TargetError, match="did not answer within"):
        found(silent, deadline_s=0.2)
    with pytest.raises(TargetError, match="cannot be reached"):
        found(closes_after_reading)


def test_a_server_that_speaks_neither_is_told_in_its_own_words() -> None:
    def neither(request: bytes) -> bytes:
        return http(b'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"go away"}}', status="401 Unauthorized")

    with pytest.raises(TargetError, match="HTTP 401: go away"):
        found(server(neither, neither))
    page = http(b"<html>", kind="text/html")
    with pytest.raises(TargetError, match="text/html, which is not MCP"):
        found(server(lambda _: page, lambda _: page))

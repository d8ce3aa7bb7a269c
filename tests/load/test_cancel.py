"""A call that is given up is cancelled, where to hang up does not say so."""

import json
import socket

import pytest

from mcp_chaos.mcp import DIALECTS, Streamable
from tests.conftest import Handler, read_request, serving
from tests.load.test_engine import http, reasons, run_engine, spec_for
from tests.servers import result_for


def never_answering_calls(heard: list[dict[str, object]], cancelled: str = "202 Accepted") -> Handler:
    """A server that opens sessions, never answers a call, and notes what it was told besides."""
    opened = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}

    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            message = json.loads(request.partition(b"\r\n\r\n")[2] or b"{}")
            if message.get("method") == "initialize":
                conn.sendall(http(result_for(request, result=opened), extra="Mcp-Session-Id: s\r\n"))
            elif message.get("method") == "notifications/cancelled":
                heard.append({**message["params"], "session": b"Mcp-Session-Id: s" in request})
                if not cancelled:
                    conn.recv(1)  # until the client has waited long enough
                    return
                conn.sendall(http(b"", status=cancelled))
            elif message.get("method") == "tools/call":
                heard.append({"called": message["id"]})
            else:
                conn.sendall(http(b"", status="202 Accepted"))

    return handle


@pytest.mark.parametrize("cancelled", ["202 Accepted", "404 Not Found", ""])
def test_the_server_is_told_that_nobody_waits(cancelled: str) -> None:
    heard: list[dict[str, object]] = []
    with serving(never_answering_calls(heard, cancelled)) as server:
        calls = run_engine(spec_for(server.port, "streamable"), 1, 2)
    assert reasons(calls) == {"TIMED_OUT": 2}
    called = [message["called"] for message in heard if "called" in message]
    told = [message for message in heard if "requestId" in message]
    assert [message["requestId"] for message in told] == called
    assert all(message["session"] and message["reason"] == "timed out" for message in told)


def test_in_the_stateless_era_to_hang_up_is_to_cancel() -> None:
    heard: list[dict[str, object]] = []
    with serving(never_answering_calls(heard)) as server:
        assert reasons(run_engine(spec_for(server.port, "modern"), 1, 2)) == {"TIMED_OUT": 2}
    assert [message for message in heard if "requestId" in message] == []


def test_before_there_is_a_session_there_is_nothing_to_cancel() -> None:
    assert Streamable().cancellation(1) is None
    assert [name for name, dialect in DIALECTS.items() if dialect().cancellation(1) is not None] == []

"""Credentials that expire are got anew while a load goes on, without a call that waits for it."""

import json
import re
import socket
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from mcp_chaos.config import credentials, oauth
from mcp_chaos.errors import UsageError
from mcp_chaos.load.locust.credentials import KeptCredentials
from tests.conftest import read_request, serving
from tests.load.test_engine import http, reasons, run_engine, spec_for
from tests.load.websocket_servers import answer, talking
from tests.load.websocket_servers import spec_for as websockets_to
from tests.servers import answering, result_for


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in credentials.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(oauth, "_tokens", {})


def tokens_of_a_load(calls: int) -> list[str]:
    """The tokens that a server was sent by one user, in order, each once."""
    sent: list[str] = []

    def handle(conn: socket.socket) -> None:
        while request := read_request(conn):
            found = re.search(rb"Authorization: Bearer (\S+)", request)
            sent.append(found.group(1).decode() if found else "")
            time.sleep(0.02)  # what a server takes
            conn.sendall(http(result_for(request)))

    with serving(handle) as server:
        assert reasons(run_engine(spec_for(server.port, deadline_s=5), 1, calls)) == {"OK": calls}
    return list(dict.fromkeys(sent))


def test_a_token_that_expires_is_got_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count(1)

    def answer(_: bytes) -> bytes:
        return http(json.dumps({"access_token": f"token-{next(numbers)}", "expires_in": 0.5}).encode())

    monkeypatch.setattr(oauth, "_SHORTEST_S", 0.1)
    with serving(answering(answer)) as authority:
        given = {"TOKEN_URL": f"http://127.0.0.1:{authority.port}/", "CLIENT_ID": "x", "CLIENT_SECRET": "y"}
        for name, value in given.items():
            monkeypatch.setenv(f"MCP_OAUTH_{name}", value)
        tokens = tokens_of_a_load(80)
    assert tokens[:2] == ["token-1", "token-2"]


def rewriting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """A token file that, once it was read, has another text; none for an empty one."""
    file = tmp_path / "token"
    file.write_text("first")
    monkeypatch.setenv("MCP_TOKEN_FILE", str(file))
    monkeypatch.setattr(credentials, "_FILE_AGE_S", 0.1)
    original = credentials.credential_headers

    def then_another() -> list[tuple[str, str]]:
        headers = original()
        if text:
            file.write_text(text)
        else:
            file.unlink()
        return headers

    monkeypatch.setattr("mcp_chaos.load.engine.credential_headers", then_another)


def test_a_token_file_is_read_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rewriting(monkeypatch, tmp_path, "second")
    assert tokens_of_a_load(40) == ["first", "second"]


def test_credentials_that_cannot_be_got_anew_are_used_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rewriting(monkeypatch, tmp_path, "")
    assert tokens_of_a_load(40) == ["first"]


def tokens_of_websockets(calls: int) -> list[str]:
    """The tokens that a server was sent which ends each WebSocket after its first call, in order, each once."""
    sent: list[str] = []

    def once(connection: ServerConnection, message: dict[str, Any]) -> None:
        assert connection.request is not None
        sent.append(connection.request.headers["Authorization"].removeprefix("Bearer "))
        time.sleep(0.02)
        answer(connection, message)
        connection.close()

    with talking(once) as server:
        assert reasons(run_engine(websockets_to(server.port, deadline_s=5), 1, calls))["OK"]
    return list(dict.fromkeys(sent))


@pytest.mark.parametrize(("text", "sent"), [("second", ["first", "second"]), ("", ["first"])])
def test_websockets_have_the_same_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, sent: list[str]
) -> None:
    rewriting(monkeypatch, tmp_path, text)
    assert tokens_of_websockets(40) == sent


def test_locust_has_the_same_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    monkeypatch.setenv("MCP_TOKEN_FILE", str(file))
    kept = KeptCredentials()
    with pytest.raises(UsageError):
        kept.headers()
    file.write_text("first")
    assert kept.headers() == [("Authorization", "Bearer first")]
    file.write_text("second")
    assert kept.headers() == [("Authorization", "Bearer first")]  # it is young yet
    monkeypatch.setattr(kept, "_until_s", 0.0)
    assert kept.headers() == [("Authorization", "Bearer second")]
    file.unlink()
    monkeypatch.setattr(kept, "_until_s", 0.0)
    assert kept.headers() == [("Authorization", "Bearer second")]

"""Tokens by client credentials from an authorization server of the test's own."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from mcp_chaos.config import oauth
from mcp_chaos.config.credentials import VARIABLES, credential_headers, credential_problems, fresh_for_s, redacted
from mcp_chaos.errors import TargetError, UsageError
from tests.conftest import serving
from tests.servers import answering, http

Serve = Callable[..., str]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(oauth, "_tokens", {})


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts an authorization server that gives one answer, or makes it from the request; sets the variables."""
    servers = []

    def start(answer: object, status: str = "200 OK", *, secret: str = "s3cret", scope: str = "") -> str:
        def make(request: bytes) -> bytes:
            body = answer(request) if callable(answer) else answer
            return http(body if isinstance(body, bytes) else json.dumps(body).encode(), status=status)

        servers.append(serving(answering(make)))
        url = f"http://127.0.0.1:{servers[-1].__enter__().port}/token?tenant=x"
        given = {"TOKEN_URL": url, "CLIENT_ID": "client:1", "CLIENT_SECRET": secret, "SCOPE": scope}
        for name, value in given.items():
            monkeypatch.setenv(f"MCP_OAUTH_{name}", value)
        return url

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def test_a_token_is_got_once_and_sent_as_a_bearer_token(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def answer(request: bytes) -> object:
        asked.append(request)
        return {"access_token": f"token-{len(asked)}", "token_type": "Bearer", "expires_in": 3600}

    serve(answer, scope="read")
    monkeypatch.setenv("MCP_OAUTH_RESOURCE", "https://mcp.example/mcp")
    assert credential_headers() == credential_headers() == [("Authorization", "Bearer token-1")]
    head, _, body = asked[0].partition(b"\r\n\r\n")
    basic = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"authorization:")).split()[-1]
    assert base64.b64decode(basic) == b"client%3A1:s3cret"
    assert parse_qs(body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["read"],
        "resource": ["https://mcp.example/mcp"],
    }
    assert redacted("token-1 of s3cret") == "[redacted] of [redacted]"
    assert 3500 < (fresh_for_s() or 0) < 3600


def test_a_token_is_got_anew_before_it_expires(serve: Serve) -> None:
    numbers = iter(range(1, 9))
    serve(lambda _: {"access_token": f"token-{next(numbers)}", "token_type": "bearer", "expires_in": 0.2})
    assert oauth.token() == "token-1"
    until = time.monotonic() + 10
    while oauth.token() == "token-1":
        assert time.monotonic() < until
    assert oauth.token() == "token-2"


def test_the_secret_can_be_in_a_file(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve({"access_token": "token"}, secret="")
    (tmp_path / "secret").write_text("from-a-file\n")
    monkeypatch.setenv("MCP_OAUTH_CLIENT_SECRET_FILE", str(tmp_path / "secret"))
    assert credential_headers() == [("Authorization", "Bearer token")]


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"error": "invalid_client", "error_description": "no s3cret"}, "401 No", "invalid_client: no [redacted]"),
        ({"access_token": "x", "token_type": "mac"}, "200 OK", "gave no bearer token: HTTP 200"),
        ({"access_token": 7}, "200 OK", "gave no bearer token"),
        ([], "200 OK", "gave no bearer token"),
        (b"nonsense", "200 OK", "No token could be got"),
        ({}, "302 Found", "HTTP 302"),
    ],
)
def test_what_is_no_token_is_told_without_the_secret(serve: Serve, answer: object, status: str, said: str) -> None:
    serve(answer, status)
    with pytest.raises(TargetError) as refused:
        credential_headers()
    assert said in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "tenant" not in str(refused.value)


def test_an_authorization_server_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_OAUTH_TOKEN_URL", "http://127.0.0.1:1/token")
    monkeypatch.setenv("MCP_OAUTH_CLIENT_ID", "x")
    monkeypatch.setenv("MCP_OAUTH_CLIENT_SECRET", "x")
    with pytest.raises(TargetError, match="No token could be got from MCP_OAUTH_TOKEN_URL"):
        credential_headers()


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"MCP_OAUTH_CLIENT_ID": "x"}, "MCP_OAUTH_TOKEN_URL is needed"),
        ({"MCP_OAUTH_TOKEN_URL": "https://a/"}, "one of MCP_OAUTH_CLIENT_SECRET and"),
        ({"MCP_OAUTH_TOKEN_URL": "http://auth.example/"}, "a URL with https is needed"),
        ({"MCP_OAUTH_TOKEN_URL": "nonsense"}, "a URL with https is needed"),
        ({"MCP_OAUTH_CLIENT_SECRET_FILE": "/no/such/file"}, "/no/such/file cannot be read"),
        ({"MCP_OAUTH_CLIENT_ID": "x", "MCP_TOKEN": "t"}, "unset one of them"),
        ({"MCP_OAUTH_CLIENT_ID": "x", "MCP_HEADERS": '{"Authorization": "t"}'}, "is given or got besides"),
    ],
)
def test_settings_that_make_no_sense_are_told_before_anybody_is_asked(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], said: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert any(said in problem for problem in credential_problems())
    with pytest.raises(UsageError):
        credential_headers()

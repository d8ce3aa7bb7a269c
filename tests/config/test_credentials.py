"""Credentials come from the environment, reach the server, and stay in nothing that is kept."""

import json
from pathlib import Path

import pytest

from mcp_chaos.config.credentials import VARIABLES, credential_headers, redacted
from mcp_chaos.config.settings import resolve
from mcp_chaos.errors import UsageError


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_without_any_there_are_no_headers() -> None:
    assert credential_headers() == []
    assert redacted("nothing is secret") == "nothing is secret"


def test_a_token_is_a_bearer_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_TOKEN", " s3cret-token \n")
    assert credential_headers() == [("Authorization", "Bearer s3cret-token")]
    assert redacted("token s3cret-token is expired") == "token [redacted] is expired"


def test_a_token_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("MCP_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("MCP_HEADERS", json.dumps({"X-Api-Key": "key-1"}))
    assert credential_headers() == [("X-Api-Key", "key-1"), ("Authorization", "Bearer from-a-file")]


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"MCP_HEADERS": "X-Api-Key: secret"}, "a JSON object of texts is needed"),
        ({"MCP_HEADERS": '["secret"]'}, "a JSON object of texts is needed"),
        ({"MCP_HEADERS": '{"X": 3}'}, "a JSON object of texts is needed"),
        ({"MCP_HEADERS": '{"X Y": "secret"}'}, "'X Y' is not the name of a header"),
        ({"MCP_HEADERS": '{"X": "secret\\r\\nHost: evil"}'}, "the value of X is not one that a header can have"),
        ({"MCP_HEADERS": '{"Host": "evil"}'}, "Host is made by the protocol"),
        ({"MCP_HEADERS": '{"Mcp-Session-Id": "x"}'}, "Mcp-Session-Id is made by the protocol"),
        ({"MCP_HEADERS": '{"authorization": "secret"}', "MCP_TOKEN": "secret"}, "unset one of them"),
        ({"MCP_TOKEN": "secret", "MCP_TOKEN_FILE": "token"}, "both given"),
        ({"MCP_TOKEN_FILE": "/no/such/file"}, "cannot be read"),
        ({"MCP_TOKEN": "sec\nret"}, "the value of Authorization"),
    ],
)
def test_what_cannot_be_used_is_told_without_the_secret(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], problem: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refused:
        credential_headers()
    assert problem in str(refused.value)
    assert "secret" not in str(refused.value)
    with pytest.raises(UsageError, match="settings cannot be used"):
        resolve({})


def test_an_experiment_is_no_place_for_them() -> None:
    with pytest.raises(UsageError, match="'mcp_token' would be written to the journal"):
        resolve({"mcp_token": "secret"})

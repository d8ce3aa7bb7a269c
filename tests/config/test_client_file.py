"""A server is taken from the file that MCP clients have."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from mcp_chaos.config.client_file import environment_of
from mcp_chaos.errors import UsageError


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a file with servers; its path."""
    monkeypatch.setenv("KEY", "k")

    def write(content: Any) -> Path:
        path = tmp_path / "mcp.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.mark.parametrize("key", ["mcpServers", "servers"])
def test_a_command_has_its_words_and_variables(written: Any, key: str) -> None:
    entry = {"command": "npx", "args": ["-y", "a server"], "env": {"TOKEN": "${KEY}", "OTHER": "${NO:-x}"}}
    made = environment_of(written({key: {"one": entry}}), "")
    assert shlex.split(made.pop("MCP_COMMAND")) == ["npx", "-y", "a server"]
    assert made == {"TOKEN": "k", "OTHER": "x"}


def test_a_url_has_its_headers(written: Any) -> None:
    entry = {"type": "sse", "url": "http://127.0.0.1:1/sse", "headers": {"X-Key": "${env:KEY}"}}
    assert environment_of(written({"mcpServers": {"a": {}, "b": entry}}), "b") == {
        "MCP_URL": "http://127.0.0.1:1/sse",
        "MCP_HEADERS": '{"X-Key": "k"}',
        "MCP_DIALECT": "sse",
    }


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        ("// comment", "", "is not JSON"),
        ({}, "", "names no servers"),
        ({"mcpServers": {"a": {}, "b": {}}}, "", "several servers; name one: a, b"),
        ({"mcpServers": {"weather": {}}}, "wether", "did you mean 'weather'"),
        ({"mcpServers": {"a": {"args": []}}}, "a", "neither a command nor a url"),
        ({"mcpServers": {"a": {"url": "${NOWHERE_SET}"}}}, "", "uses NOWHERE_SET"),
    ],
)
def test_what_cannot_be_used_is_told(written: Any, content: Any, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        environment_of(written(content), name)
    with pytest.raises(UsageError, match="cannot be read"):
        environment_of(Path("/nonexistent"), "")

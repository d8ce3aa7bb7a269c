"""``mcp-chaos try`` up to the question whether to go on; runs are in the tests of the gate."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mcp_chaos.cli import cli
from mcp_chaos.config.settings import KEYS
from mcp_chaos.errors import UsageError
from tests.conftest import serving
from tests.servers import tools_server

NOW = {"name": "now", "annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}
DROP = {"name": "drop", "inputSchema": {"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}}}}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A folder of the test's own, and no settings: the command sets variables, which go with the test."""
    for key in KEYS:
        monkeypatch.delenv(key.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def tried(tools: list[object], *arguments: str, answer: str = "n\n") -> Result:
    with serving(tools_server(tools)) as server:
        return CliRunner().invoke(cli, ["try", f"http://127.0.0.1:{server.port}/mcp", *arguments], input=answer)


def test_it_says_what_it_will_call_and_asks() -> None:
    result = tried([NOW, DROP])
    assert "now {}" in result.output
    assert "Not called: 'drop' is not marked as read-only" in result.output
    assert "network_partition, connection_resets" in result.output
    assert "backend_outage" not in result.output
    assert "Nothing was broken" in str(result.exception)
    assert not Path("runs").exists()


def test_what_is_allowed_is_called() -> None:
    assert 'drop {"x":"test"}' in tried([DROP], "--allow", "drop").output
    assert 'drop {"x":"y"}' in tried([DROP], "--tool", "drop", "--arguments", '{"x": "y"}').output
    assert [path.name for path in Path().glob("*.yaml")] == ["mcp-chaos-workload.yaml", "mcp-chaos-workload-2.yaml"]


def test_where_nothing_may_be_called_there_is_a_draft() -> None:
    result = tried([DROP])
    assert result.exit_code == 3
    assert "mcp-chaos try ... --workload mcp-chaos-workload.yaml" in result.output
    draft = Path("mcp-chaos-workload.yaml").read_text()
    assert '# - {"tool": "drop", "arguments": {"x": "..."}}' in draft
    Path("filled.yaml").write_text(draft.replace("# - {", "- {"))
    filled = tried([DROP], "--workload", "filled.yaml", "--allow", "drop")
    assert 'drop {"x":"..."}' in filled.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Say which server"),
        (["--only", "nothing", "http://127.0.0.1:1/mcp"], "cannot be reached"),
        (["--", "no-such-command-here"], "there is no command"),
        (["--", "FOO=bar", "true"], "begin with env: env"),
        (["--config", "none.json"], "cannot be read"),
    ],
)
def test_what_cannot_be_tried_is_told(arguments: list[str], said: str) -> None:
    error = CliRunner().invoke(cli, ["try", *arguments]).exception
    assert said in str(error)
    assert isinstance(error, UsageError) or "reached" in said

"""``mcp-chaos init`` writes a starting set for a server, over nothing that is there."""

import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_chaos.cli import main
from mcp_chaos.commands.init import EXPERIMENTS, InCi, told_of, workflow_steps
from mcp_chaos.config.credentials import VARIABLES
from mcp_chaos.config.settings import KEYS, Settings, resolve
from mcp_chaos.workload.file import read_workload
from tests.conftest import answer_always, serving
from tests.real_servers.servers import ANY_SDK
from tests.servers import answering, http, result_for, tools_server, well

NOW = {"name": "now", "annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}
DROP = {"name": "drop", "inputSchema": {"type": "object"}}

Init = Callable[..., tuple[int, str, str]]


@pytest.fixture
def init(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Init:
    """Runs the command in a folder of the test's own: exit code, output, errors."""
    for key in (*(key.upper() for key in KEYS), *VARIABLES):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["mcp-chaos", "init", *argv])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, *capsys.readouterr()

    return run


def test_the_set_is_for_the_server_it_was_pointed_at(init: Init, tmp_path: Path) -> None:
    with serving(tools_server([NOW, DROP])) as server:
        url = f"http://127.0.0.1:{server.port}/mcp"
        code, output, _ = init("--url", url, "--folder", "resilience")
    assert code == 0
    assert "no root of a git repository" in output
    assert "Not called: 'drop' is not marked as read-only" in output
    folder = tmp_path / "resilience"
    for name in EXPERIMENTS:
        configuration = yaml.safe_load((folder / f"{name}.yaml").read_text())["configuration"]
        assert configuration["mcp_url"] == {"type": "env", "key": "MCP_URL", "default": url}
        assert "experiments/" not in (folder / f"{name}.yaml").read_text()
    assert read_workload(str(folder / "workload.yaml")).tools == ("now",)
    assert "@" not in (folder / "README.md").read_text()
    assert f"MCP_URL={url} mcp-chaos doctor" in (folder / "README.md").read_text()
    numbers = yaml.safe_load((folder / "profile.yaml").read_text())["configuration"]
    known = {
        key for name in EXPERIMENTS for key in yaml.safe_load((folder / f"{name}.yaml").read_text())["configuration"]
    }
    assert set(numbers) <= known


def test_nothing_is_written_over(init: Init, tmp_path: Path) -> None:
    (tmp_path / "chaos").mkdir()
    (tmp_path / "chaos" / "profile.yaml").write_text("mine")
    with serving(tools_server([NOW])) as server:
        code, _, errors = init("--url", f"http://127.0.0.1:{server.port}/mcp")
    assert code == 2
    assert "chaos/profile.yaml would be written over" in errors
    assert [path.name for path in tmp_path.rglob("*")] == ["chaos", "profile.yaml"]


def test_a_tool_that_was_named_is_what_the_load_calls(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_TOOL", "drop")
    monkeypatch.setenv("MCP_CHAOS_ALLOW_TOOLS", "drop")
    with serving(tools_server([NOW, DROP])) as server:
        code, _, _ = init("--url", f"http://127.0.0.1:{server.port}/mcp")
    assert code == 0
    assert read_workload(str(tmp_path / "chaos" / "workload.yaml")).tools == ("drop",)
    configuration = yaml.safe_load((tmp_path / "chaos" / "network_partition.yaml").read_text())["configuration"]
    assert configuration["mcp_chaos_allow_tools"]["default"] == "drop"


def test_what_try_found_is_taken(init: Init, tmp_path: Path) -> None:
    needs = {"type": "object", "required": ["x"], "properties": {"x": {"type": "string"}}}
    with serving(tools_server([{**DROP, "inputSchema": needs}])) as server:
        url = f"http://127.0.0.1:{server.port}/mcp"
        assert init("--url", url, "--tool", "drop", "--arguments", '{"x": "y"}', "--folder", "one")[0] == 0
        workload = str(tmp_path / "one" / "workload.yaml")
        assert read_workload(workload).tool_calls[0].arguments == {"x": "y"}
        assert init("--url", url, "--workload", workload, "--allow", "drop", "--folder", "two")[0] == 0
    assert (tmp_path / "two" / "workload.yaml").read_text() == Path(workload).read_text()


def test_where_nothing_may_be_called_the_workload_is_a_draft(init: Init, tmp_path: Path) -> None:
    with serving(tools_server([DROP])) as server:
        code, output, _ = init("--url", f"http://127.0.0.1:{server.port}/mcp")
    assert code == 0
    assert "'drop' is not marked as read-only" in output
    assert "workload.yaml is a draft" in output
    assert '# - {"tool": "drop", "arguments": {}}' in (tmp_path / "chaos" / "workload.yaml").read_text()


@pytest.mark.parametrize("token", ["", "t0ken"])
def test_credentials_have_a_place_in_the_workflow(
    init: Init, tmp_path: Path, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCP_TOKEN", token)
    with serving(tools_server([NOW])) as server:
        assert init("--url", f"http://127.0.0.1:{server.port}/mcp")[0] == 0
    text = (tmp_path / ".github" / "workflows" / "mcp-chaos.yml").read_text()
    gate = next(s for s in yaml.safe_load(text)["jobs"]["resilience"]["steps"] if s.get("name") == "the gate")
    assert gate.get("env") == ({"MCP_TOKEN": "${{ secrets.MCP_TOKEN }}"} if token else None)
    assert "secrets.MCP_TOKEN" in text
    assert "t0ken" not in text


def test_a_server_of_the_specifications_dialect(init: Init, tmp_path: Path) -> None:
    with serving(well()) as server:
        assert init("--url", f"http://127.0.0.1:{server.port}/mcp/tools/call")[0] == 0
    assert read_workload(str(tmp_path / "chaos" / "workload.yaml")).tools == ("list_databases",)


def test_tools_that_fail_are_left_out(init: Init, tmp_path: Path) -> None:
    failing = answering(lambda request: http(result_for(request, result={"content": [], "isError": True})))
    with serving(failing) as server:
        code, _, errors = init("--url", f"http://127.0.0.1:{server.port}/mcp/tools/call")
    assert code == 3
    assert "No tool answers well" in errors
    assert "tool error" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        ((), 2, "Say which server it is for"),
        (("--url", "http://127.0.0.1:1/mcp"), 3, "cannot be reached"),
        (("--url", "http://192.0.2.1/mcp"), 2, "MCP_CHAOS_ALLOW_HOSTS"),
        (("--command", "no-such-command-here"), 2, "there is no command 'no-such-command-here'"),
        (("--command", "true", "--url", "http://127.0.0.1:1/mcp"), 2, "unset one of them"),
        (("--command", "true"), 3, "the server ended before it answered"),
        (("--command", '"'), 2, "this is no command line"),
    ],
)
def test_what_keeps_it_from_it_is_told(init: Init, tmp_path: Path, argv: tuple[str, ...], code: int, said: str) -> None:
    found, _, errors = init(*argv)
    assert found == code
    assert said in errors
    assert list(tmp_path.iterdir()) == []


STARTS = [
    "PORT=8000 python -m x",
    "cd server && python -m x",
    "x --title 'a: b'",
    "echo one\necho two",
    "echo one #two",
    'echo "$HOME" \\ `true`',
]


def steps_of(workflow: Path) -> dict[str, dict[str, Any]]:
    content = yaml.safe_load(workflow.read_text())
    return {step.get("name", step.get("uses")): step for step in content["jobs"]["resilience"]["steps"]}


@pytest.mark.parametrize("start", STARTS)
def test_the_workflow_starts_a_server_as_a_shell_would(init: Init, tmp_path: Path, start: str) -> None:
    with serving(tools_server([NOW])) as server:
        assert init("--url", f"http://127.0.0.1:{server.port}/mcp", "--install", start, "--start", start)[0] == 0
    steps = steps_of(tmp_path / ".github/workflows/mcp-chaos.yml")
    assert steps["what the server needs"]["run"] == start
    assert shlex.split(steps["the server"]["run"]) == ["nohup", "sh", "-c", start, ">", "server.log", "2>&1", "&"]
    assert "server.log" in steps["actions/upload-artifact@v5"]["with"]["path"].split()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("chaos", "mcp-chaos"),
        (".", "mcp-chaos"),
        ("chaos/second", "mcp-chaos-chaos-second"),
        ("a: b #c", "mcp-chaos-a-b-c"),
        ("it's", "mcp-chaos-it-s"),
    ],
)
def test_each_folder_has_a_workflow_of_its_own(init: Init, tmp_path: Path, folder: str, name: str) -> None:
    with serving(tools_server([NOW])) as server:
        assert init("--url", f"http://127.0.0.1:{server.port}/mcp", "--folder", folder)[0] == 0
    workflow = tmp_path / f".github/workflows/{name}.yml"
    assert yaml.safe_load(workflow.read_text())["name"] == name
    steps = steps_of(workflow)
    assert steps["the gate"]["working-directory"] == steps["the server answers"]["working-directory"] == folder
    assert steps["actions/upload-artifact@v5"]["with"]["path"].splitlines()[1] == str(Path(folder) / "runs")
    (line,) = [line for line in (tmp_path / folder / "README.md").read_text().splitlines() if line[:7] == "    cd "]
    assert shlex.split(line) == ["cd", folder]


@pytest.mark.parametrize(
    ("launcher", "first"),
    [("python", "# What the server itself needs goes here"), ("uvx", "run: pip install uv"), ("npx", "name: the gate")],
)
def test_what_the_server_needs_is_installed_or_has_a_place(launcher: str, first: str) -> None:
    settings = replace(Settings.embedded_by_default(), command=(f"/usr/bin/{launcher}", "server"))
    steps = list(workflow_steps(settings, Path("chaos"), InCi()))
    assert first in steps[0]
    assert "the server answers" not in "".join(steps)


def test_the_workflow_waits_as_it_was_allowed_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_CHAOS_ALLOW_HOSTS", "mcp.example.test")
    settings = resolve({"mcp_url": "https://mcp.example.test/mcp"})
    (answers,) = [step for step in workflow_steps(settings, Path("chaos"), InCi()) if "doctor" in step]
    told = {"MCP_URL": "https://mcp.example.test/mcp", "MCP_CHAOS_ALLOW_HOSTS": "mcp.example.test"}
    assert yaml.safe_load(answers)[0]["env"] == {"MCP_WORKLOAD": "workload.yaml", **told}


def test_half_a_set_is_not_left(init: Init, tmp_path: Path) -> None:
    (tmp_path / ".github").write_text("no folder")
    with serving(tools_server([NOW])) as server:
        code, _, errors = init("--url", f"http://127.0.0.1:{server.port}/mcp", "--folder", "deep/down")
    assert code == 2
    assert "cannot be written (Not a directory). Nothing was written." in errors
    assert [path.name for path in tmp_path.rglob("*")] == [".github"]


@pytest.mark.parametrize("folder", ["/proc/nowhere", "../beside", "chaos/../..", "two\nlines"])
def test_the_set_goes_below_this_folder(init: Init, tmp_path: Path, folder: str) -> None:
    code, _, errors = init("--url", "http://127.0.0.1:1/mcp", "--folder", folder)
    assert code == 2
    assert "--folder: a folder below this one is needed, such as chaos" in errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("folder", "back"), [(".", ""), ("chaos", "cd .. && exec "), ("deep/down", "cd ../.. && exec ")]
)
def test_a_stdio_server_starts_where_it_was_started(init: Init, tmp_path: Path, folder: str, back: str) -> None:
    shutil.copy(ANY_SDK, tmp_path / "my server.py")
    words = [sys.executable, "my server.py", "0", "stdio", "x", "x"]
    code, _, errors = init("--command", shlex.join(words), "--folder", folder)
    assert code == 0, errors
    command = yaml.safe_load((tmp_path / folder / "network_partition.yaml").read_text())["configuration"]["mcp_command"]
    written = shlex.split(command["default"])
    assert written == (["sh", "-c", back + shlex.join(words)] if back else words)
    assert resolve({"mcp_command": command["default"]}).program == sys.executable


def test_a_command_that_cannot_be_tried_where_it_will_run_is_told(init: Init, tmp_path: Path) -> None:
    (tmp_path / "chaos").write_text("no folder")
    code, _, errors = init("--command", "true")
    assert code == 2
    assert "chaos cannot be made (File exists)" in errors


@pytest.mark.parametrize(
    ("url", "dialect", "written"),
    [
        ("ws://127.0.0.1:8000/ws", "", {"mcp_url": "ws://127.0.0.1:8000/ws"}),
        ("wss://127.0.0.1:8000/ws", "", {"mcp_url": "wss://127.0.0.1:8000/ws"}),
        ("http://127.0.0.1:8000/ws", "websocket", {"mcp_url": "ws://127.0.0.1:8000/ws"}),
        ("http://127.0.0.1:1/mcp/tools/call", "", {"mcp_url": "http://127.0.0.1:1/mcp/tools/call"}),
        ("http://127.0.0.1:1/rpc", "jsonrpc", {"mcp_url": "http://127.0.0.1:1/rpc", "mcp_dialect": "jsonrpc"}),
        ("http://127.0.0.1:1/mcp", "streamable", {"mcp_url": "http://127.0.0.1:1/mcp", "mcp_dialect": "streamable"}),
        ("http://127.0.0.1:1/mcp", "auto", {"mcp_url": "http://127.0.0.1:1/mcp"}),
    ],
)
def test_how_to_speak_to_it_is_kept(url: str, dialect: str, written: dict[str, str]) -> None:
    settings = resolve({"mcp_url": url, "mcp_dialect": dialect})
    told = told_of(settings)
    assert told == {"mcp_workload": "workload.yaml", **written}
    again = resolve({**told, "mcp_workload": ""})
    assert (again.mcp_url, again.dialect) == (settings.mcp_url, settings.dialect)


def test_what_was_allowed_is_kept() -> None:
    host = "mcp.live.example.test"
    allowed = {"mcp_chaos_allow_hosts": host, "mcp_chaos_allow_production": host}
    told = told_of(resolve({"mcp_url": f"https://{host}/mcp", **allowed}))
    assert told.items() >= allowed.items()


def test_a_server_that_is_none_is_told(init: Init) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
    with serving(answer_always(page)) as server:
        assert "is this the server's MCP endpoint" in init("--url", f"http://127.0.0.1:{server.port}/mcp")[2]

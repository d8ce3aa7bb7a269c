"""The doctor looks at everything, says of each thing whether it is well, and changes nothing."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcp_chaos.cli import main
from mcp_chaos.commands import doctor
from mcp_chaos.commands.doctor import FAIL, OK, WARN, Check, examine
from mcp_chaos.config.settings import KEYS
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from tests.conftest import answer_always, serving
from tests.real_servers.servers import ANY_SDK
from tests.servers import http, tools_server, well
from tests.sse_servers import SseServer

NOW = {"name": "now", "annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}
DROP = {"name": "drop", "inputSchema": {"type": "object"}}
LIST = {"name": "list_databases", "inputSchema": {"type": "object"}}
REACHING = {"name": "search", "annotations": {"readOnlyHint": True, "openWorldHint": True}}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests, and a folder of the test's own."""
    for key in KEYS:
        monkeypatch.delenv(key.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def found(**configuration: Any) -> dict[str, Check]:
    return {check.name: check for check in examine(configuration)}


def test_a_sound_server_is_sound_in_every_line(tmp_path: Path) -> None:
    with serving(tools_server([NOW, DROP])) as server:
        checks = found(mcp_url=f"http://127.0.0.1:{server.port}/mcp")
    assert {name: check.status for name, check in checks.items() if name not in ("clock", "files")} == dict.fromkeys(
        ["settings", "target", "sessions", "tools", "workload", "call", "process", "toxiproxy", "lanes", "runs"], OK
    )
    assert "'streamable'" in checks["target"].found
    assert checks["sessions"].found == "it keeps none"
    assert checks["tools"].found == "now, drop (may change something)"
    assert checks["workload"].found == "calls now"
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_server_is_looked_for_only() -> None:
    checks = found()
    assert "embedded" in checks["target"].found
    assert checks["target"].status == OK


def test_a_server_of_the_specifications_dialect_is_called() -> None:
    with serving(well()) as server:
        checks = found(mcp_url=f"http://127.0.0.1:{server.port}/mcp/tools/call")
    assert checks["call"].found.startswith("a fresh session called list_databases in")


@pytest.mark.parametrize(
    ("tools", "configuration", "name", "status", "said"),
    [
        ([], {}, "tools", WARN, "none"),
        ([DROP], {}, "tools", WARN, "drop (may change something)"),
        ([DROP], {}, "workload", FAIL, "'drop' is not marked as read-only"),
        ([DROP], {"mcp_workload": "auto"}, "workload", FAIL, "'drop' is not marked as read-only"),
        ([NOW, DROP], {"mcp_workload": "auto"}, "workload", OK, "calls now; Not called: 'drop' is not marked"),
        ([NOW], {"mcp_workload": "mcp_user"}, "workload", FAIL, "'list_databases', 'list_views', 'execute_query'"),
        ([NOW], {"mcp_tool": "then"}, "workload", FAIL, "does not offer the tool 'then'"),
        ([NOW, DROP], {"mcp_tool": "drop"}, "workload", FAIL, "does not say of 'drop' that calling it changes nothing"),
        ([LIST, NOW], {}, "workload", OK, "calls now"),
        ([REACHING, NOW], {}, "tools", OK, "search (reaches third parties), now"),
        (
            [REACHING, NOW],
            {"mcp_workload": "auto"},
            "workload",
            OK,
            "calls now; Not called: 'search' is marked as reaching",
        ),
        ("x", {}, "tools", WARN, "did not list its tools"),
    ],
)
def test_what_is_not_well_is_said(
    tools: object, configuration: dict[str, str], name: str, status: str, said: str
) -> None:
    with serving(tools_server(tools)) as server:
        check = found(mcp_url=f"http://127.0.0.1:{server.port}/mcp", **configuration)[name]
    assert check.status == status
    assert said in check.found


def test_a_server_that_is_none_is_said_with_what_to_do() -> None:
    with serving(answer_always(http(b"<html>", kind="text/html"))) as server:
        check = found(mcp_url=f"http://127.0.0.1:{server.port}/")["target"]
    assert check.status == FAIL
    assert "which is not MCP" in check.found
    assert "MCP_URL is its MCP endpoint" in check.advice


def test_settings_that_cannot_be_used_are_all_told() -> None:
    checks = list(examine({"mcp_url": "x", "mcp_chaos_seed": "x"}))
    assert [(check.name, check.status) for check in checks] == [("settings", FAIL)] * 2


def test_a_toxiproxy_of_ones_own_is_asked(toxiproxy: ToxiproxyServer) -> None:
    check = found(toxiproxy_url=toxiproxy.url)["toxiproxy"]
    assert check.status == OK
    assert check.found.startswith("2.")
    assert found(toxiproxy_url="http://127.0.0.1:1")["toxiproxy"].status == FAIL


def test_the_lanes_are_those_that_a_run_would_have(toxiproxy: ToxiproxyServer) -> None:
    assert "server to warehouse" in found()["lanes"].found
    with serving(tools_server([NOW])) as server:
        url = f"http://127.0.0.1:{server.port}/mcp"
        assert "none to a backend" in found(mcp_url=url)["lanes"].found
        toxiproxy.create_proxy("backend", "127.0.0.1:0", "127.0.0.1:9")
        assert "besides those of backend" in found(mcp_url=url, toxiproxy_url=toxiproxy.url)["lanes"].found


def test_a_stdio_server_is_started_to_be_asked() -> None:
    command = f"{sys.executable} {ANY_SDK} 0 stdio x x"
    checks = found(mcp_command=command)
    assert "the stdio server" in checks["target"].found
    assert "'modern'" in checks["target"].found
    assert checks["call"].status == OK
    assert found(mcp_command="true")["target"].status == FAIL


def test_a_session_of_a_stream_lasts_as_long_as_it() -> None:
    with serving(SseServer()) as server:
        checks = found(mcp_url=f"http://127.0.0.1:{server.port}/sse")
    assert "'sse'" in checks["target"].found
    assert checks["sessions"].found.startswith("a session lasts as long as its connection, opened in ")


def test_a_machine_that_is_busy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_lateness_ms", lambda: 12.0)
    assert found()["clock"].status == WARN


def test_a_folder_that_cannot_be_made_is_told() -> None:
    assert found(mcp_chaos_runs="/dev/null/runs")["settings"].status == FAIL


Run = Callable[..., int | str | None]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*arguments: str) -> int | str | None:
        monkeypatch.setattr("sys.argv", ["mcp-chaos", "doctor", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code

    return run


def test_the_exit_code_says_whether_something_is_wrong(command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert command() == 0
    assert "target     the embedded reference server" in capsys.readouterr().out
    assert command("--url", "nonsense") == 2
    assert "fail settings" in capsys.readouterr().out


def test_as_json_it_is_json_and_nothing_else(command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--json") == 0
    checks = json.loads(capsys.readouterr().out)
    assert {"name", "status", "found", "advice"} == set(checks[0])


def test_the_name_of_a_tool_is_only_a_name(command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tools_server([{**NOW, "name": "now\x1b[2J\nok"}])) as server:
        command("--url", f"http://127.0.0.1:{server.port}/mcp")
    said = capsys.readouterr().out
    assert "now [2J ok" in said
    assert "\x1b[2J" not in said

"""What others say reaches terminals, logs and reports as text, wherever it is shown."""

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_chaos import cli, control
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import McpChaosError, TargetError
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.gate import formats
from mcp_chaos.machine.printable import printable, printable_lines
from mcp_chaos.machine.processes import last_lines
from mcp_chaos.mcp import ToolCall
from mcp_chaos.observe.target import check_offered, list_tools
from mcp_chaos.report.html import render_page
from mcp_chaos.run.choice import check_workload, choose_workload
from mcp_chaos.workload.auto import auto_workload
from mcp_chaos.workload.workload import Workload
from tests.conftest import answer_always, read_request, serving
from tests.gate.test_result import a_gate, an_experiment
from tests.servers import http, result_for

NASTY = "t\x1b[31mRED\x1b]0;pwned\x07\x9b2J\u202e\r\nVerdict: pass"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_FORGED = re.compile(r"^Verdict: pass", re.MULTILINE)


def assert_printable(text: str) -> None:
    assert not _CONTROL.search(text), repr(text)
    assert not _FORGED.search(text), text


def test_a_message_keeps_its_own_lines() -> None:
    assert printable_lines("one\n\x1b[1mtwo") == "one\n [1mtwo"
    assert "\n" not in printable("one\ntwo")


def _tools(read_only: bool) -> list[dict[str, object]]:
    schema = {"type": "object", "properties": {"a": {"pattern": NASTY}}, "required": ["a", NASTY]}
    return [{"name": NASTY, "annotations": {"readOnlyHint": read_only}, "inputSchema": schema}]


def _server(tools: list[dict[str, object]]):  # type: ignore[no-untyped-def]
    def handle(conn) -> None:  # type: ignore[no-untyped-def]
        while request := read_request(conn):
            method = json.loads(request.partition(b"\r\n\r\n")[2])["method"]
            if method == "initialize":
                opened = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x"}}
                conn.sendall(http(result_for(request, result=opened)))
            elif method == "tools/list":
                conn.sendall(http(result_for(request, result={"tools": tools})))
            else:
                conn.sendall(http(b"", status="202 Accepted"))

    return serving(handle)


@pytest.mark.parametrize("read_only", [True, False])
def test_names_of_tools_in_errors(read_only: bool) -> None:
    tools = _tools(read_only)
    with _server(tools) as server:
        url = f"http://127.0.0.1:{server.port}/mcp"
        settings = replace(Settings.embedded_by_default(), mcp_url=url)
        with pytest.raises(TargetError) as chosen:
            choose_workload(settings, url, print)
        with pytest.raises(McpChaosError) as checked:
            check_workload(settings, url, Workload.of(ToolCall("x")))
    with pytest.raises(TargetError) as offered:
        check_offered(url, tools, ["x"], "MCP_TOOL")
    with pytest.raises(TargetError) as left_out:
        auto_workload(tools)
    for error in (chosen, checked, offered, left_out):
        assert "RED" in str(error.value)
        assert_printable(str(error.value))


def test_headers_and_errors_of_a_server() -> None:
    header = 'WWW-Authenticate: Bearer error_description="\x1b[31mRED\x1b[2J"\r\n'
    for answer in (
        http(b"", status="401 Unauthorized", extra=header),
        http(b"", status="302 Found", extra="Location: http://x/\x1b[31m\r\n"),
        http(b"x", kind="\x1b[31mtext"),
        b"HTTP/1.1 200 \x1b[31mX\r\n\x1b[31m: \r\n\r\n",
    ):
        with serving(answer_always(answer)) as server, pytest.raises(TargetError) as told:
            list_tools(f"http://127.0.0.1:{server.port}/mcp", "streamable", 5)
        assert "did not answer" not in str(told.value)
        assert_printable(str(told.value))


def test_answers_of_what_is_not_toxiproxy() -> None:
    refusing = answer_always(http(NASTY.encode(), status="400 Bad Request"))
    with serving(refusing) as server, pytest.raises(McpChaosError) as told:
        ToxiproxyServer(f"http://127.0.0.1:{server.port}").proxies()
    assert_printable(str(told.value))


def test_the_last_lines_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text(NASTY.replace("\r\n", " "), encoding="utf-8")
    assert_printable(last_lines(tmp_path / "server.log"))


def test_reports_of_a_gate() -> None:
    result = a_gate(replace(an_experiment("fail", title=NASTY)))
    assert_printable(formats.as_markdown(result))
    assert_printable(formats.as_junit(result))
    assert_printable(formats.as_text(result, colour=False, width=200))


def test_the_title_of_a_page() -> None:
    page = render_page(NASTY, "pass", [])
    (title,) = re.findall("<title>(.*?)</title>", page, re.DOTALL)
    assert not _CONTROL.search(title), repr(title)


def test_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    control.configure_control()
    try:
        with caplog.at_level(logging.INFO, "chaostoolkit"):
            logging.getLogger("chaostoolkit").error("  => failed: %s", NASTY.replace("\r\n", " "))
    finally:
        control.cleanup_control()
    (said,) = caplog.messages
    assert_printable(said)


def test_the_last_word_of_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: object) -> None:
        raise TargetError(f"it offers {NASTY[:20]}")

    monkeypatch.setattr(cli, "cli", fail)
    with pytest.raises(SystemExit):
        cli.main()
    assert_printable(capsys.readouterr().err)

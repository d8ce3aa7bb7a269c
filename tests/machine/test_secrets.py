"""Processes that need no credentials get none, and what is on a command line is no secret."""

import json
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from mcp_chaos.bridge.part import stdio_server
from mcp_chaos.config.credentials import VARIABLES, credential_headers
from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.toxiproxy_part import toxiproxy_part
from mcp_chaos.faults.watchdog import Watchdog
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.processes import Child
from mcp_chaos.machine.secrets import SECRETS, without_secrets
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.target import read_health, read_status
from mcp_chaos.run.choice import only_reading
from tests.conftest import answer_always, serving
from tests.servers import http, tools_server

HUSH = "hush-9f2c"


def test_all_credentials_are_known_as_such() -> None:
    assert set(VARIABLES) <= set(SECRETS)


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in each variable that may have one."""
    for name in SECRETS:
        monkeypatch.setenv(name, HUSH)


@pytest.mark.usefixtures("secrets")
def test_processes_that_need_no_credentials_get_none(folder: RunFolder) -> None:
    watchdog = Watchdog(folder, Clock.start())
    toxiproxy = toxiproxy_part(toxiproxy_install.ensure(print), folder.path)
    try:
        toxiproxy.start()
        started = psutil.Process().children()
        assert len(started) >= 2
        for process in started:
            assert HUSH not in json.dumps(process.environ()), process
    finally:
        toxiproxy.stop()
        watchdog.dismiss()


@pytest.mark.usefixtures("secrets")
def test_the_rest_of_the_environment_stays() -> None:
    assert without_secrets() == {name: value for name, value in os.environ.items() if value != HUSH}


def test_the_words_of_a_stdio_servers_command_are_on_no_command_line_of_ours(tmp_path: Path) -> None:
    part = stdio_server(tmp_path, "auto", [sys.executable, "-c", f"import time; {HUSH!r}; time.sleep(60)"])
    part.start()
    try:
        bridge = psutil.Process(part.child.pid)
        until = time.monotonic() + 30
        while not (servers := bridge.children()) and time.monotonic() < until:
            time.sleep(0.01)
        assert HUSH in " ".join(servers[0].cmdline())
        assert HUSH not in " ".join(bridge.cmdline())
        assert HUSH not in json.dumps(servers[0].environ())
    finally:
        part.stop()


def test_children_get_what_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Needy(Child):
        needs_secrets = True

    monkeypatch.setenv("MCP_TOKEN", HUSH)
    told = []
    for kind in (Child, Needy):
        child = kind(
            "it", [sys.executable, "-c", "import os; print(os.environ.get('MCP_TOKEN'))"], tmp_path / "log", "x"
        )
        child.start()
        assert child.wait(30)
        told.append((tmp_path / "log").read_text().split()[-1])
    assert told == ["None", HUSH]


def test_a_tool_that_repeats_a_credential_is_named_without_it_and_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    marks = {"annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"default": HUSH}}}
    tools = [
        {"name": f"run {HUSH}", **marks},
        {"name": "plain", **marks},
        {"name": "other", **marks, "inputSchema": schema},
    ]
    monkeypatch.setenv("MCP_TOKEN", HUSH)
    with (
        serving(tools_server(tools)) as server,
        McpClient(f"http://127.0.0.1:{server.port}/", "streamable", 5) as client,
    ):
        client.open()
        found = client.list_tools()
    assert [tool["name"] for tool in found] == ["run [redacted]", "plain", "other"]
    assert only_reading(found) == ["plain"]
    assert HUSH not in json.dumps(found)


def test_health_and_status_that_repeat_a_credential_are_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_TOKEN", HUSH)
    assert credential_headers() == [("Authorization", f"Bearer {HUSH}")]
    with serving(answer_always(http(json.dumps({"status": f"ok {HUSH}"}).encode()))) as server:
        assert read_health(f"http://127.0.0.1:{server.port}/", 5).status == "ok [redacted]"
        assert read_status(f"http://127.0.0.1:{server.port}/", 5) == {}

"""Settings: from the configuration or the environment, all problems at once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_chaos.config.command_line import command_line
from mcp_chaos.config.settings import KEYS, resolve
from mcp_chaos.errors import UsageError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in KEYS:
        monkeypatch.delenv(key.upper(), raising=False)


def test_with_nothing_set_all_is_embedded() -> None:
    settings = resolve()
    assert settings.embedded
    assert (settings.dialect, settings.runs, settings.seed) == ("streamable", Path("runs"), 1)


def test_the_configuration_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_URL", "http://127.0.0.1:1/mcp")
    monkeypatch.setenv("MCP_TOOL", "x")
    settings = resolve({"mcp_url": "http://localhost:2/mcp", "mcp_tool": "", "mcp_arguments": {"a": 1}})
    assert settings.mcp_url == "http://localhost:2/mcp"
    assert (settings.tool, settings.arguments) == ("x", {"a": 1})


def test_the_url_of_a_websocket_says_its_dialect() -> None:
    settings = resolve({"mcp_url": "ws://127.0.0.1:1/ws"})
    assert (settings.mcp_url, settings.dialect, settings.tls) == ("http://127.0.0.1:1/ws", "websocket", False)
    assert resolve({"mcp_url": "wss://127.0.0.1:1/ws"}).tls


def test_a_stdio_server_is_a_command() -> None:
    settings = resolve({"mcp_command": f"'{sys.executable}' -m server --name 'two words'"})
    assert settings.command == (sys.executable, "-m", "server", "--name", "two words")
    assert not settings.embedded
    assert settings.dialect == "auto"


def test_a_process_can_be_given() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert resolve({"mcp_url": "http://127.0.0.1:1/", "mcp_server_pid": str(child.pid)}).server_pid == child.pid
    child.communicate(b"\n")


def test_the_specifications_dialect_is_told_by_its_path() -> None:
    assert resolve({"mcp_url": "http://127.0.0.1:1/mcp/tools/call"}).dialect == "jsonrpc"
    assert resolve({"mcp_dialect": "jsonrpc"}).dialect == "jsonrpc"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost:1/", "http://a.localhost/"]
)
def test_this_machine_is_always_allowed(url: str) -> None:
    assert resolve({"mcp_url": url}).mcp_url == url


def test_another_machine_has_to_be_allowed_by_name() -> None:
    with pytest.raises(UsageError, match=r"MCP_CHAOS_ALLOW_HOSTS=10\.0\.0\.1"):
        resolve({"mcp_url": "http://10.0.0.1/mcp"})
    allowed = {"mcp_url": "http://10.0.0.1/mcp", "mcp_chaos_allow_hosts": "other, 10.0.0.1"}
    assert resolve(allowed).mcp_url == "http://10.0.0.1/mcp"


@pytest.mark.parametrize(
    "host", ["mcp.prod.example.test", "prod-mcp.test", "live.test", "x-production", "db.prd2.test"]
)
def test_what_looks_like_production_has_to_be_said_twice(host: str) -> None:
    once = {"mcp_url": f"http://{host}/mcp", "mcp_chaos_allow_hosts": host}
    with pytest.raises(UsageError, match=f"{host} looks like production.*MCP_CHAOS_ALLOW_PRODUCTION={host}"):
        resolve(once)
    assert resolve({**once, "mcp_chaos_allow_production": host}).mcp_url
    with pytest.raises(UsageError, match="is not this machine"):
        resolve({"mcp_url": f"http://{host}/mcp", "mcp_chaos_allow_production": host})


@pytest.mark.parametrize("host", ["products.test", "olive.test", "delivery.test", "reproduction.test"])
def test_what_only_sounds_like_production_is_a_host_like_any(host: str) -> None:
    assert resolve({"mcp_url": f"http://{host}/mcp", "mcp_chaos_allow_hosts": host}).mcp_url


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ({"mcp_url": "http://me:secret@127.0.0.1:x/"}, "is not a URL"),
        ({"mcp_url": "ftp://me:secret@127.0.0.1/"}, "a URL such as"),
        ({"mcp_url": "127.0.0.1:8000"}, "a URL such as"),
        ({"mcp_url": "http://127.0.0.1:x/"}, "is not a URL"),
        ({"mcp_url": "http://127.0.0.1:0/"}, "a URL such as"),
        ({"mcp_url": "http://[::1/"}, "is not a URL"),
        ({"toxiproxy_url": "https://127.0.0.1:8474"}, "TOXIPROXY_URL: a URL such as"),
        ({"mcp_url": "http://me:secret@127.0.0.1/"}, "would end up in logs"),
        ({"toxiproxy_url": "nope"}, "TOXIPROXY_URL: a URL such as"),
        (
            {"mcp_dialect": "morse"},
            "MCP_DIALECT: there is no 'morse'; there are jsonrpc, streamable, modern, sse, websocket and auto",
        ),
        ({"mcp_tool": "x", "mcp_arguments": "{"}, "MCP_ARGUMENTS is not JSON"),
        ({"mcp_tool": "x", "mcp_arguments": "[1]"}, "a JSON object is needed"),
        ({"mcp_arguments": "{}"}, "without MCP_TOOL"),
        ({"mcp_proxy_listen": "8666"}, "host:port is needed"),
        ({"mcp_proxy_listen": "127.0.0.1:99999"}, "host:port is needed"),
        ({"mcp_proxy_listen": "here"}, "host:port is needed"),
        ({"mcp_chaos_seed": "lucky"}, "a whole number of up to 18 digits is needed"),
        ({"mcp_url": "http://127.0.0.1/?API_KEY=secret"}, "'API_KEY' in a URL would end up in logs"),
        ({"mcp_url": "http://127.0.0.1/", "mcp_command": "true"}, "unset one of them"),
        ({"mcp_command": "true", "mcp_dialect": "sse"}, "a stdio server speaks streamable or modern"),
        ({"mcp_command": "'"}, "MCP_COMMAND: this is no command line"),
        ({"mcp_command": "no-such-command-here"}, "there is no command 'no-such-command-here'"),
        ({"mcp_server_pid": "1"}, "which is not given"),
        ({"mcp_url": "http://127.0.0.1/", "mcp_server_pid": "999999999999"}, "there is no process '999999999999'"),
        ({"mcp_url": "http://127.0.0.1/", "mcp_server_pid": "me"}, "there is no process 'me'"),
        ({"mcp_url": "http://127.0.0.1/", "mcp_server_pid": str(os.getpid())}, "a process that this one comes from"),
        ({"mcp_url": "http://127.0.0.1/", "mcp_server_pid": str(os.getppid())}, "a process that this one comes from"),
    ],
)
def test_what_cannot_be_used_is_told(configuration: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as refused:
        resolve(configuration)
    assert said in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("seed", ["9" * 5000, "-1", "1.5"])
def test_a_seed_is_a_number_that_can_be_used(seed: str) -> None:
    with pytest.raises(UsageError, match="a whole number of up to 18 digits is needed") as refused:
        resolve({"mcp_chaos_seed": seed})
    assert len(str(refused.value)) < 300


def test_all_problems_come_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        resolve({"mcp_url": "x", "toxiproxy_url": "x", "mcp_dialect": "x", "mcp_chaos_seed": "x"})
    assert len(refused.value.problems) == 4
    assert "nothing was started" in str(refused.value)


@pytest.mark.parametrize(
    ("argv", "environment", "configuration", "shown"),
    [
        (["/x/bin/chaos", "run", "a b.yaml"], {}, {}, "chaos run 'a b.yaml'"),
        (["/x/chaostoolkit/__main__.py", "run", "x.yaml"], {}, {}, "chaos run x.yaml"),
        (["/x/mcp_chaos/cli/__main__.py", "gate"], {"MCP_TOOL": "now"}, {}, "MCP_TOOL=now mcp-chaos gate"),
        (["chaos", "run", "--var", "a:int=3", "--var", "b=sk-1"], {}, {}, "chaos run --var a:int=3 --var b=..."),
        (["chaos", "run", "--var=b=sk-1", "x.yaml"], {}, {}, "chaos run --var=b=... x.yaml"),
        (["chaos", "run"], {"MCP_COMMAND": "srv --key sk-1"}, {}, "MCP_COMMAND=... chaos run"),
        (["chaos", "run"], {"MCP_URL": "http://u:sk-1@h/"}, {"mcp_url": "http://127.0.0.1/"}, "chaos run"),
        (["/x/bin/pytest", "--password=sk-1"], {}, {}, "pytest"),
    ],
)
def test_a_command_is_shown_without_secrets(
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    environment: dict[str, str],
    configuration: dict[str, str],
    shown: str,
) -> None:
    for key in KEYS:
        monkeypatch.delenv(key.upper(), raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", argv)
    assert command_line(configuration) == shown

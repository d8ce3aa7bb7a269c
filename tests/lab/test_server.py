"""The reference server and its warehouse, real, over TCP through the real Toxiproxy."""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.calls import Reason
from mcp_chaos.lab import parts
from mcp_chaos.lab.defects import VARIABLE
from mcp_chaos.mcp import ToolCall
from mcp_chaos.observe.client import McpClient

LIST = ToolCall("list_databases")


class Lab:
    """A warehouse, its proxy, and servers over it."""

    def __init__(self, toxiproxy: ToxiproxyServer, folder: Path) -> None:
        self.toxiproxy = toxiproxy
        self.folder = folder
        self.warehouse = parts.warehouse(folder)
        self.warehouse.start()
        self.warehouse.wait_until_it_answers()
        upstream = f"127.0.0.1:{self.warehouse.port.number}"
        self.backend_port = toxiproxy.create_proxy("lab-backend", "127.0.0.1:0", upstream).port

    def close(self) -> None:
        self.warehouse.stop()
        self.toxiproxy.delete_proxy("lab-backend")


@pytest.fixture(scope="module")
def lab(toxiproxy_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(ToxiproxyServer(toxiproxy_url), tmp_path_factory.mktemp("lab"))
    yield made
    made.close()


@pytest.fixture
def start(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Start a server with settings of the environment; its URL."""
    started = []

    def begin(**env: str) -> str:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        part = parts.server(lab.folder, lab.backend_port)
        part.start()
        started.append(part)
        part.wait_until_it_answers()
        return f"http://127.0.0.1:{part.port.number}"

    yield begin
    for part in started:
        part.stop()


def post(url: str, method: str, params: Any = None, **fields: Any) -> httpx.Response:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}, **fields}
    return httpx.post(f"{url}/mcp/tools/call", json=message, timeout=10, trust_env=False)


def test_the_specifications_dialect(start: Callable[..., str]) -> None:
    url = start()
    answer = post(url, "list_databases", {"_client_id": "c1"}).json()
    assert answer["id"] == 1
    names = json.loads(answer["result"]["content"][0]["text"])
    assert sorted(names) == ["ANALYTICS_DB", "STAGING_DB", "TEST_DB"]
    views = post(url, "list_views", {"database": "STAGING_DB", "schema": "REPORTING"}).json()
    assert json.loads(views["result"]["content"][0]["text"]) == ["REPORTING_ORDERS"]
    for query in ("SELECT 1 as test_column", "SELECT CURRENT_TIMESTAMP()", "SHOW TABLES IN TEST_DB.PUBLIC LIMIT 5"):
        assert not post(url, "execute_query", {"query": query}).json()["result"]["isError"]


def test_errors_have_json_rpcs_codes(start: Callable[..., str]) -> None:
    url = start()

    def code(answer: httpx.Response) -> int:
        return int(answer.json()["error"]["code"])

    assert code(post(url, "nope")) == -32601
    assert code(post(url, "list_views", {"schema": "x; DROP"})) == -32602
    assert code(post(url, "list_views", {"colour": "red"})) == -32602
    assert code(post(url, "execute_query", {"query": "DROP DATABASE TEST_DB"})) == -32602
    assert code(post(url, "execute_query", {"query": "SELECT * FROM NOWHERE"})) == -32602
    assert code(post(url, "list_databases", jsonrpc="1.0")) == -32600
    assert code(httpx.post(f"{url}/mcp/tools/call", content=b"{", trust_env=False)) == -32700


def test_health_and_counters(start: Callable[..., str]) -> None:
    url = start()
    assert httpx.get(f"{url}/health", trust_env=False).json() == {"status": "healthy"}
    with McpClient(f"{url}/mcp", "streamable", 10) as client:
        client.open()
        assert client.call(LIST) is Reason.OK
        told = httpx.get(f"{url}/status", trust_env=False).json()
        none = dict.fromkeys(("in_flight", "cancelled", "errors", "rate_limited", "defect_bites"), 0)
        assert told == {"calls": 1, "sessions": 1, **none}
    assert httpx.get(f"{url}/status", trust_env=False).json()["sessions"] == 0


@pytest.mark.parametrize("env", [{}, {"MCP_CHAOS_LAB_JSON": "1"}, {"MCP_CHAOS_LAB_STATELESS": "1"}])
def test_the_official_protocol_in_its_modes(start: Callable[..., str], env: dict[str, str]) -> None:
    url = start(**env)
    with McpClient(f"{url}/mcp", "streamable", 10) as client:
        client.open()
        tools = client.list_tools()
        assert {tool["name"] for tool in tools} == {"list_databases", "list_views", "execute_query"}
        assert all(tool["annotations"]["readOnlyHint"] for tool in tools)
        assert client.call(LIST) is Reason.OK
        assert client.call(ToolCall("execute_query", {"query": "DROP TABLE X"})) is Reason.TOOL_ERROR


def test_too_many_calls_of_one_client_are_told_when_to_come_back(start: Callable[..., str]) -> None:
    url = start(MCP_CHAOS_LAB_RATE_PER_S="2")
    answers = [post(url, "list_databases", {"_client_id": "greedy"}) for _ in range(4)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert post(url, "list_databases", {"_client_id": "modest"}).status_code == 200
    with McpClient(f"{url}/mcp", "streamable", 10) as client:
        client.open()
        assert Reason.RATE_LIMITED in [client.call(LIST) for _ in range(4)]


def test_a_warehouse_that_is_cut_off_fails_calls_in_time_and_comes_back_by_itself(
    start: Callable[..., str], lab: Lab
) -> None:
    url = start()
    lab.toxiproxy.set_enabled("lab-backend", False)
    try:
        began = time.monotonic()
        answer = post(url, "list_databases").json()
        assert answer["error"]["code"] == -32603
        assert time.monotonic() - began < 3
        health = httpx.get(f"{url}/health", timeout=5, trust_env=False)
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    finally:
        lab.toxiproxy.set_enabled("lab-backend", True)
    deadline = time.monotonic() + 10
    while "error" in post(url, "list_databases").json():
        assert time.monotonic() < deadline
    assert httpx.get(f"{url}/status", trust_env=False).json()["errors"] >= 1


def test_a_warehouse_that_forgot_its_logins_is_logged_in_to_again(start: Callable[..., str], lab: Lab) -> None:
    url = start()
    lab.warehouse.child.stop()
    lab.warehouse.start()
    lab.warehouse.wait_until_it_answers()
    deadline = time.monotonic() + 10
    while "error" in post(url, "list_databases").json():
        assert time.monotonic() < deadline


def test_a_slow_warehouse_does_not_stop_the_server(start: Callable[..., str], lab: Lab) -> None:
    from mcp_chaos.faults.fault import make_fault
    from mcp_chaos.faults.kinds import BlackHole

    url = start()
    lab.toxiproxy.put_toxic("lab-backend", "hole", make_fault(BlackHole).toxics()[0])
    try:
        with ThreadPoolExecutor(12) as pool:
            calls = [pool.submit(post, url, "list_databases") for _ in range(12)]
            while httpx.get(f"{url}/status", trust_env=False).json()["in_flight"] < 12:
                assert not any(call.done() for call in calls)
            began = time.monotonic()
            assert httpx.get(f"{url}/status", trust_env=False).status_code == 200
            assert time.monotonic() - began < 1
            assert all(call.result().json()["error"]["code"] == -32603 for call in calls)
    finally:
        lab.toxiproxy.delete_toxic("lab-backend", "hole")


def test_the_defect_no_backend_recovery(start: Callable[..., str], lab: Lab) -> None:
    url = start(**{VARIABLE: "no_backend_recovery"})
    lab.toxiproxy.set_enabled("lab-backend", False)
    try:
        assert "error" in post(url, "list_databases").json()
    finally:
        lab.toxiproxy.set_enabled("lab-backend", True)
    assert all("error" in post(url, "list_databases").json() for _ in range(3))


def test_the_defect_hangs_after_cut(start: Callable[..., str]) -> None:
    url = start(**{VARIABLE: "hangs_after_cut"})
    with McpClient(f"{url}/mcp", "streamable", 10) as client:
        client.open()
        assert client.call(LIST) is Reason.OK
        headers = dict(client._dialect.headers())
        body = client._dialect.call_body(9, client._dialect.params_of(LIST))
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{url}/mcp", content=body, headers=headers, timeout=0.5, trust_env=False)
        assert client.call(LIST) is Reason.OK


def test_no_setting_is_left_in_this_process() -> None:
    assert VARIABLE not in os.environ

"""MCP over a WebSocket on the reference server: by the load's users, and by Locust's."""

import asyncio
import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from websockets.sync.client import connect

from mcp_chaos.config.settings import KEYS
from mcp_chaos.history.calls import CALL, Reason
from mcp_chaos.lab import parts
from mcp_chaos.load.engine import Engine
from mcp_chaos.load.shape import Step
from mcp_chaos.load.shapes import Burst
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.processes import MARKER
from mcp_chaos.mcp import GetRequest, ToolCall
from mcp_chaos.workload.workload import UserKind, Workload


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The reference server over its warehouse."""
    folder = tmp_path_factory.mktemp("lab")
    warehouse = parts.warehouse(folder)
    warehouse.start()
    made = parts.server(folder, warehouse.port.number)
    made.start()
    try:
        warehouse.wait_until_it_answers()
        made.wait_until_it_answers()
        yield f"127.0.0.1:{made.port.number}"
    finally:
        made.stop()
        warehouse.stop()


def test_the_loads_users_call_tools_and_read_pages(server: str) -> None:
    operations = (
        ToolCall("list_databases", expect="STAGING_DB"),
        ToolCall("execute_query", {"query": "SELECT 1 as test_column"}, expect="TEST_COLUMN"),
        ToolCall("no_such_tool"),
        GetRequest("/status", expect="sessions"),
    )
    kind = UserKind("socket", operations, websocket=True)
    target = Target("127.0.0.1", urlsplit(f"//{server}").port or 0, server, "/mcp", "streamable")
    spec = LoadSpec("test", target, Burst(), Workload((kind,)), 10.0, seed=1)
    records: list[bytes] = []

    async def main() -> None:
        engine = Engine(spec, Clock.start(), records.append)
        await engine.run_step(Step(3, 60))
        await engine.close()

    asyncio.run(main())
    calls = np.frombuffer(b"".join(records), dtype=CALL)
    found = Counter((operations[call["operation"]].name, Reason(call["reason"]).name) for call in calls)
    assert {name for name, _ in found} == {operation.name for operation in operations}
    assert all((reason == "TOOL_ERROR") == (name == "no_such_tool") for name, reason in found)
    assert {reason for _, reason in found} == {"OK", "TOOL_ERROR"}


def test_nonsense_costs_nothing_but_itself(server: str) -> None:
    with connect(f"ws://{server}/ws", subprotocols=["mcp"]) as socket:  # type: ignore[list-item]
        socket.send("this is no JSON")
        socket.send(b"\xff\xfe")
    assert httpx.get(f"http://{server}/status", trust_env=False).status_code == 200


def test_locusts_three_users(server: str, tmp_path: Path) -> None:
    locustfile = Path("src/mcp_chaos/load/locust/locustfile.py").resolve()
    env = {name: value for name, value in os.environ.items() if name.lower() not in KEYS and name != MARKER}
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--host", f"http://{server}/mcp", "--headless"]
    command += ["-u", "9", "-r", "9", "-t", "9s", "--csv", "stats"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = csv.DictReader((tmp_path / "stats_stats.csv").read_text().splitlines())
    failures = {row["Name"]: row["Failure Count"] for row in rows if row["Type"] == "MCP"}
    assert {"list_databases", "execute_query", "GET /status"} <= set(failures)
    assert set(failures.values()) == {"0"}

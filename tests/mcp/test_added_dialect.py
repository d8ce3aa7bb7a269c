"""A dialect is one file: once imported, it can be set, and engine, Locust and observer speak it."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module, reload
from pathlib import Path

import pytest

from mcp_chaos.clients.fault import check_dialect
from mcp_chaos.config.settings import resolve
from mcp_chaos.mcp import DIALECTS, ToolCall
from mcp_chaos.observe.target import check_answers
from mcp_chaos.run.choice import choose_workload
from mcp_chaos.workload.workload import Workload
from tests.conftest import SocketServer, serving
from tests.load.test_engine import reasons, run_engine, spec_for
from tests.servers import answering, http, result_for

ROOT = Path(__file__).parents[2]
LOCUSTFILE = """
import tests.mcp.added_dialect
from locust import events
from mcp_chaos.load.locust.locustfile import *

def end(environment, **_):
    environment.runner.greenlet.spawn(environment.runner.quit)

def begin(environment, **_):
    environment.events.request.add_listener(lambda exception, **_: end(environment))

events.init.add_listener(begin)
"""


@pytest.fixture
def asked() -> Counter[str]:
    """What the server was asked, of which header and method."""
    return Counter()


@pytest.fixture
def server(asked: Counter[str]) -> Iterator[SocketServer]:
    """A server that speaks the dialect."""

    def answer(request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        message = json.loads(body)
        asked["headers"] += b"x-dialect: added" in head.lower()
        asked[message["method"]] += 1
        return http(result_for(request, result=len(message["params"])))

    with serving(answering(answer)) as made:
        yield made


@pytest.fixture
def added() -> Iterator[None]:
    """The dialect, for as long as the test lasts."""
    reload(import_module("tests.mcp.added_dialect"))
    yield
    del DIALECTS["added"]


@pytest.mark.usefixtures("added")
def test_an_added_dialect_can_be_set_and_is_known_by_its_path() -> None:
    settings = resolve({"mcp_dialect": "added", "mcp_tool": "x"})
    assert settings.dialect == "added"
    assert resolve({"mcp_url": "http://127.0.0.1:1/added"}).dialect == "added"
    check_dialect("added")
    assert choose_workload(settings, "http://nowhere", print) == Workload.of(ToolCall("x"))


@pytest.mark.usefixtures("added")
def test_engine_and_observer_speak_an_added_dialect(server: SocketServer, asked: Counter[str]) -> None:
    assert reasons(run_engine(spec_for(server.port, "added"), 2, 6)) == {"OK": 6}
    check_answers(f"http://127.0.0.1:{server.port}/mcp", "added", ToolCall("x"), 5)
    assert asked == {"headers": 7, "added/call": 7}


@pytest.mark.e2e
def test_locust_speaks_an_added_dialect(server: SocketServer, asked: Counter[str], tmp_path: Path) -> None:
    (tmp_path / "locustfile.py").write_text(LOCUSTFILE)
    options = ["--headless", "-u", "1", "-r", "1", "-t", "60s", "--only-summary"]
    command = [sys.executable, "-m", "locust", "-f", str(tmp_path / "locustfile.py"), *options]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "MCP_URL": f"http://127.0.0.1:{server.port}/added",
        "MCP_WORKLOAD": "heavy_mcp_user",
    }
    run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert asked["added/call"] == asked["headers"] > 0

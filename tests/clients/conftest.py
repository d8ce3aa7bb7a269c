"""Starts small servers on the official SDK, sound or with a planted defect."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest

from mcp_chaos.clients.exchange import Wire
from mcp_chaos.load.spec import Target

Serve = Callable[..., Wire]


def bites(wire: Wire) -> int:
    """How often the planted defect of a server bit."""
    url = f"http://127.0.0.1:{wire.target.connect_port}/bites"
    return int(httpx.get(url, trust_env=False, timeout=30).json()["bites"])


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers: the planted defect before it, how long its slow tool takes, its flaw, and how it is spoken to."""
    processes: list[subprocess.Popen[str]] = []

    def start(
        defect: str = "",
        *,
        slow_s: float = 0.2,
        flaw: str = "",
        dialect: str = "streamable",
        stateless: bool = False,
    ) -> Wire:
        given = {"defect": defect, "slow_s": slow_s, "flaw": flaw, "stateless": stateless}
        command = [sys.executable, "-m", "tests.clients.server", json.dumps(given)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        processes.append(process)
        assert process.stdout is not None
        port = int(process.stdout.readline())
        return Wire(Target("127.0.0.1", port, f"127.0.0.1:{port}", "/mcp", dialect), 5.0)

    yield start
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()

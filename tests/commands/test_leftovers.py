"""Whatever ends a command that has started a stdio server, nothing of it stays."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

SLOW = """
import json, sys, time
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "tools/call":
        time.sleep(60)
    tool = {"name": "slow", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    opened = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    result = {"initialize": opened, "ping": {}, "tools/list": {"tools": [tool]}}.get(message["method"])
    answer = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""
TIMEOUT_S = 30.0


def until(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def of(folder: Path) -> list[psutil.Process]:
    """The processes whose folder for temporary files is this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("command", ["doctor", "init"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_leaves_nothing(command: str, number: signal.Signals, tmp_path: Path) -> None:
    temporary, here = tmp_path / "tmp", tmp_path / "here"
    temporary.mkdir()
    here.mkdir()
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    server = f"{shlex.quote(sys.executable)} {shlex.quote(str(tmp_path / 'slow.py'))}"
    env = {**os.environ, "TMPDIR": str(temporary), "MCP_COMMAND": server, "MCP_TOOL": "slow"}
    argv = [sys.executable, "-m", "mcp_chaos.cli", command]
    with subprocess.Popen(argv, env=env, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: any("slow.py" in word for p in of(temporary) for word in p.cmdline()[1:2]))
        process.send_signal(number)
    assert process.returncode == (-number if number == signal.SIGKILL else 4)
    until(lambda: not of(temporary) and not list(temporary.iterdir()))

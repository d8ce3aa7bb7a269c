"""What the commands are given: servers, a test of a suite, a Toxiproxy that is not theirs."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.toxiproxy_part import toxiproxy_part
from mcp_chaos.machine.parts import Part
from tests.conftest import read_request

STDIO = """
import json, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]], start_new_session=True)
tool = {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "tools/call" and sys.argv[2:] == ["slow"]:
        time.sleep(60)
    opened = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    results = {"initialize": opened, "ping": {}, "tools/list": {"tools": [tool]}, "tools/call": {"content": []}}
    result = results.get(message["method"])
    answer = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
time.sleep(600)
"""
"""A stdio server that ignores signals and the end of its input, and starts a process in a session of its own."""

LANE = """
import time

def test_a_lane(faulted_lane):
    with faulted_lane.fault("add_latency", latency_ms=50):
        time.sleep(60)
"""


def answer(connection: socket.socket) -> None:
    """A sound MCP server, one connection of it."""
    tool = {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    results = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "serverInfo": {"name": "x", "version": "1"},
        },
        "tools/list": {"tools": [tool]},
        "tools/call": {"content": [{"type": "text", "text": "seen"}]},
        "ping": {},
    }
    while request := read_request(connection):
        body = request.partition(b"\r\n\r\n")[2]
        message = json.loads(body) if body else {"method": "ping", "id": 1}
        result = results.get(str(message["method"]))
        told = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
        text = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), **told}).encode()
        status = "202 Accepted" if "id" not in message else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        connection.sendall(head.encode() + text)


@contextmanager
def own_toxiproxy(folder: Path) -> Iterator[tuple[Part, ToxiproxyServer]]:
    """A Toxiproxy that is not that of a run."""
    part = toxiproxy_part(toxiproxy_install.ensure(print), folder)
    part.start()
    try:
        part.wait_until_it_answers()
        yield part, ToxiproxyServer(f"http://127.0.0.1:{part.port.number}")
    finally:
        part.stop()

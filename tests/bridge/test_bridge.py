"""The bridge before a real stdio server of the official SDK, and before programs that are none."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from mcp_chaos.bridge import pipe
from mcp_chaos.bridge.part import stdio_server
from mcp_chaos.errors import PartError, TargetError
from mcp_chaos.faults.process import KILL, PAUSE, ProcessFaults, Victim
from mcp_chaos.faults.route import Route
from mcp_chaos.history.calls import Reason
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.parts import Part
from mcp_chaos.mcp import ToolCall
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.era import find_dialect

SERVER = """
import asyncio, sys
from mcp.server.mcpserver import Context, MCPServer
server = MCPServer("own")
async def now() -> str: return "now"
async def wait(file: str) -> str:
    open(file, "w").write("began")
    try:
        await asyncio.sleep(60)
    finally:
        open(file, "w").write("cancelled")
async def ask(context: Context) -> str:
    return str(await context.session.send_ping()) if hasattr(context.session, "send_ping") else "no ping"
for tool in (now, wait, ask):
    server.add_tool(tool)
print("this line is not a message", flush=True)
server.run("stdio")
"""
ECHO = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "initialize":
        result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": 900, "method": "sampling/createMessage", "params": {}}), flush=True)
    elif message.get("id") == 900:
        result, message = None, None
        open(sys.argv[1], "w").write("refused")
    elif message.get("method") == "ping":
        result = {}
    elif message.get("method") == "server/discover":
        continue
    else:
        result = {"content": [{"type": "text", "text": json.dumps(message)}]}
    if message and "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""

Start = Callable[..., Part]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a command behind a bridge and waits until it answers."""
    started = []

    def begin(*command: str, dialect: str = "auto") -> Part:
        started.append(part := stdio_server(tmp_path, dialect, command))
        part.start()
        part.wait_until_it_answers()
        return part

    yield begin
    for part in started:
        part.stop()


def url(part: Part) -> str:
    return f"http://127.0.0.1:{part.port.number}/mcp"


def is_running(process: psutil.Process) -> bool:
    """Whether it runs; where nobody takes note of its end, it stays as a zombie."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(("dialect", "spoken"), [("auto", "modern"), ("streamable", "streamable")])
def test_a_stdio_server_is_spoken_to_in_its_era(start: Start, dialect: str, spoken: str) -> None:
    part = start(sys.executable, "-c", SERVER, dialect=dialect)
    assert find_dialect(url(part), 10) == spoken
    with McpClient(url(part), spoken, 10) as client:
        client.open()
        assert client.has_session == (spoken == "streamable")
        assert {tool["name"] for tool in client.list_tools()} == {"now", "wait", "ask"}
        assert client.call(ToolCall("now")) is Reason.OK
        assert client.call(ToolCall("gone")) is not Reason.OK


def test_a_call_that_is_given_up_is_cancelled(start: Start, tmp_path: Path) -> None:
    part, file = start(sys.executable, "-c", SERVER), tmp_path / "state"
    with pytest.raises(TargetError, match="did not answer within"), McpClient(url(part), "modern", 1) as client:
        client.call(ToolCall("wait", {"file": str(file)}))
    part.child.wait_until(lambda: file.exists() and file.read_text() == "cancelled", 10)


def test_a_server_that_asks_its_client_is_told_that_it_has_no_such_capability(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "said"
    part = start(sys.executable, "-c", ECHO, str(file), dialect="streamable")
    part.child.wait_until(file.exists, 10)
    answer = httpx.get(f"http://127.0.0.1:{part.port.number}/health", trust_env=False)
    assert answer.json() == {"status": "healthy"}


def test_sessions_are_as_old_as_the_server(start: Start, tmp_path: Path) -> None:
    part = start(sys.executable, "-c", ECHO, str(tmp_path / "said"), dialect="streamable")
    with McpClient(url(part), "streamable", 20) as client:
        client.open()
        assert client.call(ToolCall("any")) is Reason.OK
        part.child.stop()
        part.child.start()
        part.wait_until_it_answers()
        assert client.call(ToolCall("any")) is Reason.SESSION_LOST


@pytest.mark.parametrize(
    ("method", "body", "session", "status"),
    [
        ("POST", b"nonsense", None, 400),
        ("POST", b'{"jsonrpc": "2.0", "id": 1, "method": 5}', None, 400),
        ("POST", b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}', None, 400),
        ("POST", b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}', "gone", 404),
        ("DELETE", b"", None, 405),
        ("DELETE", b"", "gone", 404),
        ("GET", b"", None, 405),
    ],
)
def test_what_is_no_call_of_a_session_is_refused(
    start: Start, tmp_path: Path, method: str, body: bytes, session: str | None, status: int
) -> None:
    part = start(sys.executable, "-c", ECHO, str(tmp_path / "said"), dialect="streamable")
    headers = {"mcp-session-id": session} if session else {}
    with httpx.Client(trust_env=False) as http:
        assert http.request(method, url(part), content=body, headers=headers).status_code == status


def test_a_modern_server_takes_no_handshake(start: Start) -> None:
    part = start(sys.executable, "-c", SERVER)
    with pytest.raises(TargetError, match="speaks 2026-07-28 only"), McpClient(url(part), "streamable", 10) as client:
        client.open()


@pytest.mark.parametrize(
    ("command", "dialect", "said"),
    [
        (("/nonexistent/server",), "auto", "/nonexistent/server cannot be run (No such file or directory)"),
        ((sys.executable, "-c", "print('no server')"), "auto", "the server ended before it answered"),
        ((sys.executable, "-c", "import sys; sys.stdout.write('x' * 17_000_000)"), "streamable", "the server ended"),
        ((sys.executable, "-c", ECHO, "/dev/null"), "modern", "does not speak the dialect 'modern'"),
        (
            (sys.executable, "-c", ECHO.replace("2025-06-18", "1999-01-01"), "/dev/null"),
            "streamable",
            "speaks protocol version '1999-01-01'",
        ),
    ],
)
def test_what_is_no_server_is_told(start: Start, command: tuple[str, ...], dialect: str, said: str) -> None:
    with pytest.raises(PartError, match="The server ended") as refused:
        start(*command, dialect=dialect)
    assert said in str(refused.value)


def test_the_server_itself_is_paused_killed_and_started_again(start: Start, folder: RunFolder, clock: Clock) -> None:
    part = start(sys.executable, "-c", SERVER)
    address = ("127.0.0.1", part.port.number)
    way = Route("mcp", address, address, f"127.0.0.1:{part.port.number}", "/health")
    faults = ProcessFaults({"server": Victim(part.child, part.wait_until_it_answers, way)}, folder, clock)
    (server,) = psutil.Process(part.child.pid).children()
    assert faults.hurt("server", PAUSE)["proof"] == "a request was silent"
    assert server.status() == psutil.STATUS_STOPPED
    assert faults.heal() == ["pause of the server"]
    part.wait_until_it_answers()
    assert faults.hurt("server", KILL)["proof"] == "a request was refused"
    psutil.wait_procs([server], timeout=5)
    assert not is_running(server)
    assert faults.heal() == ["kill of the server"]
    part.wait_until_it_answers()


def test_a_server_that_ends_takes_its_port_with_it(start: Start) -> None:
    part = start(sys.executable, "-c", SERVER)
    (server,) = psutil.Process(part.child.pid).children()
    server.kill()
    assert part.child.wait(10)
    assert "the server ended with code -9" in part.child.log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url(part), trust_env=False)


def test_a_server_that_does_not_want_to_end_is_ended(start: Start, tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ECHO + "\nwhile True: signal.pause()"
    part = start(sys.executable, "-c", stubborn, str(tmp_path / "said"), dialect="streamable")
    (server,) = psutil.Process(part.child.pid).children()
    part.stop()
    psutil.wait_procs([server], timeout=5)
    assert not is_running(server)


def test_all_that_a_launcher_started_is_hit(start: Start, tmp_path: Path) -> None:
    script = tmp_path / "launch"
    script.write_text(f'#!/bin/sh\n"{sys.executable}" -c \'{ECHO}\' "{tmp_path}/said"; exit $?\n')
    script.chmod(0o755)
    part = start(str(script), dialect="streamable")
    launched = psutil.Process(part.child.pid).children(recursive=True)
    assert len(launched) == 2
    part.child.stop()
    _, alive = psutil.wait_procs(launched, timeout=5)
    assert alive == []


def test_a_stdio_server_has_the_environment_of_whoever_runs_it(start: Start, tmp_path: Path) -> None:
    shows = ECHO.replace("json.dumps(message)}", '__import__("os").environ.get("PATH")}')
    part = start(sys.executable, "-c", shows, str(tmp_path / "said"), dialect="streamable")
    with httpx.Client(trust_env=False) as http:
        opened = http.post(url(part), content=b'{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}')
        headers = {"mcp-session-id": opened.headers["mcp-session-id"]}
        call = {"jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": {"name": "x"}}
        answer = http.post(url(part), content=json.dumps(call), headers=headers).json()
        assert http.delete(url(part), headers=headers).status_code == 200
    assert answer["id"] == "mine"
    assert answer["result"]["content"][0]["text"] == os.environ["PATH"]


STUBBORN = """
import json, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
sleep = [sys.executable, "-c", "import time; time.sleep(60)", sys.argv[1]]
subprocess.Popen(["/bin/sh", "-c", '"$@" & exit', "sh", *sleep], start_new_session=True)
for line in sys.stdin:
    message = json.loads(line)
    opened = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    result = {"initialize": opened, "ping": {}}.get(message["method"])
    answer = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
time.sleep(60)
"""
"""Hears no signal, goes on after the end of its input, and has started another process that is nobody's child."""


def named(word: str) -> list[psutil.Process]:
    """The processes with a word on their command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if word in process.cmdline()[1:]:
                found.append(process)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel tells nobody who started an orphan")
@pytest.mark.parametrize("way", ["told to end", "killed"])
def test_a_stubborn_server_without_environment_ends_with_all_that_it_started(
    start: Start, tmp_path: Path, way: str
) -> None:
    word = f"stubborn-{tmp_path}"
    part = start("/usr/bin/env", "-i", sys.executable, "-c", STUBBORN, word)
    there = named(word)
    assert len(there) == 2
    if way == "killed":
        part.child.signal(signal.SIGKILL)
    else:
        part.stop()
    psutil.wait_procs(there, timeout=10)
    assert named(word) == []


ERAS = """
import json, sys, time
time.sleep(float(sys.argv[1]))
known, era = sys.argv[2], None
for line in sys.stdin:
    message = json.loads(line)
    asked = {"server/discover": "modern", "initialize": "streamable"}.get(message.get("method"))
    if asked is None or (asked != known and sys.argv[3] == "silent"):
        continue
    era = era or asked
    answer = {"jsonrpc": "2.0", "id": message["id"]}
    if asked == known == era:
        versions = {"supportedVersions": ["2026-07-28"], "protocolVersion": "2025-06-18"}
        answer["result"] = {**versions, "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    else:
        answer["error"] = {"code": -32601, "message": "Method not found"}
        era = None
    print(json.dumps(answer), flush=True)
"""


@pytest.mark.parametrize("slow_s", [0, 0.5])
@pytest.mark.parametrize("known", ["modern", "streamable"])
@pytest.mark.parametrize("unknown", ["refused", "silent"])
def test_a_server_that_is_slow_to_start_keeps_its_era(
    slow_s: float, known: str, unknown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipe, "_SILENCE_S", 0.1)

    async def era() -> str:
        opened = await pipe.Pipe.start([sys.executable, "-c", ERAS, str(slow_s), known, unknown])
        try:
            await opened.open("auto")
            return opened.era
        finally:
            await opened.close()

    assert asyncio.run(era()) == known

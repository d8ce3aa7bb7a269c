"""A disk that is full, and a run folder that was removed: healing and ending come first, and need neither."""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import UnwrittenError
from mcp_chaos.faults.fault import make_fault
from mcp_chaos.faults.kinds import Latency
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.processes import children_of_run
from mcp_chaos.run.run import Run
from tests.conftest import SocketServer

LATENCY = make_fault(Latency, latency_ms=5)
TIMEOUT_S = 30.0

STDIO = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    opened = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    result = {"initialize": opened, "ping": {}, "tools/list": {"tools": []}}.get(message["method"])
    answer = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
"""


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process can grow, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def full(_: Path) -> Iterator[None]:
    with no_room():
        yield


@contextmanager
def removed(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder)
    yield


def started(settings: Settings, tmp_path: Path) -> Run:
    run = Run(replace(settings, runs=tmp_path / "runs"), "no disk", {}, print, loaded=False)
    run.start()
    return run


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


@pytest.fixture
def settings(healthy: SocketServer, toxiproxy: ToxiproxyServer) -> Settings:
    """Of a run on a server and a Toxiproxy of one's own."""
    url = f"http://127.0.0.1:{healthy.port}/tools/call"
    return replace(Settings.embedded_by_default(), mcp_url=url, dialect="jsonrpc", toxiproxy_url=toxiproxy.url)


@pytest.mark.parametrize("trouble", [full, removed])
def test_a_run_heals_and_ends(trouble, settings: Settings, toxiproxy: ToxiproxyServer, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = set(toxiproxy.proxies())
    run = started(settings, tmp_path)
    run.inject(LATENCY)
    with trouble(run.folder.path):
        run.close()
    assert set(toxiproxy.proxies()) == before
    assert children_of_run(str(run.folder.path)) == []
    with pytest.raises(UnwrittenError, match="could not be written"):
        run.folder.check_written()


@pytest.mark.parametrize("trouble", [full, removed])
def test_nothing_is_changed_that_nobody_could_find_later(  # type: ignore[no-untyped-def]
    trouble, settings: Settings, toxiproxy: ToxiproxyServer, tmp_path: Path
) -> None:
    run = started(settings, tmp_path)
    try:
        with trouble(run.folder.path):
            with pytest.raises(UnwrittenError):
                run.inject(LATENCY)
            assert toxiproxy.proxy("mcp").toxics == {}
    finally:
        run.close()


@pytest.mark.parametrize("trouble", [full, removed])
def test_a_stdio_server_and_its_bridge_end(trouble, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    command = (sys.executable, "-c", STDIO)
    run = started(replace(Settings.embedded_by_default(), command=command, dialect="streamable"), tmp_path)
    processes = [p for child in children_of_run(str(run.folder.path)) for p in (child, *child.children())]
    assert len(processes) >= 3
    with trouble(run.folder.path):
        run.close()
    assert not [process for process in processes if process.is_running()]


DIES = """
import os, resource, shutil, sys
from pathlib import Path
from dataclasses import replace
import psutil
from tests.run.test_no_disk import LATENCY, started
from mcp_chaos.config.settings import Settings
url, toxiproxy, tmp, trouble = sys.argv[1:]
settings = replace(Settings.embedded_by_default(), mcp_url=url, dialect="jsonrpc", toxiproxy_url=toxiproxy)
run = started(settings, Path(tmp))
run.inject(LATENCY)
(watchdog,) = [p for p in psutil.Process().children() if "mcp_chaos.faults.watchdog" in p.cmdline()]
if trouble == "full":
    watchdog.rlimit(psutil.RLIMIT_FSIZE, (0, 0))
else:
    shutil.rmtree(run.folder.path)
print(watchdog.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("trouble", ["full", "removed"])
def test_a_run_that_is_killed_is_cleaned_up_after(
    trouble: str, settings: Settings, toxiproxy: ToxiproxyServer, tmp_path: Path
) -> None:
    before = set(toxiproxy.proxies())
    argv = [sys.executable, "-c", DIES, settings.mcp_url or "", toxiproxy.url, str(tmp_path), trouble]
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    died = subprocess.run(argv, capture_output=True, text=True, env=env, check=False, timeout=60)
    assert died.returncode == -9, died.stderr
    until(lambda: set(toxiproxy.proxies()) == before)
    watchdog = int(died.stdout.split()[-1])
    until(lambda: not psutil.pid_exists(watchdog) or psutil.Process(watchdog).status() == psutil.STATUS_ZOMBIE)


def test_heal_needs_no_space(folder: RunFolder, toxiproxy: ToxiproxyServer) -> None:
    folder.event(1, "toxiproxy_ready", url=toxiproxy.url, embedded=False)
    folder.event(2, "proxy_created", proxy="no_space")
    toxiproxy.create_proxy("no_space", "127.0.0.1:0", "127.0.0.1:9")
    with folder.events_file.path.open("ab") as file:
        file.write(b'{"torn\n')
    limit = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); import mcp_chaos.cli as c; c.main()"
    )
    argv = [sys.executable, "-c", limit, "heal", str(folder.path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert "removed the proxy 'no_space'" in done.stdout, done.stderr
    assert done.returncode == 0
    assert "no_space" not in toxiproxy.proxies()


def test_a_line_that_did_not_fit_is_taken_back(folder: RunFolder) -> None:
    folder.event(1, "run_started")
    size = folder.events_file.path.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, before[1]))
    try:
        folder.event(2, "method_ended")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    folder.event(3, "run_ended")
    assert [event.kind for event in folder.events()] == ["run_started", "run_ended"]

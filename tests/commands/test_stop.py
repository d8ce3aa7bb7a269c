"""Runs that are ended from outside, that hang, or that were killed together with their watchdogs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mcp_chaos.cli import main
from mcp_chaos.commands import stop
from mcp_chaos.faults.leftover_runs import clean_up_earlier
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine import register
from mcp_chaos.machine.lock import TargetLock
from mcp_chaos.machine.processes import children_of_run, identity
from mcp_chaos.machine.register import Entry, entry_of, forget
from tests.conftest import SocketServer

ROOT = Path(__file__).parents[2]

HANGS = """
import signal, sys, time
from dataclasses import replace
from pathlib import Path
from mcp_chaos.config.settings import Settings
from tests.run.test_no_disk import LATENCY, started
url, toxiproxy, tmp = sys.argv[1:]
settings = replace(Settings.embedded_by_default(), mcp_url=url, dialect="jsonrpc", toxiproxy_url=toxiproxy)
run = started(settings, Path(tmp))
run.inject(LATENCY)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(run.folder.path, flush=True)
time.sleep(60)
"""
"""A run with a fault in place that hears no signal."""


@pytest.fixture
def hanging(healthy: SocketServer, toxiproxy: ToxiproxyServer, tmp_path: Path) -> Iterator[Entry]:
    """A run that hangs; killed after the test."""
    url = f"http://127.0.0.1:{healthy.port}/tools/call"
    argv = [sys.executable, "-c", HANGS, url, toxiproxy.url, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        run = ""
        for line in process.stdout:
            run = line.strip()
            if run.startswith(str(tmp_path)):
                break
        entry = entry_of(Path(run))
        assert entry is not None
        yield entry
        process.kill()
    forget(entry.run)


def kinds(entry: Entry) -> list[str]:
    return [event.kind for event in RunFolder(entry.run).events()]


def test_a_run_that_hangs_is_killed_and_healed(
    hanging: Entry, toxiproxy: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stop, "HEAL_S", 0.2)
    told: list[str] = []
    assert stop.stop_runs([hanging], "mcp-chaos stop, a test", told.append) == []
    assert told[0].startswith(f"Killed {hanging.run}")
    assert not set(toxiproxy.proxies()) & {"mcp", "mcp_control"}
    assert entry_of(hanging.run) is None
    assert children_of_run(str(hanging.run)) == []
    assert "run_stopped" in kinds(hanging)


def test_the_next_run_on_a_target_heals_what_was_killed_with_its_watchdog(
    hanging: Entry, toxiproxy: ToxiproxyServer
) -> None:
    process = psutil.Process(hanging.process["pid"])
    watchdogs = [p for p in process.children() if "mcp_chaos.faults.watchdog" in p.cmdline()]
    for victim in (*watchdogs, process):
        victim.kill()
    psutil.wait_procs([process], timeout=10)
    assert toxiproxy.proxy("mcp").toxics
    assert clean_up_earlier(["127.0.0.1:1"]) == []
    assert toxiproxy.proxy("mcp").toxics
    (told,) = clean_up_earlier(hanging.targets)
    assert "healed 'latency" in told
    assert "removed the proxy 'mcp'" in told
    assert not set(toxiproxy.proxies()) & {"mcp", "mcp_control"}
    assert not any(TargetLock(target, "x")._path.exists() for target in hanging.targets)
    assert clean_up_earlier(hanging.targets) == []


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mcp-chaos", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A register that no other run of this machine is in."""
    monkeypatch.setattr(register, "_FOLDER", tmp_path)
    monkeypatch.setattr(register, "_STOP_FILE", tmp_path / "stopped")


@pytest.mark.usefixtures("alone")
def test_all_runs_are_stopped_with_a_reason_until_they_are_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["--all"], ["--all", "--because", " "], ["--all", "--because", "x", "somewhere"]):
        assert run(monkeypatch, "stop", *words) == 2
        assert "--because" in capsys.readouterr().err
    assert run(monkeypatch, "stop", "--all", "--because", "the demo") == 0
    assert "No run goes on" in capsys.readouterr().out
    assert run(monkeypatch, "load", "burst") == 3
    assert "the demo. Nothing was started. To allow runs again: mcp-chaos allow" in capsys.readouterr().err
    main_without_exit(monkeypatch, "allow")
    main_without_exit(monkeypatch, "allow")
    assert capsys.readouterr().out.splitlines() == [
        "Runs are allowed again.",
        "Runs are allowed; nobody has stopped them.",
    ]


def main_without_exit(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["mcp-chaos", *words])
    main()


@pytest.mark.usefixtures("alone")
def test_a_run_that_has_ended_needs_no_stop(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "stop", str(folder.path)) == 0
    assert capsys.readouterr().out == "It has ended.\n"
    assert run(monkeypatch, "stop", str(folder.path / "nowhere")) == 2
    assert run(monkeypatch, "heal") == 0
    assert "No run was left behind" in capsys.readouterr().out


@pytest.mark.usefixtures("alone")
def test_of_several_runs_one_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as another:
        register.register(tmp_path / "first")
        second = {"run": str(tmp_path / "second"), "process": identity(another.pid), "targets": []}
        register._write(register._path(tmp_path / "second"), second)
        assert run(monkeypatch, "stop") == 2
        assert another.poll() is None
        another.kill()
    told = capsys.readouterr().err
    assert "Several runs go on" in told
    assert all(str(tmp_path / name) in told for name in ("first", "second"))

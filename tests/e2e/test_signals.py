"""Runs that are killed, at different moments: no toxic, no child, a history that can be read and judged."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.processes import children_of_run
from tests.e2e.conftest import Chaos, activity, short_experiment

# The hypothesis keeps the run busy for a while with a burst through the faulted lane.
HYPOTHESIS = {
    "title": "well",
    "probes": [
        {
            **activity("burst_success_fraction", "mcp_chaos.probes", requests=200, concurrency=4),
            "tolerance": {"type": "range", "range": [0.9, 1.0]},
        }
    ],
}
EXPERIMENT = short_experiment(activity("black_hole", after_s=20), **{"steady-state-hypothesis": HYPOTHESIS})


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str] | None, what: str) -> None:
    deadline = time.monotonic() + 90  # a busy machine takes half a minute to start a run
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def has_event(chaos: Chaos, kind: str) -> bool:
    return any(event.kind == kind for folder in chaos.runs() for event in folder.events())


def report(folder: RunFolder) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mcp_chaos.cli", "report", str(folder.path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("run_started", signal.SIGTERM),
        ("load_started", signal.SIGKILL),
        ("fault_injected", signal.SIGINT),
        ("fault_injected", signal.SIGTERM),
        ("fault_injected", signal.SIGKILL),
    ],
)
def test_a_killed_run_leaves_nothing(
    chaos: Chaos, toxiproxy: ToxiproxyServer, number: signal.Signals, moment: str
) -> None:
    process = chaos.start(EXPERIMENT, TOXIPROXY_URL=toxiproxy.url)
    wait_until(lambda: has_event(chaos, moment), process, moment)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in output, output
    folder = chaos.runs()[-1]
    wait_until(lambda: not children_of_run(str(folder.path)), None, "the children are still there")
    wait_until(lambda: not set(toxiproxy.proxies()) & {"mcp", "mcp_control", "backend"}, None, "a proxy is still there")
    told = report(folder)
    assert told.returncode == 3, told.stdout + told.stderr
    assert "Verdict: inconclusive" in told.stdout


@pytest.mark.e2e
def test_a_run_killed_with_its_own_toxiproxy_leaves_nothing(chaos: Chaos) -> None:
    process = chaos.start(EXPERIMENT)
    wait_until(lambda: has_event(chaos, "fault_injected"), process, "the fault")
    folder = chaos.runs()[-1]
    children = children_of_run(str(folder.path))
    assert len(children) >= 4
    process.kill()
    process.communicate()
    psutil.wait_procs(children, timeout=20)
    assert not any(child.is_running() for child in children)
    wait_until(lambda: has_event(chaos, "unfinished"), None, "the watchdog's word")
    assert "ended without a word (its process was killed)" in report(folder).stdout


@pytest.mark.e2e
def test_a_second_signal_does_not_stop_the_healing(chaos: Chaos) -> None:
    process = chaos.start(EXPERIMENT)
    wait_until(lambda: has_event(chaos, "fault_injected"), process, "the fault")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    process.communicate(timeout=60)
    folder = chaos.runs()[-1]
    wait_until(lambda: not children_of_run(str(folder.path)), None, "the children are still there")
    assert report(folder).returncode == 3


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_a_fault_in_the_background_ends_with_its_run(chaos: Chaos, number: signal.Signals) -> None:
    flapping = {**activity("flap", times=1000, down_ms=300, up_ms=300), "background": True}
    process = chaos.start(short_experiment(flapping, activity("server_counters", "mcp_chaos.probes", after_s=60)))
    wait_until(lambda: has_event(chaos, "fault_proven"), process, "the fault")
    began = time.monotonic()
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert time.monotonic() - began < 15


@pytest.mark.e2e
def test_a_signal_that_an_activity_swallowed_does_not_wait_for_its_pause(chaos: Chaos) -> None:
    def is_injecting() -> bool:
        return any(e.data.get("name", "").startswith("black hole") for f in chaos.runs() for e in f.events())

    process = chaos.start(short_experiment(activity("black_hole", after_s=60)))
    wait_until(is_injecting, process, "the fault")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=58)
    assert process.returncode == 1, output
    assert "SIGTERM ended it" in output

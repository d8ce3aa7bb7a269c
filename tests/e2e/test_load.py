"""``mcp-chaos load`` as a person runs it, on real parts; nothing may be left of it."""

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_chaos.config.settings import KEYS
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.processes import MARKER, children_of_run
from tests.conftest import serving
from tests.e2e.conftest import Chaos, activity, short_experiment
from tests.servers import answering, http, result_for, well

ENV = {name: value for name, value in os.environ.items() if name.lower() not in KEYS and name != MARKER}
QUICK = ["--max-users", "4", "--step-users", "2", "--requests-per-user", "2", "--pause-s", "0.1", "--requests", "20"]


class Load:
    """Runs the command in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, *options: str, **env: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mcp_chaos.cli", "load", *options]
        return subprocess.Popen(
            command, cwd=self.folder, env={**ENV, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        """Exit code, stdout and stderr; nothing is left running."""
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err, err
        for run in self.runs():
            assert children_of_run(str(run.path)) == []
        return process.returncode, out, err

    def run(self, *options: str, **env: str) -> tuple[int, str, str]:
        return self.finish(self.start(*options, **env))

    def runs(self) -> list[RunFolder]:
        return [RunFolder(path) for path in sorted((self.folder / "runs").glob("*"))]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    made = Load(tmp_path)
    yield made
    for run in made.runs():
        assert children_of_run(str(run.path)) == []


@pytest.mark.e2e
@pytest.mark.counted
def test_the_specifications_script_with_a_fault_and_users_of_two_kinds(load: Load) -> None:
    kind = "{name: socket, websocket: true, calls: [{tool: list_databases, expect: TEST_DB}, {page: /status}]}"
    (load.folder / "socket.yaml").write_text(f"users: [{kind}]")
    users = ["--workload", "mcp_calls", "--workload", "socket.yaml"]
    fault = ["--fault", "add_latency latency_ms=40 from_s=0.5 for_s=1.5"]
    numbers = [*QUICK, "--duration-s", "4", "--cycle-s", "0.3", "--workers", "2"]
    code, out, err = load.run("spec", *numbers, *users, *fault, "--json", "--out", "result.json")
    assert code == 0, err
    result = json.loads(out)
    assert json.loads((load.folder / "result.json").read_text()) == result
    assert list(result["loads"]) == ["basic", "ramp", "sustained"]
    assert result["loads"]["basic"]["total_requests"] == 20
    assert [step["concurrent_users"] for step in result["loads"]["ramp"]["steps"]] == [2, 4]
    assert result["loads"]["sustained"]["concurrent_users"] == 4
    assert result["faults"][0]["proof"]
    assert result["windows"]["fault"]["faulted"]["p50_ms"] > 40
    assert result["conclusive"]


@pytest.mark.e2e
@pytest.mark.counted
def test_an_open_load_straight_to_a_server_of_ones_own(load: Load) -> None:
    with serving(well()) as server:
        url = f"http://127.0.0.1:{server.port}/mcp/tools/call"
        options = ["constant", "--rate-per-s", "50", "--duration-s", "1", "--arrivals", "poisson"]
        code, out, _ = load.run(*options, "--url", url, "--seed", "7")
    assert code == 0
    assert "Latency of successful calls" in out
    (run,) = load.runs()
    assert run.read("manifest.json")["toxiproxy"] is None
    assert run.read("load-constant.json")["seed"] == 7
    assert len(run.calls("constant")) == 50


@pytest.mark.e2e
@pytest.mark.counted
def test_a_ramp_that_breaks_is_followed_by_no_sustained_load(load: Load) -> None:
    answered = itertools.count()

    def only_the_first(request: bytes) -> bytes:
        fine = next(answered) <= 20  # the check before the load, and the burst
        return http(result_for(request)) if fine else http(b"", status="503 Service Unavailable")

    with serving(answering(only_the_first)) as server:
        url = f"http://127.0.0.1:{server.port}/mcp/tools/call"
        code, out, err = load.run("spec", *QUICK, "--url", url, "--json")
    assert code == 0, err
    assert list(json.loads(out)["loads"]) == ["basic", "ramp"]
    assert "did not hold" in err


@pytest.mark.e2e
@pytest.mark.counted
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_reports_what_it_has(load: Load, number: signal.Signals) -> None:
    with serving(well()) as server:
        url = f"http://127.0.0.1:{server.port}/mcp/tools/call"
        process = load.start("constant", "--rate-per-s", "50", "--duration-s", "600", "--url", url, "--workers", "2")
        until = time.monotonic() + 30
        while not any(len(run.calls("constant")) > 20 for run in load.runs()):
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        code, out, _ = load.finish(process)
    assert code == 4
    assert "the run was interrupted: a signal ended the load before its time" in out
    assert load.runs()[0].read("result-constant.json")["total_requests"] > 20


@pytest.mark.e2e
@pytest.mark.counted
@pytest.mark.parametrize(
    ("workload", "said"),
    [
        ("users: [{name: a, calls: [{tool: list_databases}, {tool: drop_everything}]}]", "'drop_everything'"),
        ("users: [{name: a, calls: [{tool: list_databases, expect: NO_SUCH_DB}]}]", ""),
    ],
)
def test_a_workload_of_ones_own(load: Load, workload: str, said: str) -> None:
    (load.folder / "mine.yaml").write_text(workload)
    code, out, err = load.run("burst", "--requests", "10", "--workload", "mine.yaml", "--json")
    if said:
        assert (code, out) == (3, "")
        assert said in err
        assert "it offers list_databases, list_views, execute_query" in err
    else:
        assert json.loads(out)["loads"]["burst"]["summary"]["reasons"] == {"wrong_content": 10}


@pytest.mark.e2e
@pytest.mark.counted
def test_auto_calls_the_tools_that_only_read(load: Load) -> None:
    code, out, err = load.run("burst", "--requests", "40", "--workload", "auto", "--json")
    assert code == 0, err
    (run,) = load.runs()
    called = {operation["tool"] for operation in run.read("load-burst.json")["workload"]["kinds"][0]["operations"]}
    assert {"list_databases", "list_views"} <= called
    assert json.loads(out)["loads"]["burst"]["summary"]["calls"] == 40


@pytest.mark.e2e
@pytest.mark.counted
def test_locust_inside_an_experiment_counts_as_any_load(chaos: Chaos) -> None:
    method = [
        activity("start_locust", users=10, spawn_rate_per_s=10, duration_s=7, workload="heavy_mcp_user", after_s=2),
        activity("add_latency", latency_ms=300, after_s=2),
        activity("heal"),
        activity("wait_for_load", name="locust"),
    ]
    result = chaos.run(short_experiment(method=method))
    assert result.exit_code == 0, result.output
    windows = result.verdict["windows"]
    assert windows["fault"]["faulted"]["p50_ms"] > 300
    assert all(windows[window]["faulted"]["calls"] >= 5 for window in ("baseline", "fault", "recovery"))
    told = result.folder.read("result-locust.json")
    assert told["total_requests"] == len(result.folder.calls("locust"))


@pytest.mark.e2e
@pytest.mark.counted
@pytest.mark.parametrize("processes", [1, 2])
def test_locust_by_its_own_command_in_one_process_and_in_more(tmp_path: Path, processes: int) -> None:
    locustfile = Path("src/mcp_chaos/load/locust/locustfile.py").resolve()
    with serving(well()) as server:
        url = f"http://127.0.0.1:{server.port}/mcp/tools/call"
        command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--host", url, "--headless", "-t", "2s"]
        command += ["-u", "4", "-r", "4", "--csv", "stats", "--processes", str(processes), "HeavyMCPUser"]
        done = subprocess.run(command, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "stats_stats.csv").read_text().splitlines()))
    (stats,) = (row for row in rows if row["Type"])
    assert (stats["Type"], stats["Name"], stats["Failure Count"]) == ("MCP", "execute_query", "0")
    assert int(stats["Request Count"]) >= 8

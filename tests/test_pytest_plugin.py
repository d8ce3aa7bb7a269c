"""The pytest plugin, in runs of pytest of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.machine.processes import children_of_run
from tests.e2e.conftest import short_experiment
from tests.real_servers.servers import ANY_SDK, serve

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def mcp_target():
    return "{url}"
"""
LANE = """
import time
import httpx
import pytest

def call(url, host):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Host": host, "Accept": "application/json, text/event-stream"}
    return httpx.post(url, json=body, headers=headers, timeout=5)

def test_a_late_answer_is_late(faulted_lane):
    with faulted_lane.fault("add_latency", latency_ms=1000) as receipt:
        assert receipt["proof"]
        began = time.monotonic()
        call(faulted_lane.url, faulted_lane.host)
        assert time.monotonic() - began > 0.9
        assert call(faulted_lane.control_url, faulted_lane.host).status_code < 500
    began = time.monotonic()
    call(faulted_lane.url, faulted_lane.host)
    assert time.monotonic() - began < 0.9

def test_a_cut_line_is_cut_and_comes_back(faulted_lane):
    with faulted_lane.fault("partition"):
        with pytest.raises(httpx.TransportError):
            call(faulted_lane.url, faulted_lane.host)
    assert call(faulted_lane.url, faulted_lane.host).status_code < 500

def test_what_makes_no_sense_is_told(faulted_lane):
    from mcp_chaos.errors import UsageError
    wrong = [("earthquake", {}), ("flap", {}), ("add_latency", {"latncy_ms": 1}), ("add_latency", {"latency_ms": -1})]
    for name, numbers in wrong:
        with pytest.raises(UsageError):
            with faulted_lane.fault(name, **numbers):
                pass
    with faulted_lane.fault("add_latency", latency_ms=1000):
        with pytest.raises(UsageError, match="'add_latency' is in place"):
            with faulted_lane.fault("partition"):
                pass
        began = time.monotonic()
        call(faulted_lane.url, faulted_lane.host)
        assert time.monotonic() - began > 0.9

def test_what_a_test_leaves_in_place(faulted_lane):
    faulted_lane.fault("partition").__enter__()
    pytest.fail("left")

def test_is_taken_back(faulted_lane):
    assert call(faulted_lane.url, faulted_lane.host).status_code < 500
"""


PLAIN = """
import sys
import uvicorn
from mcp.server.mcpserver import MCPServer

def search(query: str) -> str:
    return query

server = MCPServer("plain")
server.add_tool(search)
app = server.streamable_http_app(json_response=True, stateless_http=True)
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""
"""Its one tool is not said to only read, and needs an argument: there is none that a load could call."""


@pytest.fixture(scope="session")
def binary() -> str:
    """Found before pytester moves the home folder, and with it what was obtained before."""
    return str(toxiproxy_install.ensure(print))


@pytest.fixture
def inner(binary: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("MCP_URL", raising=False)
    monkeypatch.setenv("TOXIPROXY_SERVER", binary)
    return pytester


@pytest.fixture
def plain_url(tmp_path: Path) -> Iterator[str]:
    port = ReservedPort()
    (tmp_path / "plain.py").write_text(PLAIN)
    with ExitStack() as stack:
        serve([sys.executable, str(tmp_path / "plain.py"), str(port.number)], port, tmp_path, stack, {})
        yield f"http://127.0.0.1:{port.number}/mcp"


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on the official SDK."""
    port = ReservedPort()
    with ExitStack() as stack:
        command = [sys.executable, str(ANY_SDK), str(port.number), "http", "json", "stateless"]
        serve(command, port, tmp_path_factory.mktemp("server"), stack, {})
        yield f"http://127.0.0.1:{port.number}/mcp"


def run(inner: pytest.Pytester, *options: str) -> pytest.RunResult:
    return inner.runpytest_subprocess("-q", *options, timeout=120)


def test_a_suite_breaks_the_way_to_its_own_server(inner: pytest.Pytester, plain_url: str) -> None:
    inner.makeconftest(CONFTEST.replace("{url}", plain_url))
    inner.makepyfile(LANE)
    run(inner).assert_outcomes(passed=4, failed=1)


def test_which_server_has_to_be_said(inner: pytest.Pytester) -> None:
    inner.makepyfile("def test_it(mcp_target): pass")
    result = run(inner)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Which server? Define a fixture mcp_target*"])


def test_what_keeps_a_fixture_from_it_is_told(inner: pytest.Pytester) -> None:
    inner.makeconftest(CONFTEST.replace("{url}", "http://192.0.2.1/mcp"))
    inner.makepyfile("def test_it(faulted_lane): pass")
    result = run(inner)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*MCP_CHAOS_ALLOW_HOSTS=192.0.2.1*"])
    assert "Error:" not in result.stdout.str()  # no traceback


def test_nothing_outlives_a_pytest_that_is_killed(inner: pytest.Pytester) -> None:
    inner.makepyfile("import time\ndef test_it(toxiproxy): time.sleep(60)")
    base = inner.path / "base"
    command = [sys.executable, "-m", "pytest", "--basetemp", str(base)]
    with subprocess.Popen(command, cwd=inner.path, stdout=subprocess.DEVNULL) as killed:
        while not (left := processes_of(base)) >= {"toxiproxy", "watchdog"}:
            assert killed.poll() is None, left
        killed.kill()
    ends_s = time.monotonic() + 10
    while left := processes_of(base):
        assert time.monotonic() < ends_s, left


def processes_of(base: Path) -> set[str]:
    """The parts and the watchdog of the one run in a folder, by what they log into."""
    folders = [str(log.parent) for log in base.glob("toxiproxy*/*/watchdog.log")]
    watching = [p for p in psutil.process_iter(["cmdline"]) if set(folders) & set(p.info["cmdline"] or [])]
    parts = ["toxiproxy" for folder in folders if children_of_run(folder)]
    return {*parts, *("watchdog" for _ in watching)}


def test_experiments_are_tests(inner: pytest.Pytester, url: str) -> None:
    never = [{"name": "mcp_chaos", "thresholds": {"fault": ["success_fraction > 1"]}}]
    nobody = {"mcp_url": "http://127.0.0.1:1/mcp"}
    other = {"mcp_command": {"type": "env", "key": "MCP_COMMAND", "default": "false"}}
    folder = inner.mkdir("chaos")
    (folder / "sound.json").write_text(json.dumps(short_experiment(title="sound", configuration=nobody)))
    broken = short_experiment(title="broken", extensions=never, configuration=other)
    (folder / "broken.json").write_text(json.dumps(broken))
    (folder / "wrong.json").write_text(json.dumps(short_experiment(extensions=[])))
    (folder / "plan.json").write_text(json.dumps({"experiments": ["sound.json"]}))
    (folder / "profile.json").write_text(json.dumps({"configuration": {}}))
    (folder / "other.txt").write_text("not an experiment")
    inner.makeconftest(CONFTEST.replace("{url}", url).replace("session", "module"))
    inner.makeini("[pytest]\nmcp_chaos_experiments = chaos/*.json\nmcp_chaos_profile = profile.yaml")
    (inner.path / "profile.yaml").write_text("configuration: {}")
    result = run(inner, "chaos")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*broken: fail*",
            "*'success_fraction > 1' was missed*",
            "*The run is kept in*",
            "*one block named 'mcp_chaos'*",
        ]
    )
    assert "Traceback" not in result.stdout.str()
    targets = [json.loads(path.read_text())["target"] for path in folder.glob("runs/*/manifest.json")]
    assert targets == [url, url]


def test_a_number_of_the_profile_that_no_experiment_has_is_refused(inner: pytest.Pytester) -> None:
    (inner.path / "sound.json").write_text(json.dumps(short_experiment(configuration={"pause_s": 1})))
    (inner.path / "profile.yaml").write_text("configuration: {paus_s: 1}")
    inner.makeconftest(CONFTEST.replace("{url}", "http://127.0.0.1:9/mcp"))
    inner.makeini("[pytest]\nmcp_chaos_experiments = sound.json\nmcp_chaos_profile = profile.yaml")
    result = run(inner, "sound.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no experiment of this run has 'paus_s'; did you mean 'pause_s'?*"])
    assert not (inner.path / "runs").exists()


def test_an_experiment_has_to_be_told_its_server(inner: pytest.Pytester) -> None:
    (inner.path / "sound.json").write_text(json.dumps(short_experiment()))
    inner.makeini("[pytest]\nmcp_chaos_experiments = sound.json")
    result = run(inner, "sound.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["Which server? *Or the experiment's configuration says mcp_url, or mcp_command."])
    assert not (inner.path / "runs").exists()


def test_a_suite_that_cannot_start_its_server_says_so_itself(inner: pytest.Pytester) -> None:
    (inner.path / "sound.json").write_text(json.dumps(short_experiment()))
    inner.makeconftest("import pytest\n@pytest.fixture\ndef mcp_target(): pytest.fail('the port is taken')")
    inner.makeini("[pytest]\nmcp_chaos_experiments = sound.json")
    run(inner, "sound.json").stdout.fnmatch_lines(["*the port is taken*"])


def test_what_was_named_has_to_be_an_experiment(inner: pytest.Pytester) -> None:
    (inner.path / "plan.json").write_text(json.dumps({"experiments": ["sound.json"]}))
    inner.makeini("[pytest]\nmcp_chaos_experiments = ./plan.json")
    result = run(inner, "plan.json")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*plan.json is no experiment. Instead of a plan, name its experiments*"])
    inner.makeini("[pytest]\nmcp_chaos_experiments = plan.json chaos/*.json chaos/renamed.yaml")
    result = run(inner)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*mcp_chaos_experiments: there is no chaos/renamed.yaml in *"])


def test_nothing_is_collected_that_was_not_named(inner: pytest.Pytester) -> None:
    (inner.path / "sound.json").write_text(json.dumps(short_experiment()))
    inner.makepyfile("def test_it(): pass")
    run(inner).assert_outcomes(passed=1)


def test_who_does_not_ask_for_it_pays_nothing_for_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_was_imported():
            mine = {name for name in sys.modules if name.startswith(("mcp_chaos", "chaoslib", "numpy"))}
            assert mine == {"mcp_chaos", "mcp_chaos.pytest_plugin"}
        """
    )
    pytester.runpytest_subprocess("-p", "no:locust").assert_outcomes(passed=1)

"""The pytest plugin, in runs of pytest of its own."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from mcp_chaos.lab import toxiproxy_server
from mcp_chaos.lab.parts import ReservedPort
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
    with faulted_lane.fault("add_latency", latency_ms=300) as receipt:
        assert receipt["proof"]
        began = time.monotonic()
        call(faulted_lane.url, faulted_lane.host)
        assert time.monotonic() - began > 0.25
        assert call(faulted_lane.control_url, faulted_lane.host).status_code < 500
    began = time.monotonic()
    call(faulted_lane.url, faulted_lane.host)
    assert time.monotonic() - began < 0.25

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
    with faulted_lane.fault("add_latency", latency_ms=300):
        with pytest.raises(UsageError, match="'add_latency' is in place"):
            with faulted_lane.fault("partition"):
                pass
        began = time.monotonic()
        call(faulted_lane.url, faulted_lane.host)
        assert time.monotonic() - began > 0.25

def test_what_a_test_leaves_in_place(faulted_lane):
    faulted_lane.fault("partition").__enter__()
    pytest.fail("left")

def test_is_taken_back(faulted_lane):
    assert call(faulted_lane.url, faulted_lane.host).status_code < 500
"""


@pytest.fixture(scope="session")
def binary() -> str:
    """Found before pytester moves the home folder, and with it what was obtained before."""
    return str(toxiproxy_server.ensure(print))


@pytest.fixture
def inner(binary: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("MCP_URL", raising=False)
    monkeypatch.setenv("TOXIPROXY_SERVER", binary)
    return pytester


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


def test_a_suite_breaks_the_way_to_its_own_server(inner: pytest.Pytester, url: str) -> None:
    inner.makeconftest(CONFTEST.replace("{url}", url))
    inner.makepyfile(LANE)
    run(inner).assert_outcomes(passed=4, failed=1)


def test_which_server_has_to_be_said(inner: pytest.Pytester) -> None:
    inner.makepyfile("def test_it(mcp_target): pass")
    result = run(inner)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*Which server? Define a fixture mcp_target*"])


def test_experiments_are_tests(inner: pytest.Pytester) -> None:
    never = [{"name": "mcp_chaos", "thresholds": {"fault": ["success_fraction > 1"]}}]
    folder = inner.mkdir("chaos")
    (folder / "sound.json").write_text(json.dumps(short_experiment(title="sound")))
    (folder / "broken.json").write_text(json.dumps(short_experiment(title="broken", extensions=never)))
    (folder / "wrong.json").write_text(json.dumps(short_experiment(extensions=[])))
    (folder / "other.txt").write_text("not an experiment")
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


def test_nothing_is_collected_that_was_not_named(inner: pytest.Pytester) -> None:
    (inner.path / "sound.json").write_text(json.dumps(short_experiment()))
    inner.makepyfile("def test_it(): pass")
    run(inner).assert_outcomes(passed=1)

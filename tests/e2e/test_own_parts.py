"""A person's own server and own Toxiproxy, without the lab; and what is said when they are not what they should be."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_chaos.faults.fault import make_fault
from mcp_chaos.faults.kinds import Latency
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.calls import Reason
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.machine.processes import Child, children_of_run
from tests.conftest import SocketServer, answer_always, serving
from tests.e2e.conftest import SHORT, Chaos, activity, short_experiment

SERVER = """
import sys
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
import uvicorn
server = MCPServer("own")
async def add(a: int, b: int) -> int: return a + b
async def now() -> str: return "now"
server.add_tool(add, annotations=ToolAnnotations(read_only_hint=True))
server.add_tool(now, annotations=ToolAnnotations(read_only_hint=True))
app = server.streamable_http_app(json_response=sys.argv[2] == "json", stateless_http=sys.argv[3] == "stateless")
uvicorn.run(app, port=int(sys.argv[1]), log_level="error")
"""


@pytest.fixture
def own_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A server of the official SDK that has nothing of ours."""
    answers, state = getattr(request, "param", ("sse", "stateful"))
    port = ReservedPort()
    argv = [sys.executable, "-c", SERVER, str(port.number), answers, state]
    child = Child("own", argv, tmp_path / "own.log", "own")
    child.start()

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port.number)) == 0

    child.wait_until(listens, 20)
    yield f"http://127.0.0.1:{port.number}/mcp"
    child.stop()
    port.release()


MODES = [("sse", "stateful"), ("json", "stateful"), ("sse", "stateless"), ("json", "stateless")]


@pytest.mark.e2e
@pytest.mark.parametrize("own_server", MODES, indirect=True, ids="-".join)
def test_ones_own_server_in_each_mode(chaos: Chaos, own_server: str) -> None:
    result = chaos.run(short_experiment(), MCP_URL=own_server, MCP_DIALECT="streamable")
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output


@pytest.mark.e2e
@pytest.mark.parametrize("own_server", [("sse", "stateful"), ("json", "stateless")], indirect=True, ids="-".join)
def test_a_server_of_both_eras_is_spoken_to_in_the_newer_way(chaos: Chaos, own_server: str) -> None:
    result = chaos.run(short_experiment(), MCP_URL=own_server)
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output
    assert result.folder.read("manifest.json")["dialect"] == "modern"
    assert set(result.folder.calls("load")["reason"]) == {Reason.OK}
    assert "The load calls now on" in result.output
    assert "warehouse" not in {path.stem for path in result.folder.path.glob("*.log")}


@pytest.mark.e2e
def test_the_shipped_experiment_on_ones_own_server_and_toxiproxy(
    chaos: Chaos, own_server: str, toxiproxy: ToxiproxyServer
) -> None:
    toxiproxy.create_proxy("mine", "127.0.0.1:0", own_server.split("/")[2])
    env = {"MCP_TOOL": "add", "MCP_ARGUMENTS": '{"a": 1, "b": 2}', "TOXIPROXY_URL": toxiproxy.url}
    result = chaos.run("network_partition.yaml", MCP_URL=own_server, **env)
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output
    assert set(toxiproxy.proxies()) & {"mcp", "mcp_control", "mine"} == {"mine"}


@pytest.mark.e2e
def test_a_proxy_that_leads_to_another_host_cannot_be_poisoned(
    chaos: Chaos, own_server: str, toxiproxy: ToxiproxyServer
) -> None:
    toxiproxy.create_proxy("prod", "127.0.0.1:0", "192.0.2.1:5432")
    result = chaos.run(
        short_experiment(activity("partition", proxy="prod")), MCP_URL=own_server, TOXIPROXY_URL=toxiproxy.url
    )
    assert result.exit_code == 1
    assert "There is no proxy 'prod' in this run" in result.output
    assert toxiproxy.proxy("prod").enabled


@pytest.mark.e2e
@pytest.mark.counted
def test_all_faults_and_probes_in_one_run(chaos: Chaos, toxiproxy: ToxiproxyServer) -> None:
    probes = "mcp_chaos.probes"
    method = [
        activity("start_load", users=2, duration_s=60, cycle_s=0.1, requests_per_user=1, deadline_s=1, after_s=0.5),
        activity("load_reading", probes, figure="calls_per_s", seconds=1),
    ]
    faults: dict[str, dict[str, Any]] = {
        "add_latency": {"latency_ms": 30},
        "limit_bandwidth": {"rate_kb_per_s": 50, "direction": "upstream"},
        "black_hole": {"connection_fraction": 0.5},
        "reset_connections": {},
        "slow_close": {"delay_ms": 50},
        "slice_packets": {"average_size_bytes": 40, "delay_us": 2000},
        "limit_data": {"limit_bytes": 50},
        "flap": {"times": 2, "down_ms": 50, "up_ms": 50},
        "pause": {},
    }
    for func, arguments in faults.items():
        method += [activity(func, **arguments), activity("heal")]
    method += [
        activity("kill", part="warehouse"),
        activity("restart", part="warehouse"),
        activity("server_answers", probes, lane="control"),
        activity("health_status", probes),
        activity("server_counters", probes),
        activity("burst", probes, requests=10, concurrency=2),
        activity("burst_p95_ms", probes, requests=10, concurrency=2),
        activity("stop_load"),
    ]
    result = chaos.run(short_experiment(method=method))
    journal = json.loads((chaos.folder / "journal.json").read_text())
    assert {entry["status"] for entry in journal["run"]} == {"succeeded"}, result.output
    told = result.verdict["faults"]
    assert [fault["name"] for fault in told if not fault["proof"]] == []
    assert len(told) == 10
    outputs = {entry["activity"]["name"]: entry["output"] for entry in journal["run"]}
    assert outputs["health status"] == "healthy"
    assert outputs["server counters"]["calls"] > 0
    assert outputs["burst"]["successful_requests"] == 10


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("changes", "env", "said"),
    [
        ({}, {"MCP_URL": "http://127.0.0.1:1/mcp"}, "cannot be reached"),
        ({}, {"MCP_URL": "nonsense", "MCP_DIALECT": "morse"}, "MCP_DIALECT: there is no 'morse'"),
        ({}, {"MCP_URL": "http://192.0.2.1/mcp"}, "MCP_CHAOS_ALLOW_HOSTS=192.0.2.1"),
        ({}, {"TOXIPROXY_URL": "http://127.0.0.1:1"}, "cannot be reached to say its version"),
        ({}, {"MCP_CHAOS_LAB_DEFECT": "gremlins"}, "there is no defect 'gremlins'"),
        ({}, {"MCP_CHAOS_LAB_DEFECT": "hangs_after_cut", "MCP_URL": "http://127.0.0.1:1/mcp"}, "unset one of them"),
        ({}, {"MCP_CHAOS_LAB_RATE_PER_S": "many"}, "0 for no limit, not 'many'"),
        ({}, {"MCP_CHAOS_LAB_QUERY_MS": "-1"}, "0 for none, not '-1'"),
        ({}, {"MCP_CHAOS_RUNS": "/proc/nowhere"}, "MCP_CHAOS_RUNS: nothing can be made in"),
        ({}, {"TOXIPROXY_SERVER": "/bin/true"}, "is not a Toxiproxy server"),
        ({"extensions": []}, {}, "one block named 'mcp_chaos'"),
        ({"method": [activity("limit_bandwidth", rate_kb_per_s=-1)]}, {}, "-1 is not between"),
        ({"controls": [{**SHORT["controls"][0], "scope": "before"}]}, {}, "it can have no 'scope'"),
        ({"controls": [*SHORT["controls"], *SHORT["controls"]]}, {}, "is needed once"),
        ({"method": [activity("pause", part="sever")]}, {}, "there is no 'sever'; there is server, warehouse"),
        ({"method": [activity("heal", where="mpc")]}, {}, "there is no 'mpc'"),
        ({"method": [activity("wait_for_load", name="sustaned")]}, {}, "there is no 'sustaned'"),
        (
            {"method": [{**activity("heal"), "pauses": {"after": "${nowhere}"}}]},
            {},
            "pauses: after: ${nowhere} is not in",
        ),
        ({"method": [activity("limit_bandwith", rate_kb_per_s=1)]}, {}, "limit_bandwith"),
    ],
)
def test_bad_input_is_told_before_anything_is_touched(
    chaos: Chaos, changes: dict[str, object], env: dict[str, str], said: str
) -> None:
    result = chaos.run(short_experiment(**changes), **env)
    assert result.exit_code == 1
    assert said in result.output
    assert "No run is under way" not in result.output
    assert all("fault_injecting" not in [e.kind for e in folder.events()] for folder in result.runs)


@pytest.mark.e2e
def test_a_server_that_answers_html_is_told(chaos: Chaos) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
    with serving(answer_always(page)) as server:
        result = chaos.run(short_experiment(), MCP_URL=f"http://127.0.0.1:{server.port}/mcp")
    assert result.exit_code == 1
    assert "it answered text/html, which is not MCP" in result.output


@pytest.mark.e2e
def test_a_toxiproxy_that_hangs_is_told(chaos: Chaos) -> None:

    def hang(conn: socket.socket) -> None:
        conn.recv(1 << 16)
        conn.recv(1)

    with serving(hang) as server:
        result = chaos.run(short_experiment(), TOXIPROXY_URL=f"http://127.0.0.1:{server.port}")
    assert result.exit_code == 1
    assert "did not answer within 5 s" in result.output


@pytest.mark.e2e
def test_a_port_that_is_taken_is_told(chaos: Chaos, toxiproxy: ToxiproxyServer, healthy: SocketServer) -> None:
    env = {"TOXIPROXY_URL": toxiproxy.url, "MCP_PROXY_LISTEN": f"127.0.0.1:{healthy.port}"}
    result = chaos.run(short_experiment(), **env)
    assert result.exit_code == 1
    assert "address already in use" in result.output
    assert not set(toxiproxy.proxies()) & {"mcp", "mcp_control", "backend"}


@pytest.mark.e2e
def test_a_proxy_that_somebody_poisoned_is_left_alone(chaos: Chaos, toxiproxy: ToxiproxyServer) -> None:
    toxiproxy.create_proxy("mcp", "127.0.0.1:0", "127.0.0.1:9")
    toxiproxy.put_toxic("mcp", "theirs", make_fault(Latency, latency_ms=5).toxics()[0])
    result = chaos.run(short_experiment(), TOXIPROXY_URL=toxiproxy.url)
    assert result.exit_code == 1
    assert "is not clean: theirs" in result.output
    assert list(toxiproxy.proxy("mcp").toxics) == ["theirs"]


@pytest.mark.e2e
def test_a_proxy_that_leads_elsewhere_is_left_alone(chaos: Chaos, toxiproxy: ToxiproxyServer) -> None:
    toxiproxy.create_proxy("mcp", "127.0.0.1:0", "127.0.0.1:9")
    result = chaos.run(short_experiment(), TOXIPROXY_URL=toxiproxy.url)
    assert result.exit_code == 1
    assert "leads to 127.0.0.1:9" in result.output
    assert toxiproxy.proxy("mcp").upstream == "127.0.0.1:9"


@pytest.mark.e2e
def test_a_toxiproxy_that_is_away_while_a_fault_is_healed_is_cleaned_up_later(
    chaos: Chaos, toxiproxy: ToxiproxyServer
) -> None:
    """The way to Toxiproxy is itself a proxy, which goes down: healing fails, `mcp-chaos heal` makes it good."""
    api = toxiproxy.create_proxy("api", "127.0.0.1:0", toxiproxy.url.removeprefix("http://"))
    process = chaos.start(short_experiment(), TOXIPROXY_URL=f"http://127.0.0.1:{api.port}")
    while not any(e.kind == "fault_proven" for folder in chaos.runs() for e in folder.events()):
        assert process.poll() is None
    toxiproxy.set_enabled("api", False)
    result = chaos.finish(process)
    assert result.exit_code == 1
    assert "mcp-chaos heal" in result.output
    assert toxiproxy.proxy("mcp").toxics
    toxiproxy.set_enabled("api", True)
    heal = [sys.executable, "-m", "mcp_chaos.cli", "heal", str(result.folder.path)]
    told = subprocess.run(heal, capture_output=True, text=True, check=True)
    assert "removed the proxy 'mcp'" in told.stdout
    assert set(toxiproxy.proxies()) == {"api"}
    assert "Nothing was left" in subprocess.run(heal, capture_output=True, text=True, check=True).stdout


@pytest.mark.e2e
def test_a_part_that_goes_away_by_itself_makes_a_run_inconclusive(chaos: Chaos) -> None:
    process = chaos.start(short_experiment(activity("server_counters", "mcp_chaos.probes", after_s=3)))
    while not any(e.kind == "fault_injected" for folder in chaos.runs() for e in folder.events()):
        assert process.poll() is None
    for child in children_of_run(str(chaos.runs()[-1].path)):
        if "mcp_chaos.lab.server" in child.cmdline():
            child.kill()
    result = chaos.finish(process)
    assert result.exit_code == 1
    assert any("the server went away by itself" in reason for reason in result.verdict["reasons"])

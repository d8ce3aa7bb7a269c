"""Which servers there are, and how each is started."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.machine.parts import LOOPBACK, ReservedPort
from mcp_chaos.machine.processes import Child
from tests.real_servers.obtain import node_server, python_of

ANY_SDK = Path(__file__).with_name("any_sdk.py")
START_S = 60.0

SNOWFLAKE_SERVICES = """
other_services: {object_manager: true, query_manager: true, semantic_manager: false}
sql_statement_permissions: [{Select: true}, {Describe: true}, {Command: true}, {Unknown: true}, {All: true}]
"""
SNOWFLAKE_CONNECTION = """
[fake]
account = "fakesnow"
user = "fake"
password = "snow"
host = "127.0.0.1"
port = {port}
protocol = "http"
"""


@dataclass(frozen=True)
class Server:
    """A server that real people run.

    Args:
        name: with its version.
        over: the transport, and its mode.
        start: starts it in a folder; gives the settings that make it the target.
        settings: besides those.
        argv: what ``start`` needs to know.
        experiments: that make sense for it.
    """

    name: str
    over: str
    start: Callable[["Server", Path, ExitStack], dict[str, str]]
    settings: Mapping[str, str] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    experiments: tuple[str, ...] = ("network_partition",)

    @contextmanager
    def running(self, folder: Path) -> Iterator[dict[str, str]]:
        """The settings of a run that has it as its target, for as long as the block lasts."""
        with ExitStack() as stack:
            yield {**self.start(self, folder, stack), **self.settings}


def serve(command: list[str], port: ReservedPort, folder: Path, stack: ExitStack, env: Mapping[str, str]) -> None:
    """Start a command and wait until it listens on its port; it is ended with the stack."""
    child = Child(Path(command[0]).name, command, folder / f"{port.number}.log", str(folder), env)
    stack.callback(port.release)
    stack.callback(child.stop)
    child.start()
    child.wait_until(lambda: _listens(port.number), START_S)


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK, port)) == 0


def _sdk(server: Server, folder: Path, stack: ExitStack) -> dict[str, str]:
    python, transport, *mode = server.argv
    interpreter = sys.executable if python == "here" else str(python_of(python))
    if transport == "stdio":
        return {"MCP_COMMAND": f"{interpreter} {ANY_SDK} 0 stdio x x"}
    port = ReservedPort()
    serve([interpreter, str(ANY_SDK), str(port.number), transport, *(mode or ["x", "x"])], port, folder, stack, {})
    return {"MCP_URL": f"http://{LOOPBACK}:{port.number}/{'sse' if transport == 'sse' else 'mcp'}"}


def _typescript(server: Server, folder: Path, stack: ExitStack) -> dict[str, str]:
    (transport,) = server.argv
    script = str(node_server())
    if transport == "stdio":
        return {"MCP_COMMAND": f"node {script} stdio"}
    port = ReservedPort()
    serve(["node", script, transport], port, folder, stack, {"PORT": str(port.number)})
    return {"MCP_URL": f"http://{LOOPBACK}:{port.number}/{'sse' if transport == 'sse' else 'mcp'}"}


def _snowflake(server: Server, folder: Path, stack: ExitStack) -> dict[str, str]:
    """The vendor's server, its warehouse fakesnow, and a Toxiproxy with a proxy between the two."""
    warehouse, api, own = ReservedPort(), ReservedPort(), ReservedPort()
    serve(
        [sys.executable, "-m", "mcp_chaos.lab.warehouse", str(warehouse.number)],
        warehouse, folder, stack, {"TMPDIR": str(folder)},
    )  # fmt: skip
    binary = str(toxiproxy_install.ensure(print))
    serve([binary, "-host", LOOPBACK, "-port", str(api.number)], api, folder, stack, {"LOG_LEVEL": "warn"})
    toxiproxy = ToxiproxyServer(f"http://{LOOPBACK}:{api.number}")
    proxy = toxiproxy.create_proxy("backend", f"{LOOPBACK}:0", f"{LOOPBACK}:{warehouse.number}")
    home = folder / "snowflake"
    home.mkdir()
    (home / "connections.toml").write_text(SNOWFLAKE_CONNECTION.format(port=proxy.port))
    (home / "connections.toml").chmod(0o600)
    (home / "services.yaml").write_text(SNOWFLAKE_SERVICES)
    command = [str(python_of("snowflake-labs-mcp").with_name("mcp-server-snowflake"))]
    command += ["--service-config-file", str(home / "services.yaml"), "--transport", "streamable-http"]
    command += ["--server-host", LOOPBACK, "--port", str(own.number), "--connection-name", "fake"]
    serve(command, own, folder, stack, {"SNOWFLAKE_HOME": str(home), "HOME": str(folder)})
    return {"MCP_URL": f"http://{LOOPBACK}:{own.number}/mcp", "TOXIPROXY_URL": toxiproxy.url}


def _reference(server: Server, folder: Path, stack: ExitStack) -> dict[str, str]:
    return {}


_HERE = version("mcp")
_MODES = [("sse", "stateful"), ("json", "stateful"), ("sse", "stateless"), ("json", "stateless")]
_BOTH = ("network_partition", "stalled_backend")
_STREAMABLE = {"MCP_DIALECT": "streamable"}
_ECHO = {"MCP_TOOL": "echo", "MCP_ARGUMENTS": '{"message": "hello"}'}
_SNOWFLAKE = {
    "MCP_TOOL": "run_snowflake_query",
    "MCP_ARGUMENTS": '{"statement": "SELECT 1"}',
    "MCP_CHAOS_ALLOW_TOOLS": "run_snowflake_query",
}


def _of_an_sdk(name: str, python: str, *settings: Mapping[str, str]) -> Iterator[Server]:
    for given in settings:
        for mode in _MODES:
            yield Server(name, f"HTTP, {', '.join(mode)}", _sdk, given, (python, "http", *mode))
    yield Server(name, "HTTP+SSE", _sdk, argv=(python, "sse"))
    yield Server(name, "stdio", _sdk, argv=(python, "stdio"))


SERVERS = [
    *_of_an_sdk("MCP SDK for Python 1.30.0", "mcp-1.30", {}),
    *_of_an_sdk(f"MCP SDK for Python {_HERE}", "here", _STREAMABLE, {}),
    Server("server-everything 2026.8.31 (TypeScript)", "HTTP", _typescript, _ECHO, ("streamableHttp",)),
    Server("server-everything 2026.8.31 (TypeScript)", "HTTP+SSE", _typescript, _ECHO, ("sse",)),
    Server("server-everything 2026.8.31 (TypeScript)", "stdio", _typescript, _ECHO, ("stdio",)),
    Server("snowflake-labs-mcp 1.4.2", "HTTP", _snowflake, _SNOWFLAKE, experiments=_BOTH),
    Server("the reference server", "HTTP", _reference, experiments=_BOTH),
    Server("the reference server", "HTTP", _reference, {"MCP_DIALECT": "modern"}, experiments=_BOTH),
    Server("the reference server", "WebSocket", _reference, {"MCP_DIALECT": "websocket"}, experiments=_BOTH),
    Server("the reference server", "HTTP", _reference, {"MCP_DIALECT": "jsonrpc"}),
]
"""Every server, in the order of the table."""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of a run with some settings, and no others of this project."""
    ours = ("MCP_", "TOXIPROXY_URL")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)} | dict(settings)

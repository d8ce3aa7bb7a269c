"""How the server of a run is reached: by its own name, on each lane, at the path of its dialect."""

from dataclasses import replace

import pytest

from mcp_chaos.config.settings import Settings
from mcp_chaos.faults.route import Route
from mcp_chaos.history.calls import Lane
from mcp_chaos.run.addresses import Addresses
from mcp_chaos.run.proxies import CONTROL_PROXY, FAULTED_PROXY

EMBEDDED = Settings.embedded_by_default()
OWN = ("127.0.0.1", 1)
WAYS = {
    FAULTED_PROXY: Route("a proxy", ("127.0.0.1", 2), OWN, "localhost"),
    CONTROL_PROXY: Route("a proxy", ("127.0.0.1", 3), OWN, "localhost"),
}


@pytest.mark.parametrize(
    ("dialect", "path"),
    [("streamable", "/mcp"), ("modern", "/mcp"), ("jsonrpc", "/mcp/tools/call"), ("websocket", "/socket")],
)
def test_the_embedded_server_speaks_each_dialect_at_its_path(dialect: str, path: str) -> None:
    addresses = Addresses(replace(EMBEDDED, dialect=dialect, websocket_path="/socket"), OWN, WAYS, direct=False)
    assert addresses.own_url == f"http://127.0.0.1:1{path}"
    target = addresses.target(Lane.FAULTED)
    assert (target.path, target.websocket_path) == (path, "/socket")


def test_each_lane_goes_through_its_proxy_and_keeps_the_servers_own_name() -> None:
    own = replace(EMBEDDED, mcp_url="https://server.test:8443/mcp?key=1", dialect="modern")
    addresses = Addresses(own, ("server.test", 8443), WAYS, direct=False)
    assert addresses.url(Lane.FAULTED) == "https://127.0.0.1:2/mcp?key=1"
    assert addresses.url(Lane.CONTROL, "/health") == "https://127.0.0.1:3/health"
    assert addresses.target(Lane.CONTROL).host_header == addresses.host_header == "server.test:8443"
    assert (addresses.own_target.connect_host, addresses.own_target.connect_port) == ("server.test", 8443)


def test_without_proxies_clients_go_to_the_server_itself() -> None:
    assert Addresses(EMBEDDED, OWN, {}, direct=True).url(Lane.CONTROL) == "http://127.0.0.1:1/mcp"

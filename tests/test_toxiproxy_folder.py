"""The files in toxiproxy/ say the same thing, and the real server takes them."""

import json
from pathlib import Path

import yaml

from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.toxiproxy_install import VERSION
from mcp_chaos.run.proxies import BACKEND_PROXY, CONTROL_PROXY, FAULTED_PROXY

FOLDER = Path("toxiproxy")
NAMES = [FAULTED_PROXY, CONTROL_PROXY, BACKEND_PROXY]


def test_the_real_server_takes_the_proxies(toxiproxy: ToxiproxyServer) -> None:
    proxies = json.loads((FOLDER / "proxies.json").read_text())
    # The file has fixed ports, which a test must not count on; all else is taken as it is.
    toxiproxy.populate([{**proxy, "listen": "127.0.0.1:0"} for proxy in proxies])
    assert set(NAMES) <= set(toxiproxy.proxies())


def test_the_compose_file_publishes_each_proxy_on_loopback_only() -> None:
    service = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]["toxiproxy"]
    listens = [proxy["listen"].rpartition(":")[2] for proxy in json.loads((FOLDER / "proxies.json").read_text())]
    assert service["image"].endswith(f":{VERSION}")
    assert service["ports"] == [f"127.0.0.1:{port}:{port}" for port in ("8474", *listens)]


def test_the_sidecar_has_the_same_proxies() -> None:
    config, deployment = yaml.safe_load_all((FOLDER / "kubernetes-sidecar.yaml").read_text())
    assert [proxy["name"] for proxy in json.loads(config["data"]["proxies.json"])] == NAMES
    containers = {c["name"]: c for c in deployment["spec"]["template"]["spec"]["containers"]}
    assert containers["toxiproxy"]["image"].endswith(f":{VERSION}")

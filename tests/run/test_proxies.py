"""A proxy that was there before is used only where it leads to a machine that may be broken."""

from dataclasses import replace

import pytest

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import ToxiproxyError
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.run.proxies import Proxies, Upstream

SERVER = Upstream(("127.0.0.1", 8000), "127.0.0.1:8000")


@pytest.mark.parametrize(
    ("host", "allowed", "twice", "problem"),
    [
        ("mcp.example.com", (), (), "MCP_CHAOS_ALLOW_HOSTS=mcp.example.com"),
        ("mcp.example.com", ("mcp.example.com",), (), ""),
        ("mcp.prod.example.com", ("mcp.prod.example.com",), (), "MCP_CHAOS_ALLOW_PRODUCTION=mcp.prod.example.com"),
        ("mcp.prod.example.com", ("mcp.prod.example.com",), ("mcp.prod.example.com",), ""),
        ("host.docker.internal", (), (), ""),
    ],
)
def test_a_host_that_nobody_allowed_is_not_broken_by_way_of_a_proxy(
    toxiproxy: ToxiproxyServer,
    folder: RunFolder,
    clock: Clock,
    host: str,
    allowed: tuple[str, ...],
    twice: tuple[str, ...],
    problem: str,
) -> None:
    toxiproxy.create_proxy("mcp", "127.0.0.1:0", f"{host}:8000")
    settings = replace(
        Settings.embedded_by_default(),
        mcp_url="http://127.0.0.1:8000/mcp",
        allowed_hosts=frozenset(allowed),
        allowed_production=frozenset(twice),
    )
    proxies = Proxies(settings, folder, clock, toxiproxy, is_own=False)
    if problem:
        with pytest.raises(ToxiproxyError, match=problem):
            proxies.make("mcp", SERVER)
    assert (problem or proxies.make("mcp", SERVER).upstream) == (problem or f"{host}:8000")

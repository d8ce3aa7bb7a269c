"""Which proxies of a person's own Toxiproxy are used, and which lead to somebody else."""

from dataclasses import replace

import pytest

from mcp_chaos.config.settings import Settings, resolve
from mcp_chaos.errors import ToxiproxyError, UsageError
from mcp_chaos.faults.toxiproxy import ProxyState, ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.run.proxies import FAULTED_PROXY, Proxies, Upstream

TARGET = Upstream(("127.0.0.1", 18100), "127.0.0.1:18100")


def proxies(server: ToxiproxyServer, folder: RunFolder, clock: Clock, **settings: object) -> Proxies:
    own = replace(Settings.embedded_by_default(), mcp_url="http://127.0.0.1:18100/mcp", **settings)  # type: ignore[arg-type]
    return Proxies(own, folder, clock, server, is_own=False)


@pytest.mark.parametrize("upstream", ["127.0.0.2:18100", "192.0.2.1:18100", "no.such.invalid:18100", "127.0.0.1:18101"])
def test_a_proxy_that_leads_to_another_host_is_refused(
    upstream: str, toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock
) -> None:
    toxiproxy.create_proxy(FAULTED_PROXY, "127.0.0.1:0", upstream)
    with pytest.raises(ToxiproxyError, match="MCP_PROXY_UPSTREAM"):
        proxies(toxiproxy, folder, clock).make(FAULTED_PROXY, TARGET)
    assert toxiproxy.proxy(FAULTED_PROXY).toxics == {}


@pytest.mark.parametrize(
    ("upstream", "settings"),
    [
        ("127.0.0.1:18100", {}),
        ("localhost:18100", {}),
        ("server.example:18100", {"allowed_hosts": frozenset({"server.example"})}),
        ("server:8000", {"proxy_upstream": "server:8000"}),
    ],
)
def test_a_proxy_that_leads_to_the_server_is_used(
    upstream: str, settings: dict[str, object], toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock
) -> None:
    made = toxiproxy.create_proxy(FAULTED_PROXY, "127.0.0.1:0", upstream)
    used = proxies(toxiproxy, folder, clock, **settings)
    assert used.make(FAULTED_PROXY, TARGET).listen == made.listen
    used.remove()
    assert FAULTED_PROXY in toxiproxy.proxies()


def test_a_proxy_is_made_with_the_name_that_toxiproxy_knows(
    toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock
) -> None:
    used = proxies(toxiproxy, folder, clock, proxy_upstream="localhost:18100")
    assert used.make(FAULTED_PROXY, TARGET).upstream == "localhost:18100"
    used.remove()


def test_nobody_is_sent_to_where_a_proxy_only_says_that_it_listens(
    toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {
        name: ProxyState(name, "192.0.2.1:80", "127.0.0.1:18100", enabled=True, toxics={})
        for name in (FAULTED_PROXY, "backend")
    }
    monkeypatch.setattr(toxiproxy, "proxies", lambda: elsewhere)
    used = proxies(toxiproxy, folder, clock)
    used.take_others()
    assert used.ways == {}
    with pytest.raises(ToxiproxyError, match="listens on"):
        used.make(FAULTED_PROXY, TARGET)


def test_a_name_for_toxiproxy_needs_a_toxiproxy() -> None:
    with pytest.raises(UsageError, match="set both"):
        resolve({"mcp_url": "http://127.0.0.1:1/mcp", "mcp_proxy_upstream": "server:8000"})
    with pytest.raises(UsageError, match="host:port is needed"):
        resolve({"mcp_url": "http://127.0.0.1:1/", "toxiproxy_url": "http://127.0.0.1:2", "mcp_proxy_upstream": "x"})


@pytest.mark.parametrize("twice", [False, True])
def test_a_host_that_looks_like_production_is_allowed_twice(
    twice: bool, toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock
) -> None:
    host = "mcp.prod.example.com"
    toxiproxy.create_proxy(FAULTED_PROXY, "127.0.0.1:0", f"{host}:18100")
    allowed = {"allowed_hosts": frozenset({host}), "allowed_production": frozenset({host} if twice else ())}
    used = proxies(toxiproxy, folder, clock, **allowed)
    if not twice:
        with pytest.raises(ToxiproxyError, match=f"MCP_CHAOS_ALLOW_PRODUCTION={host}"):
            used.make(FAULTED_PROXY, TARGET)
    else:
        assert used.make(FAULTED_PROXY, TARGET).upstream == f"{host}:18100"

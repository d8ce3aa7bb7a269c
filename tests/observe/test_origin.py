"""Nothing that a server says leads a request, with its credentials, to somebody else."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from mcp_chaos.config.oauth import CLIENT_ID, CLIENT_SECRET, TOKEN_URL, token
from mcp_chaos.errors import McpChaosError
from mcp_chaos.faults.fault import ToxicSettings
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.era import find_dialect
from mcp_chaos.observe.target import read_health, read_status
from tests.conftest import SocketServer, answer_always, serving
from tests.servers import http
from tests.sse_servers import SseServer

DEADLINE_S = 5.0


def _open(url: str, dialect: str) -> None:
    with McpClient(url, dialect, DEADLINE_S) as client:
        client.open()


def _token(url: str, patch: pytest.MonkeyPatch) -> None:
    patch.setenv(TOKEN_URL, url)
    patch.setenv(CLIENT_ID, "a")
    patch.setenv(CLIENT_SECRET, "a secret")
    token()


ASKING: dict[str, Callable[[str], object]] = {
    "observer": lambda url: _open(f"{url}/mcp", "streamable"),
    "websocket": lambda url: _open(f"{url}/ws", "websocket"),
    "sse": lambda url: _open(f"{url}/sse", "sse"),
    "era": lambda url: find_dialect(f"{url}/mcp", DEADLINE_S),
    "health": lambda url: read_health(f"{url}/health", DEADLINE_S),
    "status": lambda url: read_status(f"{url}/status", DEADLINE_S),
    "toxiproxy reads": lambda url: ToxiproxyServer(url).proxies(),
    "toxiproxy writes": lambda url: ToxiproxyServer(url).set_enabled("mcp", False),
    "toxiproxy adds": lambda url: ToxiproxyServer(url).put_toxic("mcp", "a", ToxicSettings("reset_peer", "up", 1, {})),
    "toxiproxy removes": lambda url: ToxiproxyServer(url).delete_proxy("mcp"),
}


@pytest.mark.parametrize("status", ["301 Moved Permanently", "307 Temporary Redirect"])
@pytest.mark.parametrize("who", [*ASKING, "oauth"])
def test_no_redirect_is_followed(who: str, status: str, healthy: SocketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = f"http://127.0.0.1:{healthy.port}/"
    with serving(answer_always(http(b"", extra=f"Location: {elsewhere}\r\n", status=status))) as server:
        url = f"http://127.0.0.1:{server.port}"
        ask = ASKING.get(who) or (lambda url: _token(f"{url}/token", monkeypatch))
        monkeypatch.setenv("MCP_TOKEN", "" if who == "oauth" else "a-token")
        with suppress(McpChaosError):
            ask(url)
        assert server.connections > 0
    assert healthy.connections == 0


@pytest.mark.parametrize("where", ["////127.0.0.1:%b/m", "//127.0.0.1:%b/m", "http://127.0.0.1:%b/m"])
def test_a_stream_that_sends_messages_elsewhere_is_refused(where: str, healthy: SocketServer) -> None:
    first = where.replace("%b", str(healthy.port)).encode()
    with (
        serving(SseServer(first=first)) as server,
        pytest.raises(McpChaosError, match=r"another server|does not say where"),
    ):
        _open(f"http://127.0.0.1:{server.port}/sse", "sse")
    assert healthy.connections == 0

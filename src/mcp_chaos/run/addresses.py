"""How the parts of a run are reached: the server itself, and the lanes to it through its proxies."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from mcp_chaos.config.settings import Settings
from mcp_chaos.faults.route import Route
from mcp_chaos.history.calls import Lane
from mcp_chaos.load.spec import Target
from mcp_chaos.mcp import DIALECTS, TransportKind
from mcp_chaos.run.proxies import CONTROL_PROXY, FAULTED_PROXY, Address, joined


@dataclass(frozen=True)
class Addresses:
    """Where clients of a run connect to, and what they call the server.

    Args:
        settings: of the run; its dialect is known.
        own: where the server itself listens.
        ways: the route of each proxy, by its name.
        direct: whether clients go to the server itself, without Toxiproxy in between.
    """

    settings: Settings
    own: Address
    ways: Mapping[str, Route]
    direct: bool

    @property
    def path(self) -> str:
        """The path of the MCP endpoint."""
        if not self.settings.embedded:
            where = urlsplit(self.settings.mcp_url or "")
            return (where.path or "/") + (f"?{where.query}" if where.query else "")
        return self.settings.websocket_path if self._over_websocket else DIALECTS[self.settings.dialect].embedded_path

    @property
    def own_url(self) -> str:
        """The server itself, without a proxy before it."""
        return self.settings.mcp_url or f"http://{joined(self.own)}{self.path}"

    @property
    def host_header(self) -> str:
        """What the server is called by its own clients; sent through the proxies too, so that its Host check holds."""
        return joined(self.own) if self.settings.embedded else urlsplit(self.settings.mcp_url or "").netloc

    def address(self, lane: Lane) -> Address:
        """Where clients of a lane connect to."""
        return self.own if self.direct else self.ways[FAULTED_PROXY if lane is Lane.FAULTED else CONTROL_PROXY].proxied

    def url(self, lane: Lane, path: str | None = None) -> str:
        """A URL on a lane."""
        scheme = "https" if self.settings.tls else "http"
        return f"{scheme}://{joined(self.address(lane))}{self.path if path is None else path}"

    def target(self, lane: Lane) -> Target:
        """Where a load of a lane goes."""
        host, port = self.address(lane)
        settings = self.settings
        websocket_path = self.path if self._over_websocket else settings.websocket_path
        return Target(host, port, self.host_header, self.path, settings.dialect, websocket_path, tls=settings.tls)

    @property
    def own_target(self) -> Target:
        """The server itself, without a proxy before it."""
        return replace(self.target(Lane.CONTROL), connect_host=self.own[0], connect_port=self.own[1])

    @property
    def _over_websocket(self) -> bool:
        return DIALECTS[self.settings.dialect].transport is TransportKind.WEBSOCKET

"""The proxies of a run in Toxiproxy: found or made, never another server's, and removed by whoever made them."""

import socket
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psutil

from mcp_chaos.config.hosts import host_problems
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import ToxiproxyError
from mcp_chaos.faults.exchange import HTTP, Exchange
from mcp_chaos.faults.route import Route
from mcp_chaos.faults.toxiproxy import ProxyState, ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.loopback import is_loopback
from mcp_chaos.machine.parts import LOOPBACK
from mcp_chaos.machine.processes import identity
from mcp_chaos.observe.server_process import listening_process

FAULTED_PROXY = "mcp"
CONTROL_PROXY = "mcp_control"
BACKEND_PROXY = "backend"

_THIS_MACHINE = frozenset({"host.docker.internal", "host.containers.internal"})
"""What containers call the machine that they run on."""

Address = tuple[str, int]

_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  # addresses that Toxiproxy reports, not ones that are bound here


@dataclass(frozen=True)
class Upstream:
    """A server that a proxy leads to.

    Args:
        address: where it listens.
        host_header: what its own clients call it.
        path: of a page that the canary may ask for; it should cost the server little.
        tls: whether it speaks TLS.
        exchange: what is said to it first; ``None`` where nobody knows yet what it speaks.
    """

    address: Address
    host_header: str
    path: str = "/"
    tls: bool = False
    exchange: Exchange | None = HTTP


@dataclass
class Proxies:
    """The proxies of one run.

    Args:
        settings: of the run.
        folder: where what was made is put on record.
        clock: of the run.
        server: the Toxiproxy.
        is_own: whether the Toxiproxy ends with the run, and all its proxies with it.
    """

    settings: Settings
    folder: RunFolder
    clock: Clock
    server: ToxiproxyServer
    is_own: bool
    ways: dict[str, Route] = field(default_factory=dict)
    _created: list[str] = field(default_factory=list)

    def take_others(self) -> None:
        """Know the proxies that are there: they can be poisoned too, such as the one before a server's own backend."""
        for state in self.server.proxies().values():
            upstream = _address(state.upstream)
            if upstream is not None and not self._host_problems(upstream[0]) and self._may_be_listened_on(state):
                self._know(state, Upstream(upstream, joined(upstream), exchange=None))

    def make(self, name: str, upstream: Upstream) -> ProxyState:
        """Find or create a proxy before a server.

        Raises:
            ToxiproxyError: one of that name is poisoned, or leads elsewhere; nothing was changed.
        """
        found = self.server.proxies().get(name)
        if found is not None:
            self._check(found, upstream)
        else:
            listen = self.settings.proxy_listen if name == FAULTED_PROXY else None
            if not self.is_own:
                self.folder.event(self.clock.now_ns(), "proxy_created", proxy=name)
                self._created.append(name)
            leads_to = self._named_upstream() if name in (FAULTED_PROXY, CONTROL_PROXY) else None
            found = self.server.create_proxy(name, listen or f"{LOOPBACK}:0", joined(leads_to or upstream.address))
        self._know(found, upstream)
        return found

    def remove(self) -> list[str]:
        """Remove the proxies that were created. May be repeated.

        Returns:
            What could not be removed, in words.
        """
        troubles = []
        for name in self._created:
            try:
                self.server.delete_proxy(name)
                self.folder.event(self.clock.now_ns(), "proxy_removed", proxy=name)
            except ToxiproxyError as error:
                troubles.append(str(error))
        self._created.clear()
        return troubles

    def _check(self, found: ProxyState, upstream: Upstream) -> None:
        where = f"The proxy '{found.name}' in Toxiproxy at {self.server.url}"
        if found.toxics or not found.enabled:
            raise ToxiproxyError(
                f"{where} is not clean: {', '.join(found.toxics) or 'it is down'}. "
                "Another run may be using it, or one left it so. Nothing was changed; clean it and try again."
            )
        there = _address(found.upstream)
        if there is None or not self._leads_to(there, upstream.address):
            raise ToxiproxyError(
                f"{where} leads to {found.upstream}, not to {joined(upstream.address)}: "
                "the run would break another server. Nothing was changed; remove or rename it and try again, "
                "or say that Toxiproxy knows the server by that name: MCP_PROXY_UPSTREAM."
            )
        if not self._may_be_listened_on(found):
            raise ToxiproxyError(
                f"{where} listens on {found.listen}, which is neither this machine nor Toxiproxy's own host. Nothing "
                "was changed; remove or rename it and try again, or allow that host by name: MCP_CHAOS_ALLOW_HOSTS."
            )
        is_known = there in (upstream.address, self._named_upstream()) or there[0].lower() in _THIS_MACHINE
        problems = [] if is_known else self._host_problems(there[0])
        if problems:
            raise ToxiproxyError(f"{where} leads to {found.upstream}: {problems[0]}. Nothing was changed.")

    def _host_problems(self, host: str) -> list[str]:
        return host_problems(host, self.settings.allowed_hosts, self.settings.allowed_production)

    def _leads_to(self, there: Address, upstream: Address) -> bool:
        """Whether a proxy that was there before leads to the server under test.

        That is the server itself, the same port of a host that was allowed by name, or what ``MCP_PROXY_UPSTREAM``
        says: seen from a container, a server of one's own can have another name.
        """
        if there in (upstream, self._named_upstream()):
            return True
        if there[1] != upstream[1]:
            return False
        return there[0].lower() in self.settings.allowed_hosts or bool(_resolved(there) & _resolved(upstream))

    def _named_upstream(self) -> Address | None:
        return _address(self.settings.proxy_upstream) if self.settings.proxy_upstream else None

    def _may_be_listened_on(self, state: ProxyState) -> bool:
        """Whether clients may be sent, with their credentials, to where a proxy says that it listens."""
        host = _listen_host(state)
        if host in _ANY_ADDRESS or is_loopback(host) or host.lower() in self.settings.allowed_hosts:
            return True
        return bool(_resolved((host, state.port)) & _resolved((self.server.host, state.port)))

    def _know(self, state: ProxyState, upstream: Upstream) -> None:
        host = _listen_host(state)
        if host in _ANY_ADDRESS:
            host = self.server.host
        self.ways[state.name] = Route(
            state.name,
            (host, state.port),
            upstream.address,
            upstream.host_header,
            upstream.path,
            upstream.tls,
            upstream.exchange,
        )


def process_of(server: ToxiproxyServer) -> dict[str, Any]:
    """The process of a Toxiproxy of this machine, for an event: what it was told ends with it. Else nothing."""
    try:
        process = listening_process(urlsplit(server.url).port or 80, server.host) if is_loopback(server.host) else None
        return {"process": identity(process.pid)} if process is not None and "toxiproxy" in process.name() else {}
    except psutil.Error:
        return {}


def joined(address: Address) -> str:
    """``host:port``."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen_host(state: ProxyState) -> str:
    return state.listen.rpartition(":")[0].strip("[]")


def _resolved(address: Address) -> set[str]:
    """The addresses of a host as this machine knows it; empty where it knows none."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(*address, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _address(text: str) -> Address | None:
    """Host and port; ``None`` where the port is a name, as in other people's proxies."""
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdecimal() else None

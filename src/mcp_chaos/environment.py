"""Where everything is: starts what is missing, says how to reach it, takes down what it started."""

import platform
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from mcp_chaos.errors import ToxiproxyError, UsageError
from mcp_chaos.faults.canary import Lane as Way
from mcp_chaos.faults.toxiproxy import ProxyState, ToxiproxyServer
from mcp_chaos.history import RunFolder
from mcp_chaos.lab import parts as lab
from mcp_chaos.lab import toxiproxy_server
from mcp_chaos.lab.defects import VARIABLE, Defect, planted_defect
from mcp_chaos.load.auto import auto_workload
from mcp_chaos.load.spec import Target
from mcp_chaos.load.workload import Workload, operations_as_json
from mcp_chaos.load.workload_file import AUTO, DEFAULT, read_workload
from mcp_chaos.mcp import Operation
from mcp_chaos.mcp.tools import is_read_only
from mcp_chaos.observe.era import find_dialect
from mcp_chaos.observe.target import check_answers, check_offered, choose_operation, list_tools
from mcp_chaos.records import Clock, Lane
from mcp_chaos.settings import Settings, is_loopback

FAULTED_PROXY = "mcp"
CONTROL_PROXY = "mcp_control"
BACKEND_PROXY = "backend"

_TARGET_DEADLINE_S = 10.0
_SPECIFIED_TOOLS = ("list_databases", "list_views", "execute_query")
"""The tools of the specification's dialect, which has no list of them: all they do is read."""

_VERSIONS_OF = (
    "chaostoolkit",
    "chaostoolkit-lib",
    "toxiproxy-python",
    "httpx",
    "uvloop",
    "httptools",
    "numpy",
    "mcp",
    "fakesnow",
)

Address = tuple[str, int]


@dataclass
class Environment:
    """Everything a run works with.

    Args:
        settings: what was asked for.
        folder: of the run.
        clock: of the run.
        say: told what goes on, a line at a time.
        direct: whether clients go to the server itself, without Toxiproxy in between.
    """

    settings: Settings
    folder: RunFolder
    clock: Clock
    say: Callable[[str], None]
    direct: bool = False
    ways: dict[str, Way] = field(default_factory=dict)
    parts: dict[str, lab.Part] = field(default_factory=dict)
    workload: Workload = field(default_factory=lambda: read_workload(DEFAULT))
    operation: Operation = field(default_factory=lambda: Operation("list_databases"))
    toxiproxy_version: str = ""
    _created: list[str] = field(default_factory=list)
    _own: Address = ("", 0)
    _toxiproxy: ToxiproxyServer | None = None
    _defect: Defect | None = None

    def start(self) -> None:
        """Start what is missing and check that all of it answers; on failure, take down what was started.

        Raises:
            McpChaosError: something is missing or does not answer; nothing is left running.
        """
        try:
            self._defect = planted_defect()
            if self._defect is not None and not self.settings.embedded:
                raise UsageError(
                    f"{VARIABLE} plants a defect in the embedded server, and MCP_URL names another; unset one of them."
                )
            if self.settings.embedded:
                self._start_embedded()
            else:
                self._check_own_server()
                if not self.direct:
                    self._start_toxiproxy()
                    self._make_proxies()
        except BaseException:
            self.stop()
            raise

    @property
    def toxiproxy(self) -> ToxiproxyServer:
        """The Toxiproxy of this run."""
        assert self._toxiproxy is not None
        return self._toxiproxy

    @property
    def path(self) -> str:
        """The path of the MCP endpoint."""
        if not self.settings.embedded:
            where = urlsplit(self.settings.mcp_url or "")
            return (where.path or "/") + (f"?{where.query}" if where.query else "")
        return "/mcp/tools/call" if self.settings.dialect == "jsonrpc" else "/mcp"

    @property
    def host_header(self) -> str:
        """What the server is called by its own clients; sent through the proxies too, so that its Host check holds."""
        return _joined(self._own) if self.settings.embedded else urlsplit(self.settings.mcp_url or "").netloc

    def address(self, lane: Lane) -> Address:
        """Where clients of a lane connect to."""
        return self._own if self.direct else self.ways[FAULTED_PROXY if lane is Lane.FAULTED else CONTROL_PROXY].faulted

    def url(self, lane: Lane, path: str | None = None) -> str:
        """A URL on a lane."""
        scheme = "https" if self.settings.tls else "http"
        return f"{scheme}://{_joined(self.address(lane))}{self.path if path is None else path}"

    def target(self, lane: Lane) -> Target:
        """Where a load of a lane goes."""
        host, port = self.address(lane)
        settings = self.settings
        return Target(
            host, port, self.host_header, self.path, settings.dialect, settings.websocket_path, tls=settings.tls
        )

    def check_offered(self, workload: Workload) -> None:
        """Check that the server offers the tools of a workload, where its dialect can tell.

        Raises:
            TargetError: it does not answer, or offers not all of them.
        """
        if self.settings.dialect != "jsonrpc":
            url = self.settings.mcp_url or f"http://{_joined(self._own)}{self.path}"
            offered = list_tools(url, self.settings.dialect, _TARGET_DEADLINE_S)
            check_offered(url, offered, workload.tools, "the workload")

    def describe(self) -> dict[str, Any]:
        """For the manifest: what this is, and which versions."""
        return {
            "target": self.settings.mcp_url or "embedded",
            "dialect": self.settings.dialect,
            "operations": operations_as_json(self.workload.operations),
            "seed": self.settings.seed,
            "defect": self._defect.value if self._defect else None,
            "toxiproxy": None if self.direct else {"url": self.toxiproxy.url, "version": self.toxiproxy_version},
            "platform": platform.platform(),
            "python": platform.python_version(),
            "versions": {name: _version(name) for name in _VERSIONS_OF},
        }

    def stop(self) -> list[str]:
        """Take down what was started. May be repeated.

        Returns:
            What could not be taken down, in words.
        """
        troubles = []
        if self._toxiproxy is not None:
            for name in self._created:
                try:
                    self._toxiproxy.delete_proxy(name)
                    self.folder.event(self.clock.now_ns(), "proxy_removed", proxy=name)
                except ToxiproxyError as error:
                    troubles.append(str(error))
        self._created.clear()
        # Clients before servers, and all at once: each may take its time to end.
        with ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(lab.Part.stop, self.parts.values()))
        self.parts.clear()
        return troubles

    def dead_parts(self) -> list[str]:
        """The embedded parts that have ended."""
        return [name for name, part in self.parts.items() if not part.child.alive]

    def _start_embedded(self) -> None:
        lab.check_lab_is_installed()
        self._add(lab.warehouse(self.folder.path))
        backend_port = self.parts["warehouse"].port.number
        if not self.direct:
            self._start_toxiproxy()
            backend_port = self._proxy(BACKEND_PROXY, (lab.LOOPBACK, backend_port), "/").port
        self._add(lab.server(self.folder.path, backend_port))
        self._own = (lab.LOOPBACK, self.parts["server"].port.number)
        if not self.direct:
            self._make_proxies()
        self.parts["warehouse"].wait_until_it_answers()
        self.parts["server"].wait_until_it_answers()
        if self.settings.workload is not None or self.settings.auto_workload:
            self._choose_workload(f"http://{_joined(self._own)}{self.path}")
        if self._defect is Defect.BYPASSES_PROXY:
            way = self.ways[FAULTED_PROXY]
            self.ways[FAULTED_PROXY] = replace(way, faulted=way.clean)

    def _add(self, part: lab.Part) -> None:
        self.parts[part.name] = part
        part.start()

    def _check_own_server(self) -> None:
        url = self.settings.mcp_url or ""
        where = urlsplit(url)
        self._own = (where.hostname or "", where.port or (443 if self.settings.tls else 80))
        if self.settings.dialect == AUTO:
            self.settings = replace(self.settings, dialect=find_dialect(url, _TARGET_DEADLINE_S))
        settings = self.settings
        if settings.workload is not None or settings.auto_workload:
            self._choose_workload(url)
            hint = ""
        else:
            chosen = choose_operation(url, settings.dialect, settings.tool, settings.arguments, _TARGET_DEADLINE_S)
            self.workload = Workload.of(chosen)
            hint = "" if settings.tool else " (set MCP_TOOL for another, or MCP_WORKLOAD for more)"
        self._check_tools_only_read(url)
        self.operation = next(operation for operation in self.workload.operations if operation.tool)
        check_answers(url, settings.dialect, self.operation, _TARGET_DEADLINE_S)
        self.say(f"The load calls {', '.join(self.workload.tools)} on {url}{hint}")

    def _check_tools_only_read(self, url: str) -> None:
        """Check that no tool is called that may change something, unless a person has allowed it by name.

        Raises:
            UsageError: names the tools.
        """
        settings = self.settings
        asked = [tool for tool in self.workload.tools if not {tool, "*"} & settings.allowed_tools]
        if not asked:
            return
        if settings.dialect == "jsonrpc":
            known = set(_SPECIFIED_TOOLS)
        else:
            known = set(only_reading(list_tools(url, settings.dialect, _TARGET_DEADLINE_S)))
        unknown = [tool for tool in asked if tool not in known]
        if unknown:
            names = ",".join(unknown)
            raise UsageError(
                f"{url} does not say of {', '.join(map(repr, unknown))} that calling it changes nothing "
                "(annotations.readOnlyHint), and a load calls it again and again. If it is harmless, or the server is "
                f"there to be broken, allow it by name: MCP_CHAOS_ALLOW_TOOLS={names}. Nothing was started."
            )

    def _choose_workload(self, url: str) -> None:
        """Make the workload from the server's tools, or check that it offers those of the one that was given.

        Raises:
            TargetError: it does not list its tools, or offers none, or not those.
        """
        settings = self.settings
        if settings.workload is not None:
            self.check_offered(settings.workload)
            self.workload = settings.workload
            return
        if settings.dialect == "jsonrpc":
            raise UsageError("MCP_WORKLOAD=auto: the dialect 'jsonrpc' has no list of tools to choose from.")
        self.workload, left_out = auto_workload(list_tools(url, settings.dialect, _TARGET_DEADLINE_S))
        for sentence in left_out:
            self.say(f"Not called: {sentence}")

    def _start_toxiproxy(self) -> None:
        url = self.settings.toxiproxy_url
        if url is None:
            part = lab.toxiproxy(toxiproxy_server.ensure(self.say), self.folder.path)
            self._add(part)
            part.wait_until_it_answers()
            url = f"http://{lab.LOOPBACK}:{part.port.number}"
        server = ToxiproxyServer(url)
        self.toxiproxy_version = server.version()
        self._toxiproxy = server
        self.folder.event(self.clock.now_ns(), "toxiproxy_ready", url=url, embedded="toxiproxy" in self.parts)
        if "toxiproxy" not in self.parts:
            # Other proxies of that server can be poisoned too, such as the one before the server's own backend.
            for state in server.proxies().values():
                upstream = _address(state.upstream)
                if upstream is not None and self._may_be_broken(upstream[0]):
                    self._know(state, upstream, "/")

    def _make_proxies(self) -> None:
        # A status page is asked rather than /health, which may cost the server a query.
        for name in (FAULTED_PROXY, CONTROL_PROXY):
            self._proxy(name, self._own, "/status" if self.settings.embedded else "/")

    def _proxy(self, name: str, upstream: Address, path: str) -> ProxyState:
        server = self.toxiproxy
        found = server.proxies().get(name)
        if found is not None and (found.toxics or not found.enabled):
            raise ToxiproxyError(
                f"The proxy '{name}' in Toxiproxy at {server.url} is not clean: "
                f"{', '.join(found.toxics) or 'it is down'}. "
                "Another run may be using it, or one left it so. Nothing was changed; clean it and try again."
            )
        if found is not None and not self._leads_to(found, upstream):
            raise ToxiproxyError(
                f"The proxy '{name}' in Toxiproxy at {server.url} leads to {found.upstream}, "
                f"not to {_joined(upstream)}: "
                "the run would break another server. Nothing was changed; remove or rename it and try again."
            )
        if found is None:
            listen = self.settings.proxy_listen if name == FAULTED_PROXY else None
            if "toxiproxy" not in self.parts:  # one of the run's own ends with it, and all its proxies
                self.folder.event(self.clock.now_ns(), "proxy_created", proxy=name)
                self._created.append(name)
            found = server.create_proxy(name, listen or f"{lab.LOOPBACK}:0", _joined(upstream))
        self._know(found, upstream, path)
        return found

    def _may_be_broken(self, host: str) -> bool:
        return is_loopback(host) or host.lower() in self.settings.allowed_hosts

    def _leads_to(self, found: ProxyState, upstream: Address) -> bool:
        """Whether a proxy that was there before leads to the server under test.

        Seen from a container, a server of one's own can have another name, but hardly another port.
        """
        there = _address(found.upstream)
        return there == upstream or (
            there is not None
            and not self.settings.embedded
            and there[1] == upstream[1]
            and not (is_loopback(there[0]) and is_loopback(upstream[0]))
        )

    def _know(self, state: ProxyState, upstream: Address, path: str) -> None:
        host = state.listen.rpartition(":")[0].strip("[]")
        if host in ("", "0.0.0.0", "::"):  # noqa: S104  # an address that Toxiproxy reports, not one that is bound here
            host = self.toxiproxy.host
        is_ours = upstream == self._own
        name = self.host_header if is_ours else _joined(upstream)
        self.ways[state.name] = Way(
            state.name, (host, state.port), upstream, name, path, tls=is_ours and self.settings.tls
        )


def only_reading(tools: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of those tools of which a server says that they change nothing."""
    return [str(tool.get("name")) for tool in tools if is_read_only(tool)]


def _address(text: str) -> Address | None:
    """Host and port; ``None`` where the port is a name, as in other people's proxies."""
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdecimal() else None


def _joined(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

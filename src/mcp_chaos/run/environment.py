"""Everything a run works with: starts what is missing, and takes down what it started."""

import platform
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlsplit

from mcp_chaos.bridge.part import stdio_server
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.process import GivenProcess, Victim
from mcp_chaos.faults.route import Route
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.toxiproxy_part import toxiproxy_part
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.lab import parts as lab
from mcp_chaos.lab.defects import VARIABLE, Defect, planted_defect
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.lock import TargetLock
from mcp_chaos.machine.loopback import is_loopback
from mcp_chaos.machine.parts import LOOPBACK, Part
from mcp_chaos.mcp import DIALECTS, McpCall, ToolCall
from mcp_chaos.observe.era import find_dialect
from mcp_chaos.observe.target import check_answers
from mcp_chaos.run.addresses import Addresses
from mcp_chaos.run.choice import callable_tools, check_workload, choose_workload
from mcp_chaos.run.proxies import (
    BACKEND_PROXY,
    CONTROL_PROXY,
    FAULTED_PROXY,
    Address,
    Proxies,
    Upstream,
    joined,
    process_of,
)
from mcp_chaos.run.trial import DEADLINE_S
from mcp_chaos.workload.file import AUTO, DEFAULT, read_workload
from mcp_chaos.workload.workload import Workload, operations_as_json

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


@dataclass
class Environment:
    """Everything a run works with.

    Args:
        settings: what was asked for.
        folder: of the run.
        clock: of the run.
        say: told what goes on, a line at a time.
        direct: whether clients go to the server itself, without Toxiproxy in between.
        loaded: whether there will be loads; else a server of one's own needs no tool that one can call.
    """

    settings: Settings
    folder: RunFolder
    clock: Clock
    say: Callable[[str], None]
    direct: bool = False
    loaded: bool = True
    ways: dict[str, Route] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)
    workload: Workload = field(default_factory=lambda: read_workload(DEFAULT))
    operation: McpCall = field(default_factory=lambda: ToolCall("list_databases"))
    toxiproxy_version: str = ""
    _own: Address = ("", 0)
    _proxies: Proxies | None = None
    _defect: Defect | None = None
    _locks: list[TargetLock] = field(default_factory=list)

    def start(self) -> None:
        """Start what is missing and check that all of it answers; on failure, take down what was started.

        Raises:
            McpChaosError: something is missing or does not answer; nothing is left running.
        """
        try:
            self._lock_targets()
            self._defect = planted_defect()
            if self._defect is not None and not self.settings.embedded:
                raise UsageError(
                    f"{VARIABLE} plants a defect in the embedded server, and MCP_URL names another; unset one of them."
                )
            if self.settings.embedded:
                self._start_embedded()
            else:
                if self.settings.command:
                    self._start_stdio()
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
        assert self._proxies is not None
        return self._proxies.server

    @property
    def restart_toxiproxy(self) -> Callable[[], None] | None:
        """Ends the run's own Toxiproxy and starts it again, without its proxies; ``None`` where it is not its own."""
        part = self.parts.get("toxiproxy")
        if part is None:
            return None

        def restart() -> None:
            part.child.stop()
            part.start()
            part.wait_until_it_answers()

        return restart

    @property
    def addresses(self) -> Addresses:
        """How the server is reached, as far as it is known by now."""
        return Addresses(self.settings, self._own, self.ways, self.direct)

    @property
    def _target_name(self) -> str:
        # The words after the command may be secrets, and are in the environment of whoever runs this again.
        return f"stdio: {self.settings.program}" if self.settings.command else self.settings.mcp_url or "embedded"

    def callable_tools(self) -> list[tuple[Mapping[str, Any], ToolCall]]:
        """The tools that may be called, each with a call of it whose arguments come from its schema.

        Raises:
            TargetError: the server does not list its tools.
        """
        if not DIALECTS[self.settings.dialect].lists_tools:
            return []
        return callable_tools(self.settings, self.addresses.own_url)

    def check_workload(self, workload: Workload) -> Workload:
        """Check that the server offers the tools of a workload, and that they may be called; see ``run.choice``.

        Raises:
            TargetError: it does not answer, or offers not all of them.
            UsageError: a tool may change something, and nobody has allowed it by name.
        """
        return check_workload(self.settings, self.addresses.own_url, workload)

    def describe(self) -> dict[str, Any]:
        """For the manifest: what this is, and which versions."""
        return {
            "target": self._target_name,
            "dialect": self.settings.dialect,
            "operations": operations_as_json(self.workload.operations) if self.loaded else [],
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
        troubles = self._proxies.remove() if self._proxies is not None else []
        # Clients before servers, and all at once: each may take its time to end.
        with ThreadPoolExecutor(max_workers=3) as pool:
            list(pool.map(Part.stop, self.parts.values()))
        self.parts.clear()
        for lock in self._locks:
            lock.release()
        self._locks.clear()
        return troubles

    def dead_parts(self) -> list[str]:
        """The embedded parts that have ended."""
        return [name for name, part in self.parts.items() if not part.child.alive]

    def victims(self) -> dict[str, Victim]:
        """The processes that may be hurt: those that the run started, and one that it was given."""
        if self.settings.server_pid is not None:
            given = GivenProcess(self.settings.server_pid)
            way = self.ways[CONTROL_PROXY]
            return {"server": Victim(given, lambda: given.wait_until_it_is_back(way), way)}
        # What keeps a stdio server's port is not the server: it has to be asked itself.
        proxies = {"server": CONTROL_PROXY, "warehouse": BACKEND_PROXY}
        ways = {name: self.ways[proxies[name]] for name in self.parts if name in proxies}
        if self.settings.command:
            ways["server"] = replace(ways["server"], path="/health")
        return {
            name: Victim(self.parts[name].child, self.parts[name].wait_until_it_answers, way)
            for name, way in ways.items()
        }

    @property
    def lock_names(self) -> list[str]:
        """The server and the Toxiproxy that are not the run's own, each as ``host:port``."""
        names = []
        for url in sorted(filter(None, (self.settings.mcp_url, self.settings.toxiproxy_url))):
            where = urlsplit(url)
            host = where.hostname or ""
            port = where.port or (443 if where.scheme == "https" else 80)
            names.append(joined(("127.0.0.1" if is_loopback(host) else host, port)))
        return names

    def _lock_targets(self) -> None:
        """No other run on a server or a Toxiproxy of one's own; embedded parts are each run's own anyway."""
        for name in self.lock_names:
            lock = TargetLock(name, str(self.folder.path))
            lock.acquire()
            self._locks.append(lock)

    def _start_embedded(self) -> None:
        lab.check_lab_is_installed()
        self._add(lab.warehouse(self.folder.path))
        backend_port = self.parts["warehouse"].port.number
        if not self.direct:
            backend = (LOOPBACK, backend_port)
            self._start_toxiproxy()
            assert self._proxies is not None
            backend_port = self._proxies.make(BACKEND_PROXY, Upstream(backend, joined(backend))).port
        self._add(lab.server(self.folder.path, backend_port))
        self._own = (LOOPBACK, self.parts["server"].port.number)
        if not self.direct:
            self._make_proxies()
        self.parts["warehouse"].wait_until_it_answers()
        self.parts["server"].wait_until_it_answers()
        if self.settings.workload is not None or self.settings.auto_workload:
            self._choose_workload()
        if self._defect is Defect.BYPASSES_PROXY:
            way = self.ways[FAULTED_PROXY]
            self.ways[FAULTED_PROXY] = replace(way, proxied=way.direct)

    def _start_stdio(self) -> None:
        settings = self.settings
        part = stdio_server(self.folder.path, settings.dialect, settings.command, settings.start_timeout_s)
        self._add(part)
        part.wait_until_it_answers(self._say_waiting)
        self.settings = replace(self.settings, mcp_url=f"http://{LOOPBACK}:{part.port.number}/mcp")

    def _say_waiting(self, told: str) -> None:
        self.say(f"{told} (MCP_START_TIMEOUT_S)")

    def _add(self, part: Part) -> None:
        self.parts[part.name] = part
        part.start()

    def _check_own_server(self) -> None:
        url = self.settings.mcp_url or ""
        where = urlsplit(url)
        self._own = (where.hostname or "", where.port or (443 if self.settings.tls else 80))
        if self.settings.dialect == AUTO:
            self.settings = replace(self.settings, dialect=find_dialect(url, DEADLINE_S))
        if not self.loaded:
            return
        self._choose_workload()
        self.operation = self.workload.mcp_calls[0]
        check_answers(url, self.settings.dialect, self.operation, DEADLINE_S)
        self._expect_a_text(url)
        hints = self.settings.tool or self.settings.workload or self.settings.auto_workload
        hint = "" if hints else " (set MCP_TOOL for another, or MCP_WORKLOAD for more)"
        self.say(f"The load calls {', '.join(self.workload.calls)} on {self._target_name}{hint}")

    def _expect_a_text(self, url: str) -> None:
        """A call that is answered with a text now has to be answered with one always; an empty answer is no success."""
        if not isinstance(self.operation, ToolCall):
            return
        says = replace(self.operation, says_something=True)
        with suppress(TargetError):
            check_answers(url, self.settings.dialect, says, DEADLINE_S)
            if self.workload.operations == (self.operation,):
                self.workload = Workload.of(says)
            self.operation = says

    def _choose_workload(self) -> None:
        workload = choose_workload(self.settings, self.addresses.own_url, self.say)
        self.workload = self.check_workload(workload)

    def _start_toxiproxy(self) -> None:
        url = self.settings.toxiproxy_url
        if url is None:
            part = toxiproxy_part(toxiproxy_install.ensure(self.say), self.folder.path)
            self._add(part)
            part.wait_until_it_answers()
            url = f"http://{LOOPBACK}:{part.port.number}"
        server, is_own = ToxiproxyServer(url), "toxiproxy" in self.parts
        self.toxiproxy_version = server.version()
        self._proxies = Proxies(self.settings, self.folder, self.clock, server, is_own, self.ways)
        process = {} if is_own else process_of(server)
        self.folder.event(self.clock.now_ns(), "toxiproxy_ready", url=url, embedded=is_own, **process)
        if not is_own:
            self._proxies.take_others()

    def _make_proxies(self) -> None:
        assert self._proxies is not None
        # A status page is asked rather than /health, which may cost the server a query.
        page = "/status" if self.settings.embedded else "/"
        for name in (FAULTED_PROXY, CONTROL_PROXY):
            self._proxies.make(name, Upstream(self._own, self.addresses.host_header, page, self.settings.tls))


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None

"""The server as seen from outside its answers: its process, its own words, and who is served first after a heal."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import psutil

from mcp_chaos.config.credentials import credential_headers
from mcp_chaos.config.tls import context_for
from mcp_chaos.errors import TargetError
from mcp_chaos.history.calls import Lane
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History
from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.exchange import fetch
from mcp_chaos.machine.loopback import is_loopback
from mcp_chaos.observe.self_report import SelfReports
from mcp_chaos.observe.server_monitor import INTERVAL_S, ServerMonitor
from mcp_chaos.observe.server_process import children_of, listening_process, process_of
from mcp_chaos.observe.target import check_answers
from mcp_chaos.observe.transport import server_name
from mcp_chaos.run.environment import Environment
from mcp_chaos.run.fresh_session import FreshSessions
from mcp_chaos.verdict.server import REST, SERVER, server_figures, server_windows
from mcp_chaos.verdict.thresholds import Threshold

REST_S = 10.0
MIN_REST_S = 1.5

_PAGE_S = 2.0
_SESSION_S = 2.0


def server_process(environment: Environment) -> psutil.Process | None:
    """The process of the server; ``None`` where none can be seen from here.

    It is the one that was given by its id, else the one that listens on the server's port, and behind a bridge the one
    that the bridge started.
    """
    target, settings = environment.addresses.own_target, environment.settings
    if not is_loopback(target.connect_host):
        return None
    given = process_of(settings.server_pid) if settings.server_pid is not None else None
    if given is not None:
        return given
    process = listening_process(target.connect_port, target.connect_host)
    if not settings.command or process is None:
        return process
    return next((child for child in children_of(process) if child.ppid() == process.pid), None)


class ServerWatch:
    """What watches the server of one run.

    Args:
        environment: started.
        folder: of the run.
        clock: of the run.
        event: appends to the history.
    """

    def __init__(self, environment: Environment, folder: RunFolder, clock: Clock, event: Callable[..., None]) -> None:
        self._environment = environment
        self._folder = folder
        self._event = event
        self._now_ns = clock.now_ns
        port = environment.addresses.own_target.connect_port
        keep = folder.server_sample
        self._monitor = ServerMonitor(lambda: server_process(environment), port, clock.now_ns, keep)
        self._reports = SelfReports(self._page, clock.now_ns, keep)
        self._fresh = FreshSessions(lambda: folder.recorded, self._open_session, clock.now_ns, event)
        self._is_loaded = False

    def start(self) -> None:
        """Begin to watch. A load without faults is its server's only client, so that nothing is asked meanwhile."""
        self._monitor.start()
        if self._environment.direct or not self._environment.loaded:
            return
        if not self._environment.settings.command:  # whose /health is the bridge's
            self._reports.start()
        self._fresh.start()

    def stop(self) -> None:
        """End it. May be repeated."""
        for part in (self._fresh, self._reports, self._monitor):
            part.stop()

    def look(self) -> ProcessSample | None:
        """What the server's process holds now; ``None`` where it cannot be seen."""
        return self._monitor.look()

    def before_load(self) -> None:
        """Take a last look at the server before the first judged load."""
        if not self._is_loaded:
            self._is_loaded = True
            self.look()
            self._count()

    def rest(self, thresholds: Mapping[str, Any], told_to_end: Callable[[], bool]) -> None:
        """Let the server come to rest, all loads having ended, until it keeps the thresholds of that window.

        Args:
            thresholds: as written in the experiment.
            told_to_end: whether to wait no longer, asked all the time.
        """
        if not self._is_loaded:
            return
        asked = [Threshold.parse(REST, text) for text in thresholds.get(REST, [])]
        self._event("rest_began")
        self._reports.compare(self._serves, told_to_end)
        began_s = time.monotonic()
        is_settled = self.look() is None  # there is nothing to wait for
        while not is_settled and not told_to_end() and time.monotonic() < began_s + REST_S:
            time.sleep(INTERVAL_S)
            self.look()
            is_settled = not asked or (time.monotonic() >= began_s + MIN_REST_S and self._keeps(asked))
        self._count()
        self._event("rest_ended", settled=is_settled)

    def _keeps(self, thresholds: list[Threshold]) -> bool:
        """Whether the server keeps some thresholds as it is now."""
        # From the file, as loads append their own events to it.
        history = History({}, self._folder.readable_events(), {}, process_samples=self._monitor.samples)
        found = server_figures(history, server_windows(history.events, {}, self._now_ns()))
        figures = {window: {SERVER: of} for window, of in found.items()}
        return all(one.judge(figures).outcome in ("met", "not_applicable") for one in thresholds)

    def _count(self) -> None:
        if not self._environment.direct:
            self._reports.count()

    def _page(self, path: str) -> httpx.Response:
        """A page of the server itself."""
        target = self._environment.addresses.own_target
        scheme = "https" if target.tls else "http"
        host = f"[{target.connect_host}]" if ":" in target.connect_host else target.connect_host
        url = f"{scheme}://{host}:{target.connect_port}{path}"
        headers = [("Host", target.host_header), *credential_headers()]
        tls = {"verify": context_for(url)}
        return fetch("GET", url, _PAGE_S, client=tls, headers=headers, extensions=server_name(target.host_header))

    def _serves(self) -> bool:
        try:
            self._open_session(Lane.CONTROL)
        except TargetError:
            return False
        return True

    def _open_session(self, lane: Lane = Lane.FAULTED) -> None:
        environment = self._environment
        check_answers(
            environment.addresses.url(lane),
            environment.settings.dialect,
            environment.operation,
            _SESSION_S,
            environment.addresses.host_header,
        )

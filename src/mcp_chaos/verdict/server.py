"""Pure: from samples of the server's process, and from what it says of itself, to figures per window.

There are two windows more than those of calls::

    before   the quiet time before the first judged load and the first fault
    rest     from the end of all loads, when their sessions are closed, until the server is settled
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mcp_chaos.history.calls import Calls
from mcp_chaos.history.events import Event
from mcp_chaos.history.history import History
from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.verdict.health import HealthLie, health_lies
from mcp_chaos.verdict.judgement import Judgement
from mcp_chaos.verdict.spans import WINDOWS, FaultSpan, Segment

BEFORE = "before"
REST = "rest"
SERVER = "server"
"""What stands before a figure of the server in a threshold, where others have their lane."""

SERVER_WINDOWS = (BEFORE, *WINDOWS, REST)

_BYTES_PER_MB = 1e6
_NS_PER_S = 1_000_000_000
_UNSEEN = "the server's process cannot be seen from here"
_SILENT = "the server has no /health that says how it is"
_ANOTHER = "the server's process was started again in between"


@dataclass(frozen=True)
class ServerFigures:
    """What the server's process and its children held in a window, and whether the server knew how it was.

    ``None`` stands for a figure that was not measured.

    Args:
        fds: open file descriptors at the end of the window, without those of connected clients.
        threads: at the end of the window.
        close_wait: connections in CLOSE_WAIT, whose client has gone, at the end of the window.
        children: processes that it started, at the end of the window.
        rss_mb: memory at the end of the window, in MB (resident set).
        max_fds: the most file descriptors.
        max_threads: the most threads.
        max_rss_mb: the most memory, in MB.
        cpu_fraction: CPU time used per second, 1 for a whole core; in ``rest`` over its last second.
        health_wrong_s: seconds in which ``/health`` said the opposite of what calls found.
        pid: of the process that was seen last.
        process_seen: whether its process could be seen at any time of the run.
        health_seen: whether its ``/health`` said anything at any time of the run.
    """

    fds: int | None = None
    threads: int | None = None
    close_wait: int | None = None
    children: int | None = None
    rss_mb: float | None = None
    max_fds: int | None = None
    max_threads: int | None = None
    max_rss_mb: float | None = None
    cpu_fraction: float | None = None
    health_wrong_s: float | None = None
    pid: int | None = None
    process_seen: bool = False
    health_seen: bool = False

    def as_dict(self) -> dict[str, Any]:
        """All of them by name."""
        return asdict(self)


_NOT_FIGURES = ("pid", "process_seen", "health_seen")
SERVER_FIGURE_NAMES = tuple(name for name in ServerFigures.__dataclass_fields__ if name not in _NOT_FIGURES)
_OF_HEALTH = ("health_wrong_s",)


@dataclass(frozen=True)
class ServerMeasured:
    """What is known of the server besides its answers to calls.

    Args:
        windows: the stretches of time of each of ``SERVER_WINDOWS``.
        figures: of each.
        lies: when its ``/health`` said the opposite of what calls found.
    """

    windows: dict[str, list[Segment]]
    figures: dict[str, ServerFigures]
    lies: list[HealthLie]


def measure_server(
    history: History,
    windows: Mapping[str, list[Segment]],
    calls: Calls,
    faults: Sequence[FaultSpan],
    allowed_s: float,
) -> ServerMeasured:
    """Measure what was seen of the server.

    Args:
        history: of the run.
        windows: of the calls.
        calls: of the judged loads.
        faults: of the run.
        allowed_s: the time that a recovery may take, in which health may lag behind.
    """
    spans = server_windows(history.events, windows)
    lies = health_lies(history.self_reports, calls, spans, faults, allowed_s)
    return ServerMeasured(spans, server_figures(history, spans, lies), lies)


def server_windows(
    events: Sequence[Event], windows: Mapping[str, list[Segment]], now_ns: int | None = None
) -> dict[str, list[Segment]]:
    """The stretches of time of each of ``SERVER_WINDOWS``; empty where there was none.

    Args:
        events: of the run.
        windows: of the calls.
        now_ns: the end of a rest that goes on; without it, the last event.
    """
    result = {BEFORE: [], **{name: list(windows.get(name, [])) for name in WINDOWS}, REST: []}
    begun = [e.at_ns for e in events if e.kind == "fault_injecting" or (e.kind == "load_started" and e.data["judged"])]
    if begun and events[0].at_ns < min(begun):
        result[BEFORE] = [Segment(events[0].at_ns, min(begun))]
    began = next((event.at_ns for event in events if event.kind == "rest_began"), None)
    if began is not None:
        ended = next((event.at_ns for event in events if event.kind == "rest_ended"), now_ns or events[-1].at_ns)
        result[REST] = [Segment(began, ended + 1)]
    return result


def server_figures(
    history: History, spans: Mapping[str, list[Segment]], lies: Sequence[HealthLie] = ()
) -> dict[str, ServerFigures]:
    """The figures of each window."""
    samples = sorted(history.process_samples, key=lambda sample: sample.at_ns)
    says = any(report.healthy is not None for report in history.self_reports)
    return {
        window: _figures(
            [s for s in samples if any(part.start_ns <= s.at_ns < part.end_ns for part in segments)],
            is_rest=window == REST,
            process_seen=bool(samples),
            health_seen=says,
            health_wrong_s=sum(lie.span.seconds for lie in lies if lie.window == window) if says else None,
        )
        for window, segments in spans.items()
    }


def _figures(samples: Sequence[ProcessSample], *, is_rest: bool, **known: Any) -> ServerFigures:
    if not samples:
        return ServerFigures(**known)
    last = samples[-1]
    return ServerFigures(
        fds=last.fds,
        threads=last.threads,
        close_wait=last.close_wait,
        children=last.children,
        rss_mb=last.rss_bytes / _BYTES_PER_MB,
        max_fds=max(sample.fds for sample in samples),
        max_threads=max(sample.threads for sample in samples),
        max_rss_mb=max(sample.rss_bytes for sample in samples) / _BYTES_PER_MB,
        cpu_fraction=_cpu_fraction(samples, over_ns=_NS_PER_S if is_rest else None),
        pid=last.pid,
        **known,
    )


def _cpu_fraction(samples: Sequence[ProcessSample], over_ns: int | None) -> float | None:
    """CPU time per second up to the last sample, over a time at the least, or over all of them."""
    last = samples[-1]
    if over_ns is not None:
        older = [sample for sample in samples if sample.at_ns <= last.at_ns - over_ns]
    else:
        older = [sample for sample in samples[:1] if sample.at_ns < last.at_ns]
    if not older:
        return None
    return max(0.0, last.cpu_s - older[-1].cpu_s) * _NS_PER_S / (last.at_ns - older[-1].at_ns)


def why_not_applicable(places: Sequence[tuple[str, str]], figures: Mapping[str, Mapping[str, Any]]) -> str:
    """Why a threshold says nothing of this server, in words; empty where it does.

    Args:
        places: the windows and names of the server's figures in it.
        figures: by window, then lane, where the server's stand under ``SERVER``.
    """
    found = [(figures[window][SERVER], name) for window, name in places if SERVER in figures.get(window, {})]
    if any(name in _OF_HEALTH and not of.health_seen for of, name in found):
        return _SILENT
    of_process = [of for of, name in found if name not in _OF_HEALTH]
    if any(not of.process_seen for of in of_process):
        return _UNSEEN
    return _ANOTHER if len({of.pid for of in of_process if of.pid is not None}) > 1 else ""


def with_lies(judgement: Judgement, places: Sequence[tuple[str, str]], server: ServerMeasured) -> Judgement:
    """A missed threshold about a server's word on its health, with what it said and what calls found."""
    windows = [window for window, name in places if name in _OF_HEALTH]
    said = [lie.sentence for lie in server.lies if lie.window in windows]
    if judgement.outcome != "missed" or not said:
        return judgement
    return replace(judgement, causes="; ".join(said))

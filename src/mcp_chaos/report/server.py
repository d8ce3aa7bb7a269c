"""Pure: what a page shows of the server besides its answers: its process, its own words, and who was served first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mcp_chaos.history.server_samples import ProcessSample, SelfReport
from mcp_chaos.report.charts import Chart, Trace
from mcp_chaos.report.series import MOST_BUCKETS
from mcp_chaos.verdict.server import ServerFigures, ServerMeasured

_BYTES_PER_MB = 1e6
_NS_PER_S = 1e9
Lines = Mapping[str, Sequence[float | None]]
"""By name, a value for each sample."""

_COLOURS = ("--faulted", "--control", "--r1", "--r3", "--r5", "--r7", "--r9", "--r11")


@dataclass(frozen=True)
class ServerPart:
    """What the page shows of the server.

    Args:
        charts: of its process; empty where that could not be seen.
        windows: a window and its figures, those only in which something was seen.
        counters: of ``/status``: a name, its value before the load and at the end.
        lies: sentences about times in which ``/health`` was wrong.
        words: what ``/health`` said, and how many times.
    """

    charts: list[Chart]
    windows: list[tuple[str, ServerFigures]]
    counters: list[tuple[str, float | None, float | None]]
    lies: list[str]
    words: list[tuple[str, int]]


def server_part(
    samples: Sequence[ProcessSample], reports: Sequence[SelfReport], measured: ServerMeasured | None, start_ns: int
) -> ServerPart:
    """What there is to show.

    Args:
        samples: of the server's process.
        reports: of the server about itself.
        measured: of a run that was judged.
        start_ns: the moment that is 0 s.
    """
    figures = measured.figures if measured else {}
    said = [report.said for report in reports if report.said]
    return ServerPart(
        charts=process_charts(samples, start_ns),
        windows=[(w, of) for w, of in figures.items() if of.pid is not None or of.health_wrong_s],
        counters=_counters([report.counters for report in reports if report.counters]),
        lies=[f"{lie.window}: {lie.sentence}" for lie in measured.lies] if measured else [],
        words=[(words, said.count(words)) for words in dict.fromkeys(said)],
    )


def _counters(found: Sequence[Mapping[str, float]]) -> list[tuple[str, float | None, float | None]]:
    """The first and the last of each."""
    if not found:
        return []
    names = dict.fromkeys(name for counters in (found[0], found[-1]) for name in counters)
    return [(name, found[0].get(name), found[-1].get(name) if len(found) > 1 else None) for name in names]


def process_charts(samples: Iterable[ProcessSample], start_ns: int) -> list[Chart]:
    """The charts of the server's process, of at most so many points as those of calls have."""
    shown = _thinned(sorted((s for s in samples if s.at_ns >= start_ns), key=lambda sample: sample.at_ns))
    if len(shown) < 2:
        return []
    times_s = [round((sample.at_ns - start_ns) / _NS_PER_S, 2) for sample in shown]
    counts: Lines = {
        "file descriptors": [sample.fds for sample in shown],
        "threads": [sample.threads for sample in shown],
        "child processes": [sample.children for sample in shown],
    }
    states = dict.fromkeys(state for sample in shown for state in sample.sockets)
    sockets: Lines = {state: [sample.sockets.get(state, 0) for sample in shown] for state in states}
    memory: Lines = {"memory": [round(sample.rss_bytes / _BYTES_PER_MB, 2) for sample in shown]}
    made: list[tuple[str, str, str, Lines]] = [
        ("server-memory", "Server: memory in MB", "Resident, of its process and its children.", memory),
        ("server-holds", "Server: what it holds", "File descriptors without those of connected clients.", counts),
        (
            "server-sockets",
            "Server: TCP connections",
            "By state. In CLOSE_WAIT are those whose client has gone.",
            sockets,
        ),
        ("server-cpu", "Server: CPU", "Of one core.", {"CPU": _cpu(shown)}),
    ]
    return [
        Chart(name, title, hint, _traces(times_s, lines), {"rangemode": "tozero"} | _axis(name))
        for name, title, hint, lines in made
        if lines
    ]


def _axis(name: str) -> dict[str, Any]:
    return {"tickformat": ".0%"} if name == "server-cpu" else {}


def _thinned(samples: list[ProcessSample]) -> list[ProcessSample]:
    """As many as a chart may have: of each stretch the one that holds most."""
    if len(samples) <= MOST_BUCKETS:
        return samples
    parts = np.array_split(np.arange(len(samples)), MOST_BUCKETS)
    return [max((samples[i] for i in part), key=lambda sample: (sample.fds, sample.rss_bytes)) for part in parts]


def _cpu(samples: Sequence[ProcessSample]) -> list[float | None]:
    used: list[float | None] = [None]
    for earlier, later in pairwise(samples):
        seconds = (later.at_ns - earlier.at_ns) / _NS_PER_S
        used.append(round(max(0.0, later.cpu_s - earlier.cpu_s) / seconds, 4) if seconds > 0 else None)
    return used


def _traces(times_s: list[float], lines: Lines) -> list[Trace]:
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": times_s,
            "y": list(values),
            "line": {"color": _COLOURS[index % len(_COLOURS)], "width": 2},
            "connectgaps": False,
        }
        for index, (name, values) in enumerate(lines.items())
    ]

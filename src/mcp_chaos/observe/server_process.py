"""The process of a server on this machine, found by the port it listens on, and what it holds.

Sources: python-sdk 2958, 1283, 3300 and java-sdk 1021: descriptors, connections in CLOSE_WAIT and sessions that stay.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic, sleep
from typing import Any

import psutil

_POLL_S = 0.25
_BYTES_PER_MB = 1e6


@dataclass(frozen=True)
class ProcessSample:
    """What a process and its children hold at a moment.

    Args:
        pid: of the process.
        rss_bytes: of memory.
        fds: open file descriptors.
        threads: of all of them.
        close_wait: connections whose client has gone and which the server keeps.
    """

    pid: int
    rss_bytes: int
    fds: int
    threads: int
    close_wait: int


def listening_process(port: int) -> psutil.Process | None:
    """The process that listens on a TCP port of this machine; ``None`` where none can be seen.

    Of several, as workers that share a port, the one that all others come from, else none.
    """
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    pids = {c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port and c.pid}
    found = [process for pid in pids if (process := _process(pid)) is not None]
    parents = [process for process in found if pids <= {process.pid, *(child.pid for child in _children(process))}]
    return parents[0] if parents else None


def sample(process: psutil.Process) -> ProcessSample | None:
    """What a process holds; ``None`` when it has gone, or is not to be looked at."""
    try:
        everyone = [process, *_children(process)]
        connections = [c for one in everyone for c in one.net_connections(kind="tcp")]
        return ProcessSample(
            process.pid,
            sum(one.memory_info().rss for one in everyone),
            sum(one.num_fds() for one in everyone),
            sum(one.num_threads() for one in everyone),
            sum(c.status == psutil.CONN_CLOSE_WAIT for c in connections),
        )
    except psutil.Error:
        return None


@dataclass(frozen=True)
class Limits:
    """How much more a server may hold than before. Pools of threads and heaps grow to a bound in sound servers.

    Args:
        fds, threads, close_wait: counts.
        rss_mb: of memory.
    """

    fds: int = 8
    threads: int = 48
    close_wait: int = 2
    rss_mb: float = 256.0

    def exceeded(self, before: ProcessSample, now: ProcessSample) -> list[str]:
        """What is held beyond them, in words."""
        rss_mb = [one.rss_bytes / _BYTES_PER_MB for one in (before, now)]
        found = [
            (now.fds - before.fds, self.fds, f"file descriptors ({before.fds} → {now.fds})"),
            (now.threads - before.threads, self.threads, f"threads ({before.threads} → {now.threads})"),
            (
                now.close_wait - before.close_wait,
                self.close_wait,
                f"connections in CLOSE_WAIT ({before.close_wait} → {now.close_wait})",
            ),
            (rss_mb[1] - rss_mb[0], self.rss_mb, f"MB of memory ({rss_mb[0]:.0f} → {rss_mb[1]:.0f})"),
        ]
        return [f"{more:.0f} more {what}" for more, limit, what in found if more > limit]


def given_back(
    before: ProcessSample, take: Callable[[], ProcessSample | None], limits: Limits, settle_s: float
) -> dict[str, Any]:
    """Wait until a server holds no more than before, at most ``settle_s``.

    Returns:
        ``before`` and ``now``, and ``why``: what it still holds; empty when nothing.
    """
    until = monotonic() + settle_s
    while True:
        now = take()
        if now is None:
            return {"before": asdict(before), "now": None, "why": "the server's process has ended"}
        if now.pid != before.pid:
            return {"before": asdict(before), "now": asdict(now), "why": ""}
        more = limits.exceeded(before, now)
        if not more or monotonic() > until:
            why = f"{settle_s:g} s after its clients had gone, the server holds {', '.join(more)} than before"
            return {"before": asdict(before), "now": asdict(now), "why": why if more else ""}
        sleep(_POLL_S)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []

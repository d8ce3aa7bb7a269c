"""The process of a server on this machine, found by the port it listens on, and what it holds.

Sources: python-sdk 2958, 1283, 3300 and java-sdk 1021: descriptors, connections in CLOSE_WAIT and sessions that stay.
"""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic, sleep
from typing import Any

import psutil

_POLL_S = 0.25
_BYTES_PER_MB = 1e6
_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # listened on by the server, not by us


@dataclass(frozen=True)
class ProcessSample:
    """What a process and its children hold at a moment.

    Args:
        pid: of the process.
        rss_bytes: of memory.
        fds: open file descriptors, without those of clients that are connected.
        threads: of all of them.
        close_wait: connections whose client has gone and which the server keeps.
        cpu_s: CPU time used so far.
    """

    pid: int
    rss_bytes: int
    fds: int
    threads: int
    close_wait: int
    cpu_s: float = 0.0


def listening_process(port: int, host: str = "127.0.0.1") -> psutil.Process | None:
    """The process that listens on a TCP port of this machine; ``None`` where none can be seen, or where it is this one.

    Of several, as workers that share a port, the one that all others come from, else none.
    """
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    pids = {c.pid for c in connections if c.status == psutil.CONN_LISTEN and _is_at(c.laddr, port, host) and c.pid}
    found = [process for pid in pids - {os.getpid()} if (process := _process(pid)) is not None]
    parents = [process for process in found if pids <= {process.pid, *(child.pid for child in _children(process))}]
    return parents[0] if parents else None


def _is_at(address: Any, port: int, host: str) -> bool:
    return bool(address) and address.port == port and (host == "localhost" or address.ip in (host, *_EVERY_ADDRESS))


def sample(process: psutil.Process, port: int) -> ProcessSample | None:
    """What a process and its children hold; ``None`` when it has gone, or is not to be looked at.

    Args:
        process: of the server.
        port: that it listens on: connections of clients that are still there are not held against it.
    """
    own = _holds(process, port)
    if own is None:
        return None
    everyone = [own, *filter(None, (_holds(child, port) for child in _children(process)))]
    return ProcessSample(process.pid, *(sum(column) for column in zip(*everyone, strict=True)))


def _holds(process: psutil.Process, port: int) -> tuple[int, int, int, int, float] | None:
    """Memory, descriptors without those of clients, threads, CLOSE_WAIT, CPU of a process; ``None`` when it is gone."""
    try:
        with process.oneshot():
            connections = process.net_connections(kind="tcp")
            clients = sum(
                c.status == psutil.CONN_ESTABLISHED and bool(c.laddr) and c.laddr.port == port for c in connections
            )
            left = sum(c.status == psutil.CONN_CLOSE_WAIT for c in connections)
            cpu_s = sum(process.cpu_times()[:2])
            return process.memory_info().rss, process.num_fds() - clients, process.num_threads(), left, cpu_s
    except psutil.Error:
        return None


@dataclass(frozen=True)
class Limits:
    """How much more a server may hold than before. Pools of threads and heaps grow to a bound in sound servers.

    Args:
        fds, threads, close_wait: counts.
        rss_mb: of memory.
        cpu_fraction: of one core that may be in use though nobody asks for anything.
    """

    fds: int = 8
    threads: int = 48
    close_wait: int = 2
    rss_mb: float = 256.0
    cpu_fraction: float = 0.15

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


class _Busy:
    """How much CPU a process uses: a sample is compared with one that is a second older."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []

    def fraction(self, now: ProcessSample) -> float | None:
        """Of one core; ``None`` until a second has passed."""
        at = monotonic()
        self._samples.append((at, now.cpu_s))
        older = [sample for sample in self._samples if sample[0] <= at - 1]
        return (now.cpu_s - older[-1][1]) / (at - older[-1][0]) if older else None


def given_back(
    before: ProcessSample, take: Callable[[], ProcessSample | None], limits: Limits, settle_s: float
) -> dict[str, Any]:
    """Wait until a server holds no more than before and is at rest, at most ``settle_s``.

    Returns:
        ``before`` and ``now``, and ``why``: what it still holds; empty when nothing.
    """
    until, busy = monotonic() + settle_s, _Busy()
    while True:
        now = take()
        same = now is not None and now.pid == before.pid  # else it was started again, and begins anew
        used = busy.fraction(now) if now is not None and same else None
        held = _held(before, now, used, limits) if now is not None and same else []
        settled = now is not None and not held and (used is not None or not same)
        if settled or monotonic() > until:
            why = f"{settle_s:g} s after its clients had gone, the server {' and '.join(held)}" if held else ""
            why = why if now is not None else "the server's process has ended"
            return {"before": asdict(before), "now": asdict(now) if now else None, "why": why}
        sleep(_POLL_S)


def _held(before: ProcessSample, now: ProcessSample, used: float | None, limits: Limits) -> list[str]:
    """What a server still does or holds, in words."""
    more = limits.exceeded(before, now)
    held = [f"holds {', '.join(more)} than before"] if more else []
    if used is not None and used > limits.cpu_fraction:
        held.append(f"uses {used:.0%} of a core though nobody asks for anything")
    return held


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

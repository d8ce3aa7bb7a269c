"""The process of a server on this machine, found by the port it listens on, and what it holds.

Sources: python-sdk 2958, 1283, 3300 and java-sdk 1021: descriptors, connections in CLOSE_WAIT and sessions that stay.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.observe.connections import Connections, connections_of

_EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # listened on by the server, not by us


def listening_process(port: int, host: str = "127.0.0.1") -> psutil.Process | None:
    """The process that listens on a TCP port of this machine; ``None`` where none can be seen, or where it is this one.

    Of several, as workers that share a port, the one that all others come from, else none.
    """
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    pids = {c.pid for c in connections if c.status == psutil.CONN_LISTEN and _is_at(c.laddr, port, host) and c.pid}
    found = [process for pid in pids - {os.getpid()} if (process := process_of(pid)) is not None]
    parents = [process for process in found if pids <= {process.pid, *(child.pid for child in children_of(process))}]
    return parents[0] if parents else None


def process_of(pid: int) -> psutil.Process | None:
    """The process of an id; ``None`` when there is none."""
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes that a process started, and those that they did."""
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _is_at(address: Any, port: int, host: str) -> bool:
    return bool(address) and address.port == port and (host == "localhost" or address.ip in (host, *_EVERY_ADDRESS))


@dataclass(frozen=True)
class Holding:
    """What one process holds; see ``ProcessSample``."""

    pid: int
    rss_bytes: int
    fds: int
    threads: int
    cpu_s: float
    sockets: Counter[str]


def sample(process: psutil.Process, port: int) -> ProcessSample | None:
    """What a process and its children hold; ``None`` when it has gone, or is not to be looked at.

    Args:
        process: of the server.
        port: that it listens on: connections of clients that are still there are not held against it.
    """
    everyone = [process, *children_of(process)]
    found = holdings(everyone, connections_of(everyone, port))
    return summed(found) if found else None


def holdings(processes: Sequence[psutil.Process], connections: Mapping[int, Connections]) -> list[Holding]:
    """What a process and its children hold; empty when it has gone. Children that have are left out.

    Args:
        processes: it first.
        connections: of each, by its id.
    """
    own, *children = (_holding(process, connections.get(process.pid, Connections())) for process in processes)
    return [] if own is None else [own, *(child for child in children if child is not None)]


def summed(found: Sequence[Holding]) -> ProcessSample:
    """What processes hold together, under the id of the first."""
    sockets: Counter[str] = sum((one.sockets for one in found), Counter())
    return ProcessSample(
        pid=found[0].pid,
        rss_bytes=sum(one.rss_bytes for one in found),
        fds=sum(one.fds for one in found),
        threads=sum(one.threads for one in found),
        close_wait=sockets[psutil.CONN_CLOSE_WAIT],
        cpu_s=sum(one.cpu_s for one in found),
        children=len(found) - 1,
        sockets=dict(sockets),
    )


def _holding(process: psutil.Process, connections: Connections) -> Holding | None:
    try:
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return Holding(
                pid=process.pid,
                rss_bytes=process.memory_info().rss,
                fds=process.num_fds() - connections.clients,
                threads=process.num_threads(),
                cpu_s=sum(process.cpu_times()[:2]),
                sockets=connections.by_state,
            )
    except psutil.Error:
        return None

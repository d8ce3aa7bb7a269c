"""The TCP connections of some processes by state, read once for all of them.

psutil reads and parses the system's whole table for each process, which costs too much to be done twice a second beside
a load; so on Linux the table is read once here, and psutil does it elsewhere.
Source: proc_pid_net(5), ``/proc/PID/net/tcp``: local address, state in hexadecimal, inode; proc_pid_fd(5).
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_STATES = {
    b"01": psutil.CONN_ESTABLISHED,
    b"02": psutil.CONN_SYN_SENT,
    b"03": psutil.CONN_SYN_RECV,
    b"04": psutil.CONN_FIN_WAIT1,
    b"05": psutil.CONN_FIN_WAIT2,
    b"07": psutil.CONN_CLOSE,
    b"08": psutil.CONN_CLOSE_WAIT,
    b"09": psutil.CONN_LAST_ACK,
    b"0A": psutil.CONN_LISTEN,
    b"0B": psutil.CONN_CLOSING,
}
"""Without TIME_WAIT, in which a connection belongs to no process any more."""

_LOCAL, _STATE, _INODE = 1, 3, 9
_SOCKET = "socket:["


@dataclass(frozen=True)
class Connections:
    """Those of one process.

    Args:
        by_state: how many are in each state.
        clients: of them, those of clients of the server's port that are still there.
    """

    by_state: Counter[str] = field(default_factory=Counter)
    clients: int = 0


def connections_of(processes: Sequence[psutil.Process], port: int) -> dict[int, Connections]:
    """The connections of each process by its id; none of one that has gone or is not to be looked at.

    Args:
        processes: the server's first; they share its network.
        port: that the server listens on.
    """
    if not psutil.LINUX:
        return {process.pid: _counted(_by_psutil(process), port) for process in processes}
    inodes = {process.pid: set(_socket_inodes(process.pid)) for process in processes}
    table = _table(processes[0].pid) if any(inodes.values()) else {}
    return {pid: _counted((table[one] for one in mine if one in table), port) for pid, mine in inodes.items()}


def _counted(found: Iterable[tuple[str, int]], port: int) -> Connections:
    """States and local ports as the connections of a process."""
    known = list(found)
    clients = sum(state == psutil.CONN_ESTABLISHED and local == port for state, local in known)
    return Connections(Counter(state for state, _ in known), clients)


def _by_psutil(process: psutil.Process) -> Iterator[tuple[str, int]]:
    with suppress(psutil.Error):
        for one in process.net_connections(kind="tcp"):
            yield str(one.status), one.laddr.port if one.laddr else 0


def _socket_inodes(pid: int) -> Iterator[bytes]:
    folder = f"/proc/{pid}/fd"
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):  # it was closed meanwhile
                target = os.readlink(f"{folder}/{name}")
                if target.startswith(_SOCKET):
                    yield target[len(_SOCKET) : -1].encode()


def _table(pid: int) -> Mapping[bytes, tuple[str, int]]:
    """By inode, the state and the local port of each connection in the network of a process."""
    found: dict[bytes, tuple[str, int]] = {}
    for name in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{name}").read_bytes().splitlines()[1:]:
                fields = line.split(None, _INODE + 1)
                if len(fields) > _INODE and fields[_STATE] in _STATES:
                    local_port = int(fields[_LOCAL].rpartition(b":")[2], 16)
                    found[fields[_INODE]] = _STATES[fields[_STATE]], local_port
    return found

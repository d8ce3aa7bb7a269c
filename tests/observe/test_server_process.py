"""What a server's process holds: found by its port, compared with before; real processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.observe.connections import connections_of
from mcp_chaos.observe.server_monitor import INTERVAL_S, ServerMonitor
from mcp_chaos.observe.server_process import children_of, listening_process, process_of, sample

SERVER = """
import signal, socket, subprocess, sys
keeps = sys.argv[1] == "keeps"
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
kept = []
while True:
    connection, _ = listening.accept()
    connection.recv(1)
    if sys.argv[1] == "forks":
        kept.append(subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE))
    if sys.argv[1] == "burns":
        burning = subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"])
        signal.signal(signal.SIGUSR1, lambda *_: (burning.kill(), burning.wait()))
        kept.append(burning)
    if keeps:
        kept.append(connection)  # its client has gone, and it is never closed
    else:
        connection.close()
"""


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def server(kind: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen([sys.executable, "-c", SERVER, kind], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            found = process_of(process.pid)
            for child in children_of(found) if found else ():
                child.kill()
            process.kill()


def visit(port: int, times: int) -> None:
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"x")


def looked_at(process: subprocess.Popen[str], port: int) -> ProcessSample:
    found = listening_process(port)
    assert found is not None
    assert found.pid == process.pid
    now = sample(found, port)
    assert now is not None
    return now


def test_connections_that_a_server_keeps_are_seen() -> None:
    with server("keeps") as (process, port):
        before = looked_at(process, port)
        visit(port, 20)
        wait_until(lambda: looked_at(process, port).fds == before.fds + 20)
        after = looked_at(process, port)
    assert (before.close_wait, after.close_wait) == (0, 20)
    assert after.sockets == {"LISTEN": 1, "CLOSE_WAIT": 20}


def test_a_server_that_closes_holds_what_it_held() -> None:
    with server("closes") as (process, port):
        before = looked_at(process, port)
        visit(port, 20)
        wait_until(lambda: looked_at(process, port).fds == before.fds)


def test_clients_that_are_still_connected_are_not_held_against_a_server() -> None:
    with server("holds") as (process, port):
        before = looked_at(process, port)
        with socket.create_connection(("127.0.0.1", port)):
            wait_until(lambda: looked_at(process, port).sockets.get("ESTABLISHED") == 1)
            assert looked_at(process, port).fds == before.fds


def test_connections_are_those_that_psutil_finds() -> None:
    with server("keeps") as (process, port):
        visit(port, 5)
        with socket.create_connection(("127.0.0.1", port)):
            found = psutil.Process(process.pid)
            wait_until(lambda: len(found.net_connections(kind="tcp")) == 7)
            usual = Counter(str(one.status) for one in found.net_connections(kind="tcp"))
            mine = connections_of([found], port)[process.pid]
            assert mine.by_state == usual
            assert mine.clients == 1


def test_children_are_counted_with_what_they_hold() -> None:
    with server("forks") as (process, port):
        visit(port, 1)
        wait_until(lambda: looked_at(process, port).children == 1)


def test_a_port_that_nobody_listens_on_has_no_process() -> None:
    assert listening_process(1) is None
    assert sample_of_a_dead_process() is None


def test_a_server_in_this_process_is_not_looked_at() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert listening_process(listening.getsockname()[1]) is None


def monitor(find: Callable[[], psutil.Process | None], port: int) -> tuple[ServerMonitor, list[ProcessSample]]:
    kept: list[ProcessSample] = []
    return ServerMonitor(find, port, time.monotonic_ns, kept.append), kept


def test_a_monitor_goes_on_with_the_next_process_of_a_server() -> None:
    with server("closes") as (first, port), server("closes") as (second, _):
        pids = iter([first.pid, second.pid])
        made, kept = monitor(lambda: psutil.Process(next(pids)), port)
        made.look()
        first.kill()
        first.wait()
        assert made.look() is None
        made.look()
        assert [sample.pid for sample in kept] == [first.pid, second.pid]
        assert kept == made.samples


def test_a_monitor_looks_again_and_again_until_it_is_stopped() -> None:
    with server("closes") as (process, port):
        made, kept = monitor(lambda: psutil.Process(process.pid), port)
        made.start()
        wait_until(lambda: len(kept) >= 2)
        made.stop()
    assert kept[1].at_ns - kept[0].at_ns >= 0.9 * INTERVAL_S * 1e9


def test_what_a_child_has_used_does_not_go_away_with_it() -> None:
    with server("burns") as (process, port):
        made, _ = monitor(lambda: psutil.Process(process.pid), port)
        first = made.look()
        visit(port, 1)  # it starts a child, which uses CPU time and ends when its client has gone

        def used_s() -> float:
            now = made.look()
            assert first is not None
            assert now is not None
            return now.cpu_s - first.cpu_s

        wait_until(lambda: used_s() > 0.05)
        before = used_s()
        process.send_signal(signal.SIGUSR1)  # which ends the child
        wait_until(lambda: looked_at(process, port).children == 0)
        assert used_s() >= before


def sample_of_a_dead_process() -> ProcessSample | None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        found = psutil.Process(process.pid)
    assert process.pid != os.getpid()
    return sample(found, 1)

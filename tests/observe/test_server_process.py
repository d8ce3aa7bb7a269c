"""What a server's process holds: found by its port, compared with before; real processes."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest

from mcp_chaos.observe.server_process import Limits, ProcessSample, given_back, listening_process, sample

SERVER = """
import os, socket, sys
keeps = sys.argv[1] == "keeps"
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
kept = []
while True:
    connection, _ = listening.accept()
    connection.recv(1)
    while sys.argv[1] == "spins":
        pass
    if keeps:
        kept.append(connection)  # its client has gone, and it is never closed
    else:
        connection.close()
"""
SAMPLE = ProcessSample(1, 50_000_000, 10, 4, 0)


@contextmanager
def server(kind: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    with subprocess.Popen([sys.executable, "-c", SERVER, kind], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def visit(port: int, times: int) -> None:
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"x")


def check(process: subprocess.Popen[str], port: int, settle_s: float) -> str:
    found = listening_process(port)
    assert found is not None
    assert found.pid == process.pid
    before = sample(found, port)
    assert before is not None
    visit(port, 20)
    return str(given_back(before, lambda: sample(found, port), Limits(), settle_s)["why"])


def test_connections_that_a_server_keeps_are_told_with_numbers() -> None:
    with server("keeps") as (process, port):
        why = check(process, port, 1.0)
    assert "20 more file descriptors" in why
    assert "20 more connections in CLOSE_WAIT (0 → 20)" in why


def test_its_sound_twin_passes_ten_times() -> None:
    with server("closes") as (process, port):
        for _ in range(10):
            assert check(process, port, 10.0) == ""


def test_a_server_that_ended_is_told_and_one_that_was_restarted_begins_anew() -> None:
    assert given_back(SAMPLE, lambda: None, Limits(), 0)["why"] == "the server's process has ended"
    assert given_back(SAMPLE, lambda: replace(SAMPLE, pid=2, fds=900), Limits(), 0)["why"] == ""


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"threads": 60}, "56 more threads (4 → 60)"),
        ({"rss_bytes": 400_000_000}, "350 more MB of memory (50 → 400)"),
        ({"threads": 40, "rss_bytes": 200_000_000}, ""),
    ],
)
def test_pools_and_heaps_may_grow_to_a_bound(more: dict[str, int], said: str) -> None:
    why = given_back(SAMPLE, lambda: replace(SAMPLE, **more), Limits(), 0)["why"]
    assert (said in why) if said else (why == "")


def test_a_loop_that_never_rests_is_told() -> None:
    with server("spins") as (process, port):
        why = check(process, port, 3.0)
    assert "of a core though nobody asks for anything" in why


def test_a_port_that_nobody_listens_on_has_no_process() -> None:
    assert listening_process(1) is None
    assert sample_of_a_dead_process() is None


def test_a_server_that_is_back_before_the_time_is_over_begins_anew() -> None:
    looks = iter([None, None, replace(SAMPLE, pid=2)])
    assert given_back(SAMPLE, lambda: next(looks), Limits(), 30)["why"] == ""


def test_clients_that_are_still_connected_are_not_held_against_a_server() -> None:
    with server("closes") as (process, port):
        found = listening_process(port)
        assert found is not None
        before = sample(found, port)
        assert before is not None
        with socket.create_connection(("127.0.0.1", port)):
            assert given_back(before, lambda: sample(found, port), Limits(fds=0), 10)["why"] == ""
        assert process.poll() is None


def test_a_server_in_this_process_is_not_looked_at() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert listening_process(listening.getsockname()[1]) is None


def sample_of_a_dead_process() -> ProcessSample | None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        found = psutil.Process(process.pid)
    assert process.pid != os.getpid()
    return sample(found, 1)

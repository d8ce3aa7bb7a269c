"""Which process is a server's: the one on its port, the one that was given, the one behind a bridge."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mcp_chaos.run.environment import Environment
from mcp_chaos.run.server_watch import server_process

BRIDGE = """
import socket, subprocess, sys
listening = socket.create_server(("127.0.0.1", 0))
child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
print(listening.getsockname()[1], child.pid, flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Listening:
    """A process that listens and has a child."""

    pid: int
    port: int
    child_pid: int

    def seen(self, host: str = "127.0.0.1", **settings: Any) -> int | None:
        """The server's process, where the run has such settings."""
        target = SimpleNamespace(connect_host=host, connect_port=self.port)
        given = SimpleNamespace(**{"server_pid": None, "command": (), **settings})
        found = server_process(
            cast(Environment, SimpleNamespace(addresses=SimpleNamespace(own_target=target), settings=given))
        )
        return found.pid if found is not None else None


@pytest.fixture(scope="module")
def listening() -> Iterator[Listening]:
    command = [sys.executable, "-c", BRIDGE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port, child_pid = map(int, process.stdout.readline().split())
        yield Listening(process.pid, port, child_pid)
        process.kill()


def test_the_process_on_the_port_is_the_server(listening: Listening) -> None:
    assert listening.seen() == listening.pid


def test_a_process_that_was_given_is_the_server(listening: Listening) -> None:
    assert listening.seen(server_pid=listening.child_pid) == listening.child_pid


def test_behind_a_bridge_the_server_is_what_it_started(listening: Listening) -> None:
    assert listening.seen(command=("some-server",)) == listening.child_pid


def test_a_server_elsewhere_is_not_seen(listening: Listening) -> None:
    assert listening.seen(host="server.example", server_pid=os.getpid()) is None

"""Ports that are a part's own."""

import socket

import pytest

from mcp_chaos.machine.parts import ReservedPort


def test_a_reserved_port_refuses_clients_and_lets_its_owner_listen() -> None:
    port = ReservedPort()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port.number), timeout=1)
    with socket.create_server(("127.0.0.1", port.number)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()
    port.release()

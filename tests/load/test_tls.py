"""The engine over TLS: certificates are checked for the server's own name, behind a proxy too."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trustme

from mcp_chaos.load.engine import Engine
from mcp_chaos.load.shape import Burst, Step
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.load.workload import Workload
from mcp_chaos.mcp import Operation
from mcp_chaos.records import CALL, Clock, Outcome, Reason
from tests.conftest import Handler, serving
from tests.load.servers import well


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def secured(authority: trustme.CA) -> Callable[[Handler], Handler]:
    """A handler over TLS, as the server of mcp.test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mcp.test").configure_cert(context)

    def secure(handler: Handler) -> Handler:
        def handle(conn: socket.socket) -> None:
            with context.wrap_socket(conn, server_side=True) as wrapped:
                handler(wrapped)

        return handle

    return secure


def reasons(port: int, host: str, ca_file: Path | None) -> set[tuple[Reason, Outcome]]:
    target = Target("127.0.0.1", port, host, "/mcp", "jsonrpc", tls=True, ca_file=str(ca_file) if ca_file else None)
    spec = LoadSpec("test", target, Burst(), Workload.of(Operation("list_databases")), 5.0, seed=1)
    records: list[bytes] = []

    async def main() -> None:
        engine = Engine(spec, Clock.start(), records.append)
        async with asyncio.timeout(20):
            await engine.run_step(Step(2, 10))
            await engine.close()

    asyncio.run(main())
    calls = np.frombuffer(b"".join(records), dtype=CALL)
    assert len(calls) == 10
    return {(Reason(call["reason"]), Outcome(call["outcome"])) for call in calls}


@pytest.mark.parametrize("host", ["mcp.test", "mcp.test:8443"])
def test_a_server_is_known_by_its_own_name(secured: Callable[[Handler], Handler], ca_file: Path, host: str) -> None:
    with serving(secured(well())) as server:
        assert reasons(server.port, host, ca_file) == {(Reason.OK, Outcome.OK)}


@pytest.mark.parametrize(("host", "trusted"), [("other.test", True), ("mcp.test", False)])
def test_a_certificate_of_another_name_or_of_nobody_known_is_refused(
    secured: Callable[[Handler], Handler], ca_file: Path, host: str, trusted: bool
) -> None:
    with serving(secured(well())) as server:
        found = reasons(server.port, host, ca_file if trusted else None)
    assert found == {(Reason.REFUSED, Outcome.FAIL)}


def test_a_server_without_tls_is_no_tls_server(ca_file: Path) -> None:
    def plain(conn: socket.socket) -> None:
        conn.recv(65536)
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with serving(plain) as server:
        assert {outcome for _, outcome in reasons(server.port, "mcp.test", ca_file)} == {Outcome.FAIL}

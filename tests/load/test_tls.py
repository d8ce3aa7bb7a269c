"""The engine over TLS: certificates are checked for the server's own name, behind a proxy too."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trustme

from mcp_chaos.config.tls import CA_FILE, ca_problems
from mcp_chaos.history.calls import CALL, Outcome, Reason
from mcp_chaos.load.engine import Engine
from mcp_chaos.load.shape import Step
from mcp_chaos.load.shapes import Burst
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.clock import Clock
from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.workload import Workload
from tests.conftest import Handler, serving
from tests.servers import well


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def trusted(ca_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CA_FILE, str(ca_file))


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


def reasons(port: int, host: str) -> set[tuple[Reason, Outcome]]:
    target = Target("127.0.0.1", port, host, "/mcp", "jsonrpc", tls=True)
    spec = LoadSpec("test", target, Burst(), Workload.of(ToolCall("list_databases")), 5.0, seed=1)
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
@pytest.mark.usefixtures("trusted")
def test_a_server_is_known_by_its_own_name(secured: Callable[[Handler], Handler], host: str) -> None:
    with serving(secured(well())) as server:
        assert reasons(server.port, host) == {(Reason.OK, Outcome.OK)}


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_is_refused(secured: Callable[[Handler], Handler]) -> None:
    with serving(secured(well())) as server:
        assert reasons(server.port, "other.test") == {(Reason.REFUSED, Outcome.FAIL)}


def test_a_certificate_of_nobody_known_is_refused(secured: Callable[[Handler], Handler]) -> None:
    with serving(secured(well())) as server:
        assert reasons(server.port, "mcp.test") == {(Reason.REFUSED, Outcome.FAIL)}


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "cannot be read"), ("this is no certificate", "holds no certificates")]
)
def test_a_file_without_authorities_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(CA_FILE, str(path))
    (told,) = ca_problems()
    assert problem in told


@pytest.mark.usefixtures("trusted")
def test_a_server_without_tls_is_no_tls_server() -> None:
    def plain(conn: socket.socket) -> None:
        conn.recv(65536)
        conn.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with serving(plain) as server:
        assert {outcome for _, outcome in reasons(server.port, "mcp.test")} == {Outcome.FAIL}

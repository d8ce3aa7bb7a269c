"""A server behind TLS and a token: it can be the target, and the token is in nothing that is kept."""

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from mcp_chaos.history.calls import Reason
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.machine.processes import Child
from tests.conftest import answer_always, serving
from tests.e2e.conftest import Chaos, activity, short_experiment
from tests.servers import http

TOKEN = "s3cret-of-the-test-9f2c"

SERVER = f"""
import sys
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from starlette.responses import JSONResponse
import uvicorn
server = MCPServer("protected")
async def now() -> str: return "now"
server.add_tool(now, annotations=ToolAnnotations(read_only_hint=True))
app = server.streamable_http_app()
async def guarded(scope, receive, send):
    given = dict(scope.get("headers") or ())
    if scope["type"] == "http" and given.get(b"authorization") != b"Bearer {TOKEN}":
        text = "wrong token " + given.get(b"authorization", b"none").decode()
        error = {{"jsonrpc": "2.0", "id": None, "error": {{"code": -32000, "message": text}}}}
        await JSONResponse(error, status_code=401)(scope, receive, send)
    else:
        await app(scope, receive, send)
uvicorn.run(guarded, port=int(sys.argv[1]), log_level="error", ssl_certfile=sys.argv[2], ssl_keyfile=sys.argv[2])
"""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The authority's file, and the server's with its key."""
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(server_file))
    return ca_file, server_file


@pytest.fixture
def url(tmp_path: Path, certificates: tuple[Path, Path]) -> Iterator[str]:
    port = ReservedPort()
    child = Child(
        "protected", [sys.executable, "-c", SERVER, str(port.number), str(certificates[1])], tmp_path / "log", "x"
    )
    child.start()

    def listens() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port.number)) == 0

    child.wait_until(listens, 20)
    yield f"https://localhost:{port.number}/mcp"
    child.stop()
    port.release()


@pytest.mark.e2e
@pytest.mark.parametrize("dialect", ["modern", "streamable"])
def test_a_protected_server_is_broken_and_judged_like_any_other(
    chaos: Chaos, url: str, certificates: tuple[Path, Path], dialect: str
) -> None:
    experiment = short_experiment(activity("burst", "mcp_chaos.probes", requests=5, concurrency=2))
    env = {"MCP_URL": url, "MCP_CA_FILE": str(certificates[0]), "MCP_TOKEN": TOKEN, "MCP_DIALECT": dialect}
    result = chaos.run(experiment, **env)
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output
    assert set(result.folder.calls("load")["reason"]) == {Reason.OK}
    assert TOKEN not in result.output
    for path in result.folder.path.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    assert TOKEN not in (chaos.folder / "journal.json").read_text()


@pytest.mark.e2e
def test_a_token_is_got_by_client_credentials_and_kept_nowhere(
    chaos: Chaos, url: str, certificates: tuple[Path, Path]
) -> None:
    secret = "client-s3cret-41d0"  # of a server of this test
    answer = http(json.dumps({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 60}).encode())
    with serving(answer_always(answer)) as authority:
        env = {"MCP_OAUTH_TOKEN_URL": f"http://127.0.0.1:{authority.port}/token", "MCP_OAUTH_CLIENT_ID": "chaos"}
        env |= {"MCP_OAUTH_CLIENT_SECRET": secret, "MCP_URL": url, "MCP_CA_FILE": str(certificates[0])}
        result = chaos.run(short_experiment(), **env)
        assert authority.connections >= 2  # each process gets its own
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output
    kept = [path for path in chaos.folder.rglob("*") if path.is_file() and path.name != "experiment.json"]
    assert [path for path in kept if TOKEN.encode() in path.read_bytes() or secret.encode() in path.read_bytes()] == []
    assert TOKEN not in result.output
    assert secret not in result.output


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"MCP_TOKEN": f"{TOKEN}-old"}, "HTTP 401: wrong token Bearer [redacted]"),
        ({"MCP_TOKEN": TOKEN, "MCP_CA_FILE": ""}, "name its certificate, or that of its authority, in MCP_CA_FILE"),
        ({"MCP_HEADERS": json.dumps({"Host": TOKEN})}, "Host is made by the protocol"),
    ],
)
def test_what_keeps_it_from_being_a_target_is_told_without_the_secret(
    chaos: Chaos, url: str, certificates: tuple[Path, Path], env: dict[str, str], said: str
) -> None:
    result = chaos.run(short_experiment(), **{"MCP_URL": url, "MCP_CA_FILE": str(certificates[0]), **env})
    assert result.exit_code == 1
    assert said in result.output
    assert TOKEN not in result.output

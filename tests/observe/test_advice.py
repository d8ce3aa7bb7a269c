"""Each bad first answer is named for what it is, with what to do: from small real servers that give it."""

import contextlib
import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from mcp_chaos.config.credentials import VARIABLES
from mcp_chaos.errors import TargetError
from mcp_chaos.mcp import ToolCall
from mcp_chaos.observe.advice import network_advice, shown
from mcp_chaos.observe.era import find_dialect
from mcp_chaos.observe.target import check_answers, list_tools
from tests.conftest import Handler, answer_always, serving
from tests.servers import answering, http, result_for


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "MCP_CA_FILE"):
        monkeypatch.delenv(name, raising=False)


EXPIRED = 'WWW-Authenticate: Bearer error="invalid_token", error_description="The token expired"\r\n'


@pytest.mark.parametrize(
    ("answer", "token", "said"),
    [
        (
            http(b"", status="307 Moved", extra="Location: /other/mcp\r\n"),
            "",
            r"it redirects to http://127\.0\.0\.1:\d+/other/mcp, which is not followed: .*; set MCP_URL to it",
        ),
        (http(b"", status="401 No"), "", "it wants credentials; give them in MCP_TOKEN, MCP_TOKEN_FILE or MCP_HEADERS"),
        (
            http(b"", status="401 No", extra=EXPIRED),
            "old-token",
            "accept the token it was sent: The token expired; a token",
        ),
        (http(b"", status="403 No"), "", r"it knows who asks and refuses; see that the credentials have the rights"),
        (http(b"", status="404 No"), "", "there is no MCP endpoint at this path; common ones are /mcp and /sse"),
        (http(b"", status="405 No"), "", "it takes no POST here; is MCP_URL its MCP endpoint"),
        (http(b"", status="406 No"), "", "it sends neither JSON nor an event stream"),
        (http(b"", status="415 No"), "", "it does not take JSON"),
        (
            http(b"Invalid Host header", status="421 Misdirected", kind="text/plain"),
            "",
            r"its Host check does not know the name 127\.0\.0\.1:\d+; use in MCP_URL the name that its own clients use",
        ),
        (http(b"", status="429 Slow"), "", "it limits the rate of its clients"),
        (http(b"<html>", status="429 Slow", kind="text/html"), "", "it limits the rate of its clients"),
        (http(b"", status="500 Oops"), "", "the server has an error of its own; its log says which"),
        (http(b"<html>", status="502 Bad", kind="text/html"), "", "a gateway answered in the place of the server"),
        (
            http(b"<html>", status="503 Busy", kind="text/html"),
            "",
            "or a gateway before it, says that it cannot",
        ),
        (http(b"", status="504 Late"), "", "too slow for it"),
        (http(b"<html>", kind="text/html"), "", "it answered text/html, which is not MCP; is this the server's MCP"),
        (http(b"hello", kind="text/plain"), "", "it answered text/plain, which is not MCP"),
        (http(b"[1]"), "", "what it answered is no JSON-RPC"),
        (
            b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64",
            "",
            "it answers in HTTP/2 only, and this speaks HTTP/1.1; let it",
        ),
        (b"SSH-2.0-OpenSSH_9.7\r\n\r\n", "", "it does not speak HTTP .* is it TLS, and the URL http"),
    ],
)
def test_a_bad_first_answer_is_named_with_what_to_do(
    answer: bytes, token: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token:
        monkeypatch.setenv("MCP_TOKEN", token)
    with serving(answer_always(answer)) as server, pytest.raises(TargetError, match=said) as refused:
        find_dialect(f"http://127.0.0.1:{server.port}/mcp", 3)
    assert "old-token" not in str(refused.value)
    with serving(answer_always(answer)) as server, pytest.raises(TargetError, match=said):
        list_tools(f"http://127.0.0.1:{server.port}/mcp", "streamable", 3)


AUTHORITY = trustme.CA()


def over_tls(context: ssl.SSLContext) -> Handler:
    """A server that speaks TLS and answers anything with an empty page."""

    def handle(conn: socket.socket) -> None:
        with context.wrap_socket(conn, server_side=True) as secured:
            answer_always(http(b"{}"))(secured)

    def quiet(conn: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError):  # the client did not like the certificate
            handle(conn)

    return quiet


@pytest.fixture
def contexts(tmp_path: Path) -> dict[str, ssl.SSLContext]:
    """Certificates that are wrong, each in its way."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    issued = {
        "expired": AUTHORITY.issue_cert("localhost", not_after=yesterday),
        "other name": AUTHORITY.issue_cert("elsewhere.example"),
        "unknown": trustme.CA().issue_cert("localhost"),
    }
    made = {}
    for name, certificate in issued.items():
        made[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(made[name])
    return made


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("expired", "certificate has expired.* It has to be renewed"),
        ("other name", "Its certificate is for another name: use that name in MCP_URL"),
        ("unknown", "name its certificate, or that of its authority, in MCP_CA_FILE"),
    ],
)
def test_a_certificate_that_does_not_hold_is_named(
    contexts: dict[str, ssl.SSLContext], name: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("MCP_CA_FILE", str(tmp_path / "ca.pem"))
    with serving(over_tls(contexts[name])) as server, pytest.raises(TargetError, match=said):
        find_dialect(f"https://localhost:{server.port}/mcp", 3)


def test_a_server_that_speaks_http_2_only_over_tls_is_named() -> None:
    """No server of Python's refuses a client without ALPN; Node's does, with these words."""
    assert "in HTTP/2 only" in network_advice("[SSL] tlsv1 alert no application protocol (_ssl.c:1006)")


def test_a_server_without_tls_is_named() -> None:
    def handle(conn: socket.socket) -> None:
        conn.recv(1)
        conn.sendall(http(b"what is this?", status="400 Bad Request"))

    with serving(handle) as server, pytest.raises(TargetError, match=r"is the URL to be http\?"):
        find_dialect(f"https://localhost:{server.port}/mcp", 3)


def test_a_url_is_shown_without_its_query() -> None:
    assert shown("http://a/mcp?key=secret") == "http://a/mcp?..."
    assert shown("http://a/mcp") == "http://a/mcp"
    assert ToolCall("x").name == "x"


def replicas(initialized: bool, refusal: bytes) -> Handler:
    """Two replicas in one: the session that one gave is not known to the other, which is asked from then on.

    Args:
        initialized: whether the first one hears the end of the handshake too.
        refusal: what the other one says.
    """

    def answer(request: bytes) -> bytes:
        if request.startswith(b"DELETE"):
            return refusal
        method = json.loads(request.partition(b"\r\n\r\n")[2])["method"]
        if method == "initialize":
            return http(result_for(request, result={"protocolVersion": "2025-11-25"}), extra="Mcp-Session-Id: 1\r\n")
        if method == "notifications/initialized" and initialized:
            return http(b"", status="202 Accepted")
        return refusal

    return answering(answer)


def rpc_error(text: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": text}}).encode()


NOT_FOUND = http(rpc_error("Session not found"), status="404 No")
NOT_VALID = http(rpc_error("No valid session ID"), status="400 No")


@pytest.mark.parametrize("initialized", [True, False])
@pytest.mark.parametrize("refusal", [NOT_FOUND, NOT_VALID])
def test_a_session_that_is_lost_at_once_looks_like_replicas(initialized: bool, refusal: bytes) -> None:
    with serving(replicas(initialized, refusal)) as server, pytest.raises(TargetError, match="several replicas behind"):
        list_tools(f"http://127.0.0.1:{server.port}/mcp", "streamable", 5)


def test_a_call_whose_session_is_lost_at_once_looks_like_replicas() -> None:
    with serving(replicas(True, NOT_FOUND)) as server, pytest.raises(TargetError, match="several replicas behind"):
        check_answers(f"http://127.0.0.1:{server.port}/mcp", "streamable", ToolCall("x"), 5)

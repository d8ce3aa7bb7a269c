"""The observer over HTTP+SSE and over WebSockets."""

import socket

import pytest
from websockets.sync.server import ServerConnection

from mcp_chaos.errors import TargetError
from mcp_chaos.history.calls import Reason
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.mcp import ListCall, ToolCall
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.era import find_dialect
from mcp_chaos.observe.target import check_answers, list_tools
from tests.conftest import answer_always, serving
from tests.load.websocket_servers import answer, talking
from tests.servers import http
from tests.sse_servers import STREAM, Say, SseServer, answer_of, event

NOW = ToolCall("now")


def test_a_server_of_the_first_version_is_found_and_called() -> None:
    with serving(SseServer()) as server:
        url = f"http://127.0.0.1:{server.port}/sse"
        assert find_dialect(url, 5) == "sse"
        assert [tool["name"] for tool in list_tools(url, "sse", 5)] == ["now"]
        with McpClient(url, "sse", 5, f"127.0.0.1:{server.port}") as client:
            client.open()
            assert client.call(NOW) is Reason.OK
            assert client.call(ListCall()) is Reason.OK
            assert not client.has_session


def silent(conn: socket.socket, say: Say, request: bytes) -> None:
    conn.sendall(http(b"", status="202 Accepted"))


def ending(conn: socket.socket, say: Say, request: bytes) -> None:
    silent(conn, say, request)
    say(b"0\r\n\r\n")


def chatting(conn: socket.socket, say: Say, request: bytes) -> None:
    say(event("message", b'{"jsonrpc":"2.0","method":"notifications/message"}') + event("message", answer_of(request)))
    silent(conn, say, request)


def much(conn: socket.socket, say: Say, request: bytes) -> None:
    silent(conn, say, request)
    say(event("message", b"x" * 20_000_000))


@pytest.mark.parametrize(
    ("post", "said"),
    [
        (silent, "did not answer within"),
        (ending, "it ended the stream of its answers"),
        (much, "it sent more than 16777216 bytes"),
    ],
)
def test_a_stream_without_the_answer_is_told(post: "object", said: str) -> None:
    with serving(SseServer(post)) as server, pytest.raises(TargetError, match=said):  # type: ignore[arg-type]
        check_answers(f"http://127.0.0.1:{server.port}/sse", "sse", NOW, 2)


def test_other_messages_on_the_stream_are_not_the_answer() -> None:
    with serving(SseServer(chatting)) as server:
        check_answers(f"http://127.0.0.1:{server.port}/sse", "sse", NOW, 5)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"", status="401 No"), "HTTP 401 .*it wants credentials"),
        (http(b"<html>", kind="text/html"), "is this the server's MCP endpoint"),
        (STREAM + event("endpoint", b"http://192.0.2.1/x"), "sends messages to another server"),
        (STREAM + b"0\r\n\r\n", "another server|does not say where|refused|ended"),
    ],
)
def test_a_stream_that_is_none_is_told(answer: bytes, said: str) -> None:
    with serving(answer_always(answer)) as server, pytest.raises(TargetError, match=said):
        check_answers(f"http://127.0.0.1:{server.port}/sse", "sse", NOW, 2)


def test_a_server_behind_a_websocket_is_called() -> None:
    def chatty(connection: ServerConnection, message: dict[str, object]) -> None:
        connection.send('{"jsonrpc":"2.0","method":"notifications/message"}')
        answer(connection, message)

    with talking(chatty) as server:
        check_answers(f"http://127.0.0.1:{server.port}/ws", "websocket", NOW, 5, f"localhost:{server.port}")


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (lambda connection, message: connection.close(), "it closed the connection"),
        (lambda connection, message: None, "did not answer within"),
        (lambda connection, message: connection.send("nonsense"), "wrong answer"),
    ],
)
def test_a_websocket_without_the_answer_is_told(answers: "object", said: str) -> None:
    with talking(answers) as server, pytest.raises(TargetError, match=said):  # type: ignore[arg-type]
        check_answers(f"http://127.0.0.1:{server.port}/ws", "websocket", NOW, 1)


def test_an_upgrade_that_is_refused_is_told() -> None:
    refusing, said = answer_always(http(b"", status="404 Not Found")), r"HTTP 404 .*no MCP endpoint at this path"
    with serving(refusing) as server, pytest.raises(TargetError, match=said):
        check_answers(f"http://127.0.0.1:{server.port}/ws", "websocket", NOW, 2)
    with serving(answer_always(b"nonsense\r\n\r\n")) as server, pytest.raises(TargetError, match="cannot be reached"):
        check_answers(f"http://127.0.0.1:{server.port}/ws", "websocket", NOW, 2)
    port = ReservedPort()
    with pytest.raises(TargetError, match="cannot be reached"):
        check_answers(f"http://127.0.0.1:{port.number}/ws", "websocket", NOW, 2)
    port.release()

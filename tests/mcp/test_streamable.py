"""The streamable dialect against recorded answers of SDK 1.30 and 2.3, in all modes."""

import json

import pytest

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import DialectError, Streamable, ToolCall
from mcp_chaos.mcp.message import Message, parse_message
from tests.mcp.recordings import FILES, Exchange, exchanges, message_of


def take(session: Streamable, answer: Exchange) -> None:
    """Give a recorded answer of the handshake to a session, with the id that the session asked with."""
    asked, message = json.loads(session.opening() or b"{}"), message_of(answer)
    if message is not None:
        message["id"] = asked["id"]
    session.opened(answer.status, answer.headers.get("mcp-session-id"), message)


def opened(name: str) -> Streamable:
    """A session that went through the recorded handshake."""
    session, recorded = Streamable("w"), exchanges(name)
    for step in ("initialize", "initialized"):
        take(session, recorded[step])
    assert session.opening() is None
    return session


@pytest.mark.parametrize("name", FILES)
def test_the_handshake_is_the_recorded_one(name: str) -> None:
    session, recorded = Streamable("w"), exchanges(name)
    told = json.loads(session.opening() or b"")
    asked = json.loads(recorded["initialize"].request_body)
    assert told["method"] == asked["method"]
    assert told["params"].keys() == asked["params"].keys()
    assert {k.lower(): v for k, v in session.headers()} == recorded["initialize"].request_headers
    take(session, recorded["initialize"])
    assert json.loads(session.opening() or b"") == json.loads(recorded["initialized"].request_body)
    assert {k.lower(): v for k, v in session.headers()} == recorded["initialized"].request_headers


@pytest.mark.parametrize("name", FILES)
def test_a_call_is_the_recorded_one_and_its_answer_is_good(name: str) -> None:
    session, recorded = opened(name), exchanges(name)["tools/call ok"]
    call_id = json.loads(recorded.request_body)["id"]
    body = session.call_body(call_id, session.params_of(ToolCall("list_databases")))
    assert json.loads(body) == json.loads(recorded.request_body)
    assert session.judge(call_id, recorded.status, message_of(recorded)) is Reason.OK
    assert session.judge(call_id + 1, recorded.status, message_of(recorded)) is Reason.WRONG_ANSWER


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("tools/call unknown", Reason.TOOL_ERROR),
        ("tools/call bad args", Reason.TOOL_ERROR),
        ("tools/call raises", Reason.TOOL_ERROR),
        ("unknown method", Reason.RPC_ERROR),
        ("malformed", Reason.HTTP_ERROR),
        ("Bad content-type", Reason.HTTP_ERROR),
        ("Host evil", Reason.HTTP_ERROR),
    ],
)
def test_recorded_errors_are_classed(name: str, title: str, reason: Reason) -> None:
    session, recorded = opened(name), exchanges(name)[title]
    body = recorded.request_body
    call_id = json.loads(body)["id"] if title != "malformed" else 1
    assert session.judge(call_id, recorded.status, message_of(recorded)) is reason


@pytest.mark.parametrize("name", [name for name in FILES if "stateful" in name])
@pytest.mark.parametrize("title", ["bad session", "no session"])
def test_a_lost_session_is_told_from_other_refusals(name: str, title: str) -> None:
    session, recorded = opened(name), exchanges(name)[title]
    assert session.judge(11, recorded.status, message_of(recorded)) is Reason.SESSION_LOST
    session.forget()
    assert json.loads(session.opening() or b"")["method"] == "initialize"
    assert all(header != "Mcp-Session-Id" for header, _ in session.headers())


@pytest.mark.parametrize("name", FILES)
def test_only_a_session_with_an_id_is_ended_by_delete(name: str) -> None:
    assert opened(name).closing() == ("stateful" in name)


def test_a_session_id_on_a_refusal_is_not_adopted() -> None:
    session = Streamable()
    with pytest.raises(DialectError, match="refused 'initialize' with HTTP 400: Missing session ID"):
        session.opened(400, "fresh", {"error": {"message": "Missing session ID"}})
    assert session.session_id is None


def test_a_version_nobody_here_speaks_is_refused() -> None:
    with pytest.raises(DialectError, match="1999-01-01"):
        Streamable().opened(200, None, {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "1999-01-01"}})


def test_an_error_in_answer_to_initialize_is_a_refusal() -> None:
    with pytest.raises(DialectError) as refused:
        Streamable().opened(
            200, None, {"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "Method not found"}}
        )
    assert refused.value.reason is Reason.RPC_ERROR


def test_a_refused_notification_means_starting_anew() -> None:
    session = Streamable()
    session.opened(200, "s", {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18"}})
    with pytest.raises(DialectError, match="refused 'initialized' with HTTP 500"):
        session.opened(500, None, None)
    assert json.loads(session.opening() or b"")["method"] == "initialize"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (202, Reason.WRONG_ANSWER),
        (429, Reason.RATE_LIMITED),
        (503, Reason.HTTP_ERROR),
        (504, Reason.SERVER_ERROR),
        (301, Reason.HTTP_ERROR),
    ],
)
def test_http_errors_are_classed(status: int, reason: Reason) -> None:
    assert Streamable().judge(1, status, None) is reason


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "2.0", "id": 1, "result": {"content": "x"}},
        {"id": 1, "result": {}},
    ],
)
def test_an_answer_of_the_wrong_shape_is_no_success(message: Message | None) -> None:
    assert Streamable().judge(1, 200, message) is Reason.WRONG_ANSWER


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'"\xff"', b"null"])
def test_what_is_no_json_object_is_no_message(data: bytes) -> None:
    assert parse_message(data) is None


@pytest.mark.parametrize("message", [None, {}, {"jsonrpc": "2.0", "id": 77, "result": {}}, {"jsonrpc": "2.0", "id": 0}])
def test_what_does_not_answer_initialize_opens_no_session(message: Message | None) -> None:
    with pytest.raises(DialectError) as refused:
        Streamable().opened(200, "s", message)
    assert refused.value.reason is Reason.WRONG_ANSWER


def test_a_session_lost_at_the_notification_is_told() -> None:
    session = Streamable()
    session.opened(200, "s", {"jsonrpc": "2.0", "id": 0, "result": {"protocolVersion": "2025-06-18"}})
    with pytest.raises(DialectError) as refused:
        session.opened(404, None, None)
    assert refused.value.reason is Reason.SESSION_LOST


def test_true_is_not_the_id_1() -> None:
    assert Streamable().judge(1, 200, {"jsonrpc": "2.0", "id": True, "result": {"content": []}}) is Reason.WRONG_ANSWER

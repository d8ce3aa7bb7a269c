"""Which of the messages that arrive is the answer."""

import pytest

from mcp_chaos.mcp.message import answer_in, media_type

ANSWER = {"id": 1, "result": 2}
BODY = b'{"id":1,"result":2}'
OWN = b'data: {"id":1,"method":"ping"}\n\ndata: {"method":"notifications/progress"}\n\ndata: nonsense\n\n'


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("application/json", BODY, ANSWER),
        ("application/json", b"[]", None),
        ("text/event-stream", OWN + b"data: %b\n\n" % BODY, ANSWER),
        ("text/event-stream", OWN, None),
        ("text/event-stream", b"", None),
        ("text/html", BODY, None),
        ("", BODY, None),
    ],
)
def test_the_answer_is_found_in_a_body_of_its_kind(kind: str, body: bytes, found: object) -> None:
    assert answer_in(kind, body) == found


@pytest.mark.parametrize("text", ["text/event-stream", "Text/Event-Stream ; charset=utf-8", " text/event-stream;x"])
def test_a_media_type_is_known_by_its_name_alone(text: str) -> None:
    assert media_type(text) == "text/event-stream"
    assert media_type("") == ""

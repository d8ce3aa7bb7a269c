"""Cross talk: answers carry their nonce on the sound server, ten times, and mixed up ones are found."""

import asyncio

import pytest

from mcp_chaos.clients.crosstalk import CrossTalk, Echo, cross_talk, find_echo
from mcp_chaos.mcp import ToolCall
from tests.clients.conftest import Serve, Wire, bites

ECHO = ToolCall("echo", {"text": "x"})
TOOL = {"name": "echo", "inputSchema": {"properties": {"text": {"type": "string"}}}}


def talk(wire: Wire, echo: Echo | None) -> CrossTalk:
    return asyncio.run(cross_talk(wire, echo, ECHO, clients=8, calls=8))


def test_an_echoing_tool_is_found_by_trying(serve: Serve) -> None:
    wire = serve()
    found = asyncio.run(find_echo(wire, [({"name": "slow"}, ToolCall("slow")), (TOOL, ECHO)]))
    assert found == Echo(ECHO, "text")
    assert asyncio.run(find_echo(wire, [({"name": "slow"}, ToolCall("slow"))])) is None


@pytest.mark.parametrize("dialect", ["streamable", "modern"])
def test_the_sound_server_passes_ten_times(serve: Serve, dialect: str) -> None:
    wire = serve(dialect=dialect)
    for _ in range(10):
        found = talk(wire, Echo(ECHO, "text"))
        assert found.answers >= 40
        assert found.why == ""


def test_mixed_up_answers_are_found(serve: Serve) -> None:
    wire = serve("mixes_up_answers")
    found = talk(wire, Echo(ECHO, "text"))
    assert bites(wire) > 0
    assert found.foreign > 0
    assert "were another client's" in found.why


def test_the_same_question_has_the_same_answer(serve: Serve) -> None:
    found = talk(serve(), None)
    assert len(set(found.texts)) == 1
    found.hold_against({"x", None})  # it was not steady, so nothing can be told
    assert found.why == ""
    found.hold_against({"y"})
    assert found.wrong == len(found.texts)


def test_without_an_echo_answers_are_told_apart_by_their_kind(serve: Serve) -> None:
    found = talk(serve(), None)
    assert found.answers >= 40
    assert found.why == ""

"""The first bad answers of a load are kept, a few of each reason, fit to be shown."""

import asyncio
import json
from pathlib import Path

import pytest

from mcp_chaos.history.bad_answers import BadAnswer
from mcp_chaos.history.calls import Lane, Reason
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.clients.first_bad_answers import FirstBadAnswers, shortened
from mcp_chaos.load.member import Member
from mcp_chaos.load.shape import Step
from mcp_chaos.load.spec import LoadSpec
from tests.conftest import Handler, serving
from tests.load.test_engine import FakeStreamable, spec_for
from tests.servers import answering, http, result_for

S = 1_000_000_000


def kept(handler: Handler, folder: Path, dialect: str = "jsonrpc", total: int = 6) -> list[BadAnswer]:
    async def main(spec: LoadSpec) -> None:
        member = Member(spec, RunFolder(folder))
        await member.run_step(Step(1, total), 0)
        await member.close()

    with serving(handler) as server:
        asyncio.run(main(spec_for(server.port, dialect)))
    return RunFolder(folder).bad_answers("test")


def test_status_code_and_text_are_kept_of_the_first(tmp_path: Path) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "No valid\x1b[31m session"}})
    found = kept(answering(lambda _: http(body.encode(), status="400 Bad Request")), tmp_path)
    assert 3 <= len(found) <= 6  # three in each second
    first = found[0]
    assert (first.status, first.code, first.text) == (400, -32000, "No valid [31m session")
    assert (first.lane, first.reason, first.operation) == (Lane.FAULTED, Reason.HTTP_ERROR, "list_databases")


def test_what_a_tool_and_a_page_of_html_say_is_kept(tmp_path: Path) -> None:
    failed = {"content": [{"type": "text", "text": "the warehouse is gone"}], "isError": True}
    assert kept(answering(lambda r: http(result_for(r, result=failed))), tmp_path)[0].text == "the warehouse is gone"
    html = b"<html>\n" + b"x" * 1000
    (tmp_path / "bad-answers-test.jsonl").unlink()
    text = kept(answering(lambda _: http(html, status="502 Bad Gateway", kind="text/html")), tmp_path)[0].text
    assert text == f"<html> {'x' * 293}"


def test_a_refused_handshake_is_kept(tmp_path: Path) -> None:
    server = FakeStreamable(refuse=http(b"", status="401 Unauthorized"))
    first = kept(server, tmp_path, "streamable")[0]
    assert (first.reason, first.status) == (Reason.HTTP_ERROR, None)
    assert first.text == "the server refused 'initialize' with HTTP 401"


def test_good_answers_are_not_kept(tmp_path: Path) -> None:
    assert kept(answering(lambda request: http(result_for(request))), tmp_path) == []
    assert not (tmp_path / "bad-answers-test.jsonl").exists()


def test_no_second_and_no_reason_takes_the_places_of_another(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    keeper = FirstBadAnswers(folder.bad_answers_file("x"), Lane.CONTROL)
    for second in range(50):
        for n in range(10):
            for reason in (Reason.HTTP_ERROR, Reason.RPC_ERROR):
                keeper.keep((second * S, second * S + n), reason, "now", 500, b"")
    found = folder.bad_answers("x")
    assert len(found) == 200
    assert [a.done_ns for a in found if a.reason is Reason.HTTP_ERROR][:4] == [0, 1, 2, S]


def test_credentials_are_cut_out_and_characters_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_TOKEN", "a-secret-token")
    assert shortened("the token a-secret-token is old") == "the token [redacted] is old"
    assert shortened("é" * 299) == "é" * 150


def test_a_disk_that_is_full_is_not_the_calls_failure(tmp_path: Path) -> None:
    keeper = FirstBadAnswers(RunFolder(tmp_path / "gone").bad_answers_file("x"), Lane.FAULTED)
    keeper.keep((1, 2), Reason.HTTP_ERROR, "now", 500, b"")

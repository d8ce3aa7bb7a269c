"""A reason of calls is one record: read, checked, counted, worded, coloured and documented from there."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcp_chaos.errors import HistoryError
from mcp_chaos.history.bad_answers import BadAnswer
from mcp_chaos.history.calls import Lane, read_calls
from mcp_chaos.history.reasons import Outcome, Reason, ReasonRecord, outcome_of
from mcp_chaos.load.results import Tally, summary
from mcp_chaos.report.html import render_page, run_page
from mcp_chaos.verdict.judge import judge
from mcp_chaos.verdict.measure import cut_by_heals, measure
from tests import reference_page
from tests.histories import S, a_history, every, fault
from tests.report.runs import write_run

RECORD = ReasonRecord(
    len(Reason),
    "The server moved.",
    ("#123456", "#654321"),
    "server moved away",
    may_have_happened=True,
    follows_cuts=True,
)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Reason:
    """A member more, which Python has no way to add."""
    member = int.__new__(Reason, RECORD.number)
    member._name_, member._value_, member.record = "SERVER_MOVED", RECORD.number, RECORD
    monkeypatch.setattr(Reason, "_member_names_", [*Reason._member_names_, "SERVER_MOVED"])
    monkeypatch.setitem(Reason._member_map_, "SERVER_MOVED", member)
    monkeypatch.setitem(Reason._value2member_map_, RECORD.number, member)
    return member


def test_its_calls_are_read_and_counted(added: Reason, tmp_path: Path) -> None:
    history = a_history(every(0.1, 0, 1, reason=added), [])
    history.calls["sustained"].tofile(tmp_path / "calls.bin")
    calls = read_calls(tmp_path / "calls.bin")
    assert summary(Tally([calls]), 1.0, {})["reasons"] == {"server_moved": 10}
    assert (outcome_of(added, sent=True), outcome_of(added, sent=False)) == (Outcome.INFO, Outcome.FAIL)
    answer = BadAnswer(1, 2, Lane.FAULTED, added, "now", None, None, "moved")
    assert BadAnswer.from_json(answer.to_json()) == answer


def test_without_it_they_are_no_calls(tmp_path: Path) -> None:
    calls = a_history(every(0.1, 0, 1), []).calls["sustained"]
    calls["reason"] = RECORD.number
    calls.tofile(tmp_path / "calls.bin")
    with pytest.raises(HistoryError, match="records that are no calls"):
        read_calls(tmp_path / "calls.bin")


def test_it_is_worded(added: Reason) -> None:
    rows = [*every(0.1, 0, 5), *every(0.1, 5, 12, reason=added)]
    verdict = judge(a_history(rows, fault(3, 5), {"recovery": ["success_fraction >= 0.99"]}))
    assert verdict.reasons[0].endswith("0 of 70 calls succeeded: server moved away (70)")


def test_what_our_heal_cut_off_is_left_out(added: Reason) -> None:
    history = a_history([*every(0.1, 0, 12), *every(0.1, 4.9, 5, took_ms=500, reason=added)], fault(3, 5.2, asked_s=5))
    faults = [replace(one, connections_cut=True) for one in measure(history).faults]
    cut = cut_by_heals(history.calls["sustained"], faults)
    assert np.unique(history.calls["sustained"]["reason"][cut]).tolist() == [int(added)]
    assert history.calls["sustained"]["done_ns"][cut].min() > 5 * S


def test_it_has_a_colour_and_a_row_on_the_page(added: Reason, tmp_path: Path) -> None:
    shown = run_page(write_run(tmp_path, reason=added))
    page = render_page("x", "pass", [shown])
    assert '"--reason-server_moved"' in str(shown.data)
    assert re.findall(r"--reason-server_moved: (#\d+);", page) == ["#123456", "#654321"]
    assert '<td class="text">server moved</td><td>20</td>' in page
    assert "server moved</td>" in re.sub(r"\d+ server moved", "server moved", page)  # in the time line


@pytest.mark.usefixtures("added")
def test_it_is_documented() -> None:
    row = "| `server_moved` | info; fail where nothing was sent | The server moved. |"
    assert row in reference_page.render()


def test_numbers_are_those_that_calls_files_have() -> None:
    assert [reason.record.number for reason in Reason] == list(range(len(Reason)))
    assert (Reason.OK, Reason.TIMED_OUT, Reason.SESSION_RENEWED) == (0, 10, 13)

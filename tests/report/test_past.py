"""Past runs: the list, the trends, and two side by side."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mcp_chaos.cli import cli
from mcp_chaos.errors import HistoryError
from mcp_chaos.history import History, RunFolder
from mcp_chaos.records import Reason
from mcp_chaos.report.past import UNFINISHED, differences, past_runs, render_runs
from mcp_chaos.verdict import judge
from tests.report.runs import write_run


def judged(folder: RunFolder) -> RunFolder:
    folder.write("verdict.json", judge(History.read(folder)).as_dict())
    return folder


def test_runs_are_listed_with_their_trends(tmp_path: Path) -> None:
    for _ in range(3):
        judged(write_run(tmp_path, target="embedded"))
    write_run(tmp_path, title="killed", target="embedded")
    write_run(tmp_path, title="a load", kind="load")
    write_run(tmp_path, title="of another age", schema=0)
    (tmp_path / "a file").write_text("x")
    found = past_runs(tmp_path)
    assert [run.verdict for run in found] == ["pass", "pass", "pass", UNFINISHED]
    assert found[0].p95_ms == pytest.approx(10)
    text = render_runs(found, colour=False, width=160)
    assert "network partition on embedded" in text
    assert "100%" in text
    assert "▄▄▄" in text


def test_a_damaged_verdict_does_not_hide_the_others(tmp_path: Path) -> None:
    judged(write_run(tmp_path))
    for text in ("[]", "{", '{"windows": 3}', '{"windows": {"baseline": {"faulted": {"p95_ms": "x"}}}}'):
        (write_run(tmp_path).path / "verdict.json").write_text(text)
    assert [run.verdict for run in past_runs(tmp_path)].count("pass") == 1


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="There is no folder"):
        past_runs(tmp_path / "none")
    assert "There is no run yet" in CliRunner().invoke(cli, ["runs", str(tmp_path)]).output


def test_runs_as_json(tmp_path: Path) -> None:
    judged(write_run(tmp_path))
    (found,) = json.loads(CliRunner().invoke(cli, ["runs", str(tmp_path), "--json"]).output)
    assert found["verdict"] == "pass"


def test_two_runs_side_by_side(tmp_path: Path) -> None:
    first, second = write_run(tmp_path), write_run(tmp_path, title="again", reason=Reason.TIMED_OUT)
    found = {(d.window, d.lane, d.figure): d for d in differences(*(judge(History.read(f)) for f in (first, second)))}
    hung = found["fault", "faulted", "hung_calls"]
    assert (hung.first, hung.second, hung.change_fraction) == (0, 20, None)
    assert found["baseline", "faulted", "p95_ms"].change_fraction == pytest.approx(0)
    page = tmp_path / "both.html"
    made = CliRunner().invoke(cli, ["compare", str(first.path), str(second.path), "--html", str(page)])
    assert made.exit_code == 0, made.output
    assert "hung_calls" in made.output
    assert page.read_text().count('<section class="run"') == 2


def test_a_load_is_not_compared(tmp_path: Path) -> None:
    run, load = write_run(tmp_path), write_run(tmp_path, kind="load")
    made = CliRunner().invoke(cli, ["compare", str(run.path), str(load.path)])
    assert "is a load by itself" in str(made.exception)

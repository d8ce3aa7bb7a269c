"""Past runs: the list, the trends, and two side by side."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mcp_chaos.cli import cli
from mcp_chaos.errors import HistoryError
from mcp_chaos.history.calls import Outcome, Reason
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.formats import FORMAT
from mcp_chaos.history.history import History
from mcp_chaos.report.past import UNFINISHED, UNREADABLE, compare, differences, past_runs, render_runs
from mcp_chaos.report.terminal import render
from mcp_chaos.verdict.judge import judge
from tests.histories import S
from tests.report.runs import START_S, write_run


def judged(folder: RunFolder) -> RunFolder:
    folder.write("verdict.json", judge(History.read(folder)).as_dict())
    return folder


def test_runs_are_listed_with_their_trends(tmp_path: Path) -> None:
    for _ in range(3):
        judged(write_run(tmp_path, target="embedded"))
    write_run(tmp_path, title="killed", target="embedded")
    write_run(tmp_path, title="a load", kind="load")
    (tmp_path / "a file").write_text("x")
    found = past_runs(tmp_path)
    assert [run.verdict for run in found] == ["pass", "pass", "pass", UNFINISHED]
    assert found[0].p95_ms == pytest.approx(10)
    text = render_runs(found, colour=False, width=160)
    assert "network partition on embedded" in text
    assert "100%" in text
    assert "▄▄▄" in text
    narrow = render_runs(found, colour=False, width=100)
    assert all(run.path.name in narrow for run in found)  # whole, so that it can be copied


def never_steady(root: Path) -> RunFolder:
    """A run after whose heal every call of both lanes failed."""
    folder = write_run(root, target="embedded")
    calls = folder.calls("sustained")
    after = calls["intended_ns"] >= (START_S + 5) * S
    calls["reason"][after], calls["outcome"][after] = Reason.REFUSED, Outcome.FAIL
    calls.tofile(folder.calls_path("sustained"))
    return folder


def test_a_service_that_never_became_steady_is_told_from_one_that_was_not_measured(tmp_path: Path) -> None:
    judged(write_run(tmp_path, target="embedded"))
    write_run(tmp_path, target="embedded")
    judged(never_steady(tmp_path))
    told = [(run["recovery_s"], run["never_steady"]) for run in (run.as_dict() for run in past_runs(tmp_path))]
    assert told == [(pytest.approx(0.02), False), (None, False), (None, True)]
    text = render_runs(past_runs(tmp_path), colour=False, width=160)
    assert "▄·× never" in text
    assert "▄·▄ 10" in text
    assert re.search(r"fail +10\.0 +never", text)


def test_a_trend_ends_in_the_newest_run_also_where_it_was_not_measured(tmp_path: Path) -> None:
    judged(write_run(tmp_path, target="embedded"))
    write_run(tmp_path, target="embedded")
    assert "▄· –" in render_runs(past_runs(tmp_path), colour=False, width=160)
    assert "·· –" not in render_runs(past_runs(tmp_path), colour=False, width=160)


def test_never_is_said_side_by_side_and_at_the_end(tmp_path: Path) -> None:
    sound, broken = write_run(tmp_path), never_steady(tmp_path)
    verdicts = [judge(History.read(folder)) for folder in (sound, broken)]
    found = {(d.lane, d.figure): d for d in differences(*verdicts) if d.window == "recovery"}
    for lane in ("faulted", "control"):
        assert found[lane, "recovery_s"].second == math.inf
        assert found[lane, "recovery_s"].change_fraction is None
        assert re.search(rf"recovery +{lane} .* never *\n", render(verdicts[1], colour=False))
    assert re.search(r"recovery_s +0\.02 +never +–", compare(sound, broken, colour=False, width=120))


def test_a_damaged_verdict_does_not_hide_the_others(tmp_path: Path) -> None:
    judged(write_run(tmp_path))
    for text in ("[]", "{", '{"windows": 3}'):
        (write_run(tmp_path).path / "verdict.json").write_text(text)
    good, *damaged = past_runs(tmp_path)
    assert good.verdict == "pass"
    assert [run.verdict for run in damaged] == [UNREADABLE] * 3
    assert all("verdict.json" in run.reason and str(run.path) in run.reason for run in damaged)


def test_folders_that_cannot_be_read_are_told_with_the_reason(tmp_path: Path) -> None:
    judged(write_run(tmp_path))
    newer = write_run(tmp_path, format=FORMAT + 1, mcp_chaos="9.9")
    (tmp_path / "another").mkdir()
    (tmp_path / ".hidden").mkdir()
    made = CliRunner().invoke(cli, ["runs", str(tmp_path)])
    assert made.exit_code == 0
    assert f"Cannot be read: {newer.path} was written by mcp_chaos 9.9 in format {FORMAT + 1}" in made.output
    assert f"Cannot be read: {tmp_path / 'another'} is not a run folder: it has no manifest.json" in made.output
    assert "hidden" not in made.output
    trends = made.output.partition("Trends")[2]
    assert re.search(r"network partition on .* 1 +100%", trends)
    told = json.loads(CliRunner().invoke(cli, ["runs", str(tmp_path), "--json"]).output)
    assert [run["verdict"] for run in told] == ["pass", UNREADABLE, UNREADABLE]


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


def test_titles_of_others_are_no_commands_to_the_terminal(tmp_path: Path) -> None:
    for _ in range(2):
        judged(write_run(tmp_path, title="x\x1b[31m\nRuns", target="\x9b2J"))
    found = past_runs(tmp_path)
    both = compare(*(RunFolder.open(run.path) for run in found), colour=False, width=120)
    for text in (render_runs(found, colour=False, width=160), both):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ({}, ""),
        ({"title": "another"}, "they have other experiments\n"),
        ({"target": "elsewhere"}, "they have other targets\n"),
        ({"numbers": {"a": 1, "b": 3}}, "they have other numbers (b)\n"),
        ({"target": "elsewhere", "numbers": {"a": 1}}, "they have other targets and other numbers (b)\n"),
    ],
)
def test_what_was_compared_is_named_and_whether_it_is_alike(tmp_path: Path, second: dict[str, Any], said: str) -> None:
    same: dict[str, Any] = {"title": "partition", "target": "embedded", "numbers": {"a": 1, "b": 2}}
    folders = [write_run(tmp_path, **same), write_run(tmp_path, **{**same, **second})]
    text = compare(*folders, colour=False, width=120)
    assert text.count("  partition on embedded\n") + text.count("another on") + text.count("on elsewhere") == 2
    assert ("not alike" in text) == bool(said)
    assert said in text


def test_a_run_is_not_compared_with_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path)
    monkeypatch.chdir(folder.path)
    made = CliRunner().invoke(cli, ["compare", ".", str(folder.path)])
    assert "are the same run" in str(made.exception)


def test_a_run_is_known_by_its_name_from_within_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run(tmp_path)
    monkeypatch.chdir(folder.path)
    assert RunFolder.open(Path()).run_id == folder.run_id


def test_past_runs_need_no_setting_but_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged(write_run(tmp_path))
    monkeypatch.setenv("MCP_URL", "http://example.com")
    monkeypatch.setenv("MCP_CHAOS_RUNS", str(tmp_path))
    made = CliRunner().invoke(cli, ["runs"])
    assert made.exit_code == 0, made.exception
    assert "network partition" in made.output


def test_a_load_is_not_compared(tmp_path: Path) -> None:
    run, load = write_run(tmp_path), write_run(tmp_path, kind="load")
    made = CliRunner().invoke(cli, ["compare", str(run.path), str(load.path)])
    assert "is a load by itself" in str(made.exception)

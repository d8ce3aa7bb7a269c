"""``mcp-chaos load``: what it is asked for is checked at once, and what it says is made from the run's files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mcp_chaos.cli import main
from mcp_chaos.commands.load_plan import Plan, PlannedFault
from mcp_chaos.commands.load_report import KIND, Report
from mcp_chaos.errors import UsageError
from mcp_chaos.faults.kinds import Latency, Partition
from mcp_chaos.history.events import Event
from mcp_chaos.history.files import to_json
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.results import Tally, burst_result, ramp_result, summary
from mcp_chaos.report.load import render_load
from tests.histories import calls_of, event, every, fault

HEALTH: dict[str, Any] = {
    "kept_up": True,
    "why_not": None,
    "dropped_arrivals": 3,
    "send_error_ms": {"p50": 0.05, "p99": 0.2, "max": 1.0},
    "wake_up_lag_ms": {"p50": 0.1, "p99": 0.2, "max": 0.3},
    "cpu_share": 0.42,
    "workers": [{"worker": 0, "calls": 120, "cpu_share": 0.42, "peak_memory_bytes": 50_000_000}],
    "lost_workers": [],
}


def run_folder(root: Path, *events: Event, calls: bool = True) -> RunFolder:
    """A run of one burst of 12 s."""
    folder = RunFolder.create(root, "load burst")
    folder.write_manifest({"thresholds": {}, "kind": KIND, "shape": "burst", "target": "embedded"})
    known = [event(0, "load_started", load="burst", lane="faulted", judged=True), event(12, "load_ended", load="burst")]
    for one in sorted([*known, *events], key=lambda e: e.at_ns):
        folder.event(one.at_ns, one.kind, **one.data)
    made = calls_of(every(0.1, 0, 12) if calls else [])
    folder.calls_path("burst").write_bytes(made.tobytes())
    tally = Tally([made])
    folder.write("result-burst.json", {**burst_result(tally, 10, 12), "summary": summary(tally, 12, HEALTH)})
    return folder


def test_a_fault_is_read_from_a_line() -> None:
    assert PlannedFault.parse("add_latency latency_ms=200 jitter_ms=10 from_s=2.5 for_s=4") == PlannedFault(
        Latency(latency_ms=200, jitter_ms=10), 2.5, 4.0
    )
    assert PlannedFault.parse("partition proxy=backend") == PlannedFault(Partition(proxy="backend"), 3.0, 3.0)


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["a fault such as"]),
        ("'", ["a fault such as"]),
        ("earthquake", ["there is no fault 'earthquake'"]),
        ("partition from_s=-1 for_s=x", ["from_s: -1 is not between", "for_s: a number is needed, not 'x'"]),
        (
            "add_latency latency=3",
            ["'latency' is no key of add_latency; did you mean", "latency_ms: 0 is not between"],
        ),
        ("partition proxy=mcp_control", ["never poisoned"]),
        ("add_latency latency_ms=NaN", ["whole number"]),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused_for_all_that_is_wrong(text: str, problems: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        PlannedFault.parse(text)
    assert len(refused.value.problems) == len(problems)
    for found, expected in zip(refused.value.problems, problems, strict=True):
        assert expected in found


def test_faults_on_one_proxy_come_one_after_the_other() -> None:
    cut, slow = PlannedFault(Partition(), 1, 3), PlannedFault(Latency(latency_ms=5), 3.5, 1)
    with pytest.raises(UsageError, match=r"latency downstream.* comes while partition"):
        Plan("burst", faults=[cut, slow]).check()
    Plan("burst", faults=[cut, PlannedFault(Latency(latency_ms=5), 4, 1)]).check()
    Plan("burst", faults=[cut, PlannedFault(Latency(latency_ms=5, proxy="backend"), 2, 1)]).check()


def test_the_specifications_script_has_three_loads_with_its_numbers() -> None:
    plan = Plan("spec", {"requests": 5, "max_users": 10, "duration_s": 9})
    assert plan.load("basic") == ("burst", {"requests": 5})
    assert plan.load("ramp") == ("ramp", {"max_users": 10})
    assert plan.load("sustained") == ("sustained", {"duration_s": 9})
    assert Plan("spec").load("sustained") == ("sustained", {"duration_s": 300.0})


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (Plan("burst", {"users": 3}), "the burst load has no 'users'"),
        (Plan("spec", {"requests": 0, "pause_s": -1}), "requests: 0"),
        (Plan("spec", {"users": 3}), "spec has no 'users'"),
        (Plan("constant", {"rate_per_s": -1}), "rate_per_s: -1"),
        (Plan("burst", deadline_s=0), "deadline_s: 0"),
        (Plan("burst", workers=0), "workers: 0"),
        (Plan("burst", workers=65), "workers: 65"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(plan: Plan, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        plan.check()


def test_a_report_is_made_from_the_files(tmp_path: Path) -> None:
    made = Report.read(run_folder(tmp_path))
    assert made.doubts == []
    data = made.as_dict()
    assert data["loads"]["burst"]["total_requests"] == 120
    assert data["conclusive"] is True
    assert data["windows"] == {window: {} for window in data["windows"]}
    assert json.loads(to_json(data)) == data


def test_a_report_with_a_fault_has_its_windows(tmp_path: Path) -> None:
    made = Report.read(run_folder(tmp_path, *fault(3, 5)))
    assert made.as_dict()["windows"]["fault"]["faulted"]["calls"] == 20
    text = render_load(made.results, made.measured, made.doubts, colour=False)
    assert "partition  mcp" in text


@pytest.mark.parametrize(
    ("events", "doubt"),
    [
        ([event(3, "generator_overloaded", load="burst", why="it was busy")], "could not keep up.* it was busy"),
        ([event(3, "worker_died", load="burst", worker=1, exit_code=-9)], "worker 1 of the load 'burst' died"),
        ([event(3, "interrupted", why="a signal came")], "the run was interrupted: a signal came"),
        ([event(12, "fault_skipped", name="partition both", from_s=30.0)], "partition both' was to come after 30 s"),
        (fault(3, 5, proof=None), "the fault 'partition' was not felt: nothing happened"),
    ],
)
def test_what_makes_a_result_doubtful_is_said(tmp_path: Path, events: list[Event], doubt: str) -> None:
    made = Report.read(run_folder(tmp_path, *events))
    (said,) = made.doubts
    assert re.search(doubt, said)
    assert not made.as_dict()["conclusive"]
    assert said in render_load(made.results, made.measured, made.doubts, colour=False)


def test_a_load_that_was_killed_is_counted_from_its_calls(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    (folder.path / "result-burst.json").unlink()
    made = Report.read(folder)
    assert made.doubts == ["the result of the load 'burst' is missing; its calls were counted instead"]
    assert made.as_dict()["loads"]["burst"]["summary"]["calls_per_s"] == pytest.approx(10)
    assert made.answer().reasons[-1] == "120 calls were made, 120 of them were answered well"
    assert "burst    120    12.0     10.0  100.00%" in render_load(
        made.results, made.measured, made.doubts, colour=False
    )


def test_a_load_that_lost_calls_is_doubtful(tmp_path: Path) -> None:
    folder = run_folder(tmp_path)
    path = folder.calls_path("burst")
    path.write_bytes(path.read_bytes()[:-1])
    assert Report.read(folder).doubts == ["119 of 120 calls are in the files of the load 'burst'"]


def test_a_load_without_a_call_says_nothing(tmp_path: Path) -> None:
    assert Report.read(run_folder(tmp_path, calls=False)).doubts == ["no call was made"]


def test_the_summary_shows_what_a_person_wants_to_know(tmp_path: Path) -> None:
    made = Report.read(run_folder(tmp_path))
    ramp = {"steps": [burst_result(Tally([calls_of(every(0.1, 0, 1))]), 5, 1) | {"concurrent_users": 5}]}
    results = {
        **made.results,
        "ramp": {**ramp_result(ramp["steps"], 0.95), "summary": made.results["burst"]["summary"]},
    }
    text = render_load(results, made.measured, [], colour=False)
    for expected in ("burst    120    12.0     10.0  100.00%   12.0 kB", "intended send", "Steps of the ramp", "42%"):
        assert expected in text
    assert all(len(line) <= 120 for line in text.splitlines())


def report_command(folder: RunFolder, monkeypatch: pytest.MonkeyPatch, *options: str) -> int | str | None:
    monkeypatch.setattr("sys.argv", ["mcp-chaos", "report", str(folder.path), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_a_load_is_reported_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report_command(run_folder(tmp_path), monkeypatch) == 0
    assert "Latency of successful calls" in capsys.readouterr().out
    doubtful = run_folder(tmp_path, event(3, "worker_died", load="burst", worker=1, exit_code=-9))
    assert report_command(doubtful, monkeypatch) == 3
    assert "Inconclusive" in capsys.readouterr().out
    interrupted = run_folder(tmp_path, event(3, "interrupted", why="a signal came"))
    assert Report.read(interrupted).interrupted
    assert report_command(interrupted, monkeypatch) == 4


def test_a_load_has_a_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, faulted = run_folder(tmp_path), run_folder(tmp_path, *fault(3, 5))
    assert report_command(quiet, monkeypatch) == report_command(faulted, monkeypatch) == 0
    page = (quiet.path / "report.html").read_text()
    assert "120 calls were made, 120 of them were answered well" in page
    assert "<h2>Thresholds</h2>" not in page
    assert "<h2>Windows</h2>" not in page
    assert "<h2>Windows</h2>" in (faulted.path / "report.html").read_text()


def test_a_load_has_no_verdict_to_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run_folder(tmp_path)
    assert report_command(folder, monkeypatch, "--prometheus", str(tmp_path / "x.prom")) == 2
    assert "no verdict to export" in capsys.readouterr().err
    assert not (folder.path / "report.html").exists()


def test_everything_that_is_wrong_with_a_load_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--url", "nonsense", "--workload", "nope", "--deadline-s", "-1", "--fault", "boom", "--requests", "0"]
    out = ["--out", str(tmp_path / "no" / "x.json"), "--workers", "0", "--dialect", "klingon", "--arrivals", "x"]
    monkeypatch.setattr("sys.argv", ["mcp-chaos", "load", "burst", *options, *out])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    for name in ("MCP_URL", "nope", "deadline_s", "boom", "requests", "--out", "workers", "klingon", "'arrivals'"):
        assert name in said
    assert list(tmp_path.iterdir()) == []


def test_locustfile_is_where_it_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["mcp-chaos", "locustfile"])
    main()
    assert Path(capsys.readouterr().out.strip()).is_file()

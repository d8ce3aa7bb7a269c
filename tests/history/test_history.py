"""The files of a run: append-only, readable whatever happened to their writer."""

import json
import threading
from datetime import datetime, tzinfo
from pathlib import Path

import numpy as np
import pytest

from mcp_chaos.errors import HistoryError
from mcp_chaos.history.calls import CALL, Outcome, Reason, outcome_of, read_calls
from mcp_chaos.history.folder import RunFolder, can_name_a_load
from mcp_chaos.history.history import History
from mcp_chaos.history.json_lines import JsonLines
from mcp_chaos.machine.clock import Clock
from mcp_chaos.verdict.doubts import lost_calls


def test_a_call_takes_at_most_40_bytes() -> None:
    assert CALL.itemsize <= 40


@pytest.mark.parametrize("reason", list(Reason))
def test_only_what_was_sent_can_be_unknown(reason: Reason) -> None:
    assert outcome_of(reason, sent=False) in (Outcome.FAIL, Outcome.OK)
    unknown = {Reason.RESET, Reason.CLOSED, Reason.TIMED_OUT, Reason.WRONG_ANSWER, Reason.SERVER_ERROR}
    assert (outcome_of(reason, sent=True) is Outcome.INFO) == (reason in unknown)


def test_the_clock_agrees_with_utc_and_never_goes_back() -> None:
    import time

    clock = Clock.start()
    moments = [clock.now_ns() for _ in range(100)]
    assert moments == sorted(moments)
    assert abs(moments[-1] - time.time_ns()) < 1_000_000_000


def test_a_run_folder_is_named_after_time_and_experiment(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "Network: partition!")
    assert folder.path.name.endswith("Z-network-partition")
    assert folder.path.parent == tmp_path


def test_a_folder_that_cannot_be_made_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file, not a folder")
    with pytest.raises(HistoryError, match=r"Nothing was started\. Set MCP_CHAOS_RUNS"):
        RunFolder.create(tmp_path / "runs", "x")


def test_what_is_no_run_folder_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_events_come_back_in_the_order_of_their_time(folder: RunFolder) -> None:
    folder.event(2, "later", x=1)
    folder.event(1, "earlier")
    assert [(event.kind, event.data) for event in folder.events()] == [("earlier", {}), ("later", {"x": 1})]


def test_a_torn_last_line_is_left_out(folder: RunFolder) -> None:
    folder.event(1, "whole")
    with folder.events_file.path.open("ab") as file:
        file.write(b'{"at_ns": 2, "kind": "to')
    assert [event.kind for event in folder.events()] == ["whole"]


def test_a_broken_line_in_the_middle_is_an_error_that_names_it(folder: RunFolder) -> None:
    folder.events_file.path.write_bytes(b'{"at_ns": 1, "kind": "a"}\nnot json\n{"at_ns": 2, "kind": "b"}\n')
    with pytest.raises(HistoryError, match="line 2, is not a JSON object"):
        folder.events()


def test_lines_written_by_many_threads_stay_whole(tmp_path: Path) -> None:
    lines = JsonLines(tmp_path / "lines.jsonl")
    threads = [threading.Thread(target=lambda n=n: [lines.append({"n": n}) for _ in range(50)]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(lines.read())) == 400


def test_a_number_that_json_does_not_have_is_refused(folder: RunFolder) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write("bad.json", {"x": float("nan")})


def test_a_torn_last_call_is_left_out(tmp_path: Path) -> None:
    calls = np.zeros(3, dtype=CALL)
    path = tmp_path / "calls.bin"
    path.write_bytes(calls.tobytes()[:-1])
    assert len(read_calls(path)) == 2
    assert len(read_calls(tmp_path / "none.bin")) == 0


def test_a_history_is_read_back_from_its_files(folder: RunFolder) -> None:
    folder.event(1, "load_started", load="a", lane="faulted", judged=True)
    np.zeros(2, dtype=CALL).tofile(folder.calls_path("a"))
    history = History.read(folder)
    assert history.manifest["thresholds"] == {"fault": ["hung_calls == 0"]}
    assert len(history.calls["a"]) == 2


def test_a_history_knows_how_many_calls_the_results_counted(folder: RunFolder) -> None:
    for load in ("whole", "torn", "killed"):
        folder.event(1, "load_started", load=load, lane="faulted", judged=True)
        folder.calls_path(load).write_bytes(np.zeros(2, dtype=CALL).tobytes()[: -1 if load == "torn" else None])
    for load in ("whole", "torn"):
        folder.write(f"result-{load}.json", {"summary": {"calls": 2}})
    history = History.read(folder)
    assert history.expected_calls == {"whole": 2, "torn": 2}
    assert lost_calls(history) == ["1 of 2 calls are in the files of the load 'torn'"]


def test_a_file_that_is_not_json_is_an_error_that_names_it(folder: RunFolder) -> None:
    (folder.path / "manifest.json").write_text("{")
    with pytest.raises(HistoryError, match=r"manifest\.json"):
        History.read(folder)


def test_a_file_is_replaced_at_once(folder: RunFolder) -> None:
    folder.write("x.json", {"a": 1})
    folder.write("x.json", {"a": 2})
    assert json.loads((folder.path / "x.json").read_text()) == {"a": 2}
    assert not list(folder.path.glob(".x.json*"))


def test_two_runs_that_begin_in_one_millisecond_have_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Frozen(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Frozen":
            return cls(2026, 1, 1, tzinfo=tz)

    monkeypatch.setattr("mcp_chaos.history.folder.datetime", Frozen)
    made = [RunFolder.create(tmp_path, "x").path.name for _ in range(3)]
    assert made == [f"20260101T000000.000Z-x{end}" for end in ("", "-2", "-3")]


@pytest.mark.parametrize(("name", "can"), [("a-b_9", True), ("ü" * 100, True), ("ü" * 101, False), ("a/b", False)])
def test_a_load_has_a_name_that_files_can_have(name: str, can: bool) -> None:
    assert can_name_a_load(name) is can

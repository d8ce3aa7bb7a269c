"""The end of an experiment: a verdict that was made stands, whatever becomes of the report and the journal."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mcp_chaos import actions, control, probes
from mcp_chaos.errors import EXIT_INCONCLUSIVE, UsageError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History
from mcp_chaos.run import current as runs
from mcp_chaos.verdict.judge import judge
from tests.report.runs import write_run


class Gone(io.StringIO):
    """A stdout whose reader has gone."""

    def flush(self) -> None:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run whose load was made; nothing else of it is alive."""
    folder = write_run(tmp_path)

    class Ended:
        def __init__(self) -> None:
            self.folder = folder

        def event(self, *_: Any, **__: Any) -> None:
            """Nothing more happens."""

        def rest(self, *_: Any) -> None:
            """Its server is at rest."""

    monkeypatch.setattr(runs, "current", Ended)
    monkeypatch.setattr(runs, "end", lambda: None)
    control.forget()
    return folder


def test_a_reader_that_has_gone_does_not_change_the_verdict(ended: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Gone())
    journal: dict[str, Any] = {"status": "completed"}
    control.after_experiment_control({}, journal)
    assert journal["deviated"] is False
    assert (control.outcome() or {})["verdict"] == "pass"
    assert (ended.path / "verdict.json").exists()
    assert (ended.path / "journal.json").exists()


def test_the_verdict_reaches_what_reads_chaos_toolkits_output(
    ended: RunFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control.logger, "propagate", True)
    for status, last in (("completed", "failed"), ("interrupted", "interrupted")):
        (ended.path / "manifest.json").write_text(
            json.dumps({**ended.manifest(), "thresholds": {"fault": ["calls == 0"]}})
        )
        journal: dict[str, Any] = {"status": status}
        control.after_experiment_control({}, journal)
        assert (journal["deviated"], journal["status"]) == (True, last)
        assert journal["mcp_chaos"]["verdict"] == "fail"
        (record,) = [r for r in caplog.records if r.getMessage().startswith("The verdict is 'fail': ")]
        assert (record.levelname, record.__dict__["mcp_chaos"]["reasons"]) == ("ERROR", journal["mcp_chaos"]["reasons"])
        caplog.clear()


def test_a_pass_leaves_the_status_as_it_is(ended: RunFolder) -> None:
    journal: dict[str, Any] = {"status": "completed"}
    control.after_experiment_control({}, journal)
    assert (journal["deviated"], journal["status"]) == (False, "completed")


@pytest.mark.parametrize("output", [10**30, "\ud800", object(), {(1, 2): 3}])
def test_whatever_an_activity_returned_is_kept(ended: RunFolder, output: Any) -> None:
    journal: dict[str, Any] = {"status": "completed", "run": [{"output": output, "status": "succeeded"}]}
    control.after_experiment_control({}, journal)
    assert (control.outcome() or {})["verdict"] == "pass"
    assert json.loads((ended.path / "journal.json").read_text())["run"][0]["status"] == "succeeded"


def test_texts_that_are_no_texts_are_shown_all_the_same(ended: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    events = (ended.path / "events.jsonl").read_text()
    (ended.path / "events.jsonl").write_text(events.replace("partition", "\\ud800"))
    control.after_experiment_control({}, {"status": "completed"})
    assert (control.outcome() or {})["verdict"] == judge(History.read(ended)).verdict
    assert "Verdict: pass" in capsys.readouterr().out


@pytest.mark.parametrize(("output", "missed"), [(0.95, False), (0.5, True)])
def test_a_tolerance_may_be_in_the_configuration(
    ended: RunFolder, monkeypatch: pytest.MonkeyPatch, output: float, missed: bool
) -> None:
    told: list[str] = []
    monkeypatch.setattr(type(runs.current()), "event", lambda _, kind, **__: told.append(kind))
    monkeypatch.setattr(type(runs.current()), "reasons", {}, raising=False)
    probe = {"activity": {"name": "p", "tolerance": "${well}"}, "output": output, "status": "succeeded"}
    control.after_experiment_control({}, {"status": "completed", "run": [probe]}, {"well": [0.9, 1.0]})
    assert ("probe_missed" in told) == missed


def test_an_experiment_that_another_control_stopped_proves_nothing() -> None:
    control.forget()
    journal: dict[str, Any] = {}
    control.after_experiment_control({}, journal)
    assert journal["deviated"] is True
    assert control.outcome() == journal[control.OUTCOME]
    assert (control.outcome() or {})["exit_code"] == EXIT_INCONCLUSIVE


def test_actions_do_nothing_until_the_end_of_an_experiment_that_was_refused() -> None:
    runs.refuse()
    assert actions.heal() is None
    assert probes.server_answers() is None
    runs.end()
    with pytest.raises(UsageError, match="No run is under way"):
        actions.heal()

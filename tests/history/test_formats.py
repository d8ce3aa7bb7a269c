"""Run folders as a format: each that is read has a kept folder, and schemas say what is in the current one."""

import json
import shutil
from pathlib import Path
from struct import iter_unpack
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

from mcp_chaos import __version__
from mcp_chaos.errors import HistoryError
from mcp_chaos.history.calls import Reason
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.formats import FORMAT, READABLE, as_current
from mcp_chaos.history.history import History
from mcp_chaos.verdict.judge import judge
from tests.cli.test_cli import run
from tests.kept_run import FORMATS
from tests.report.runs import write_run
from tests.run_folder_schemas import SCHEMAS, WRITTEN

KEPT = FORMATS / str(FORMAT)


def schema_of(name: str) -> dict[str, Any]:
    return dict(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def validator(name: str) -> Draft202012Validator:
    schema = schema_of(name)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_a_folder_of_each_format_is_kept() -> None:
    assert {path.name for path in FORMATS.iterdir() if path.is_dir()} == {str(n) for n in range(1, FORMAT + 1)}


@pytest.mark.parametrize("number", READABLE)
def test_a_kept_folder_is_read_and_judged_as_it_was(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.open(shutil.copytree(FORMATS / str(number), tmp_path / "run"))
    history, told = History.read(folder), folder.read("verdict.json")
    assert (history.manifest["format"], history.manifest["mcp_chaos"]) == (FORMAT, "0.1.0")
    assert len(history.calls["load"]) == history.expected_calls["load"] > 0
    again = json.loads(json.dumps(judge(history).as_dict()))
    assert again["verdict"] == told["verdict"] == "pass"
    for window, figures in told["windows"].items():
        assert again["windows"][window]["segments"] == figures["segments"]
        assert again["windows"][window]["faulted"].items() >= figures["faulted"].items()
    assert run(monkeypatch, "report", str(folder.path)) == 0
    assert (folder.path / "report.html").exists()
    assert run(monkeypatch, "heal", str(folder.path)) == 0
    assert "Verdict: pass" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"format": FORMAT + 1, "mcp_chaos": "9.9"}, f"was written by mcp_chaos 9.9 in format {FORMAT + 1}; mcp_chaos"),
        ({"format": FORMAT + 1}, f"another version of mcp_chaos in format {FORMAT + 1}"),
        ({"format": FORMAT + 1, "mcp_chaos": "9.9"}, r"reads formats 1 and 2\. Read it with mcp_chaos 9\.9\."),
        ({}, "no format number"),
        ({"format": "2"}, "no format number"),
        ({"format": True}, "no format number"),
        ({"format": 0}, "no format number"),
    ],
)
def test_another_format_is_refused_with_what_reads_it(manifest: dict[str, Any], said: str) -> None:
    with pytest.raises(HistoryError, match=said):
        as_current({"thresholds": {}, **manifest}, "x")


def test_a_manifest_says_its_format_and_who_wrote_it(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    folder.write_manifest({"thresholds": {}})
    assert folder.read("manifest.json") == {"format": FORMAT, "mcp_chaos": __version__, "thresholds": {}}


@pytest.mark.parametrize("name", WRITTEN)
def test_schemas_that_are_written_from_the_code_are_current(name: str) -> None:
    assert json.loads((SCHEMAS / name).read_text()) == WRITTEN[name](), "write it anew with: make docs"


def test_the_kept_folder_is_as_its_schemas_say() -> None:
    validator("manifest").validate(json.loads((KEPT / "manifest.json").read_text()))
    validator("verdict").validate(json.loads((KEPT / "verdict.json").read_text()))
    events = [json.loads(line) for line in (KEPT / "events.jsonl").read_text().splitlines()]
    assert {"load_started", "fault_injecting", "fault_healed"} <= {event["kind"] for event in events}
    said = validator("event")
    for event in events:
        said.validate(event)


def test_calls_can_be_read_by_their_schema_alone() -> None:
    calls, schema = validator("call"), schema_of("call")
    record = schema["x-record"]
    content = (KEPT / "calls-load.bin").read_bytes()
    assert len(content) % record["bytes"] == 0
    read = [dict(zip(record["fields"], values, strict=True)) for values in iter_unpack(record["format"], content)]
    for call in read:
        calls.validate(call)
    assert [call["done_ns"] for call in read] == RunFolder(KEPT).calls("load")["done_ns"].tolist()
    named = {one["const"]: one["title"] for one in schema["properties"]["reason"]["oneOf"]}
    assert {named[call["reason"]] for call in read} >= {"ok", "refused"}
    with pytest.raises(ValidationError):
        calls.validate({**read[0], "reason": len(Reason)})


def test_a_verdict_that_is_no_pass_is_as_its_schema_says(tmp_path: Path) -> None:
    folder = write_run(tmp_path, thresholds={"baseline": ["p95_ms < 1"], "fault": ["success_fraction >= 1"]})
    verdict = judge(History.read(folder)).as_dict()
    assert verdict["verdict"] != "pass"
    validator("verdict").validate(json.loads(json.dumps(verdict)))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("manifest", {"format": 1}),
        ("manifest", {"thresholds": {"later": []}}),
        ("manifest", {"unknown": 1}),
        ("verdict", {"verdict": "unsure"}),
        ("verdict", {"reasons": []}),
    ],
)
def test_a_schema_refuses_what_no_run_writes(name: str, wrong: dict[str, Any]) -> None:
    sound = json.loads((KEPT / f"{name}.json").read_text())
    assert not validator(name).is_valid({**sound, **wrong})


@pytest.mark.parametrize(
    "event", [{"kind": "run_ended"}, {"at_ns": -1, "kind": "x"}, {"at_ns": 1, "kind": "load_ended"}]
)
def test_the_schema_of_events_refuses_what_is_not_whole(event: dict[str, Any]) -> None:
    assert not validator("event").is_valid(event)

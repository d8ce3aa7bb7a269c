"""Run folders whose files were damaged: each is told as that, none takes a command down."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcp_chaos.history.calls import CALL, Reason
from mcp_chaos.history.folder import RunFolder
from tests.cli.test_cli import run
from tests.commands.test_load import run_folder
from tests.histories import event
from tests.report.runs import write_run

Damage = Callable[[Path], object]

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "9" * 400
SAMPLE = '{"pid": 1, "rss_bytes": 2, "fds": 9, "threads": 1, "close_wait": 0, "sockets": {}, "at_ns": 5}\n'


def put(name: str, text: str) -> Damage:
    """A file with other contents."""
    return lambda path: (path / name).write_text(text)


def instead(name: str) -> Damage:
    """A folder in the place of a file."""

    def act(path: Path) -> None:
        (path / name).unlink(missing_ok=True)
        (path / name).mkdir()

    return act


def within(name: str, *keys: str, value: Any) -> Damage:
    """One value of a JSON file replaced."""

    def act(path: Path) -> None:
        found = json.loads((path / name).read_text())
        inner = found
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value
        (path / name).write_text(json.dumps(found))

    return act


def without(name: str, *keys: str) -> Damage:
    """One value of a JSON file taken out."""

    def act(path: Path) -> None:
        found = json.loads((path / name).read_text())
        inner = found
        for key in keys[:-1]:
            inner = inner[key]
        del inner[keys[-1]]
        (path / name).write_text(json.dumps(found))

    return act


def add(**record: Any) -> Damage:
    """An event more."""

    def act(path: Path) -> None:
        with (path / "events.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    return act


def calls(**fields: int) -> Damage:
    """Fields of the second call replaced."""

    def act(path: Path) -> None:
        found = np.fromfile(path / "calls-sustained.bin", dtype=CALL)
        for name, value in fields.items():
            found[name][1] = value
        found.tofile(path / "calls-sustained.bin")

    return act


AT = 1_795_000_001_000_000_000
RUN = [
    put("manifest.json", "{}"),
    put("manifest.json", DEEP),
    put("manifest.json", '{"format": 2, "thresholds": NaN}'),
    put("manifest.json", '{"format": 2, "thresholds": {"fault": ["calls > 1"]}, "numbers": 1e999}'),
    put("manifest.json", f'{{"format": 2, "thresholds": {{}}, "numbers": {HUGE}}}'),
    (lambda path: (path / "manifest.json").write_bytes(b"\xed\xa0\x80")),
    within("manifest.json", "toxiproxy", value="x"),
    within("manifest.json", "versions", value=["x"]),
    within("manifest.json", "thresholds", value=3),
    within("manifest.json", "thresholds", value={"fault": [3]}),
    instead("events.jsonl"),
    put("events.jsonl", "NaN\n"),
    put("events.jsonl", DEEP + "\n"),
    add(at_ns=-1, kind="x"),
    add(at_ns=True, kind="x"),
    add(at_ns=2**62, kind="x"),
    add(at_ns=int(HUGE), kind="x"),
    add(at_ns=AT, kind=["x"]),
    add(at_ns=AT, kind="activity_failed", name="x"),
    add(at_ns=AT, kind="activity_failed", name="x", error=3),
    add(at_ns=AT, kind="machine_overloaded", late_ms="late"),
    add(at_ns=AT, kind="fault_skipped", name="x", from_s="soon"),
    add(at_ns=AT, kind="interrupted"),
    add(at_ns=AT, kind="part_died"),
    add(at_ns=AT, kind="unfinished", why=None),
    add(at_ns=AT, kind="fault_proven", fault_id=[], proof="x"),
    add(at_ns=AT, kind="fault_injecting", fault_id="x", name=3, proxy="mcp", toxics=[]),
    add(at_ns=AT, kind="hypothesis_missed", when="during", probe=["x"]),
    add(at_ns=AT, kind="load_started", load={}, lane="faulted", judged=True),
    add(at_ns=AT, kind="load_started", load="../x", lane="faulted", judged=True),
    add(at_ns=AT, kind="load_started", load="x" * 300, lane="faulted", judged=True),
    add(at_ns=AT, kind="load_started", load="x\0", lane="faulted", judged=True),
    instead("calls-sustained.bin"),
    calls(reason=len(Reason)),
    calls(outcome=3),
    calls(lane=2),
    calls(intended_ns=-1),
    calls(done_ns=2**62),
    put("result-sustained.json", "[]"),
    put("result-sustained.json", '{"summary": {"calls": "x"}}'),
    put("result-sustained.json", '{"summary": {"calls": -1}}'),
    put("bad-answers-sustained.jsonl", "[]\n"),
    put("bad-answers-sustained.jsonl", '{"reason": "x"}\n'),
    put("server-process.jsonl", '{"pid": 1}\n'),
    put("server-process.jsonl", SAMPLE.replace('"fds": 9', '"fds": "9"')),
    put("server-process.jsonl", SAMPLE.replace('"at_ns": 5', f'"at_ns": {HUGE}')),
    put("server-process.jsonl", SAMPLE.replace("{}", "[3]")),
    put("server-process.jsonl", SAMPLE.replace("{}", '{"LISTEN": true}')),
    put("server-says.jsonl", '{"at_ns": 5, "healthy": 1, "said": "x"}\n'),
    put("server-says.jsonl", '{"at_ns": 5, "healthy": true, "said": ["x"]}\n'),
    put("server-says.jsonl", f'{{"at_ns": 5, "healthy": null, "said": "", "counters": {{"x": {HUGE}}}}}\n'),
    instead("server-says.jsonl"),
    put("load-sustained.json", "[]"),
    put("load-sustained.json", '{"workload": []}'),
    put("load-sustained.json", '{"workload": {"kinds": 3}}'),
    put("load-sustained.json", '{"workload": {"kinds": [{"operations": ["x"]}]}}'),
    instead("load-sustained.json"),
]


@pytest.mark.parametrize("damage", RUN)
def test_a_damaged_run_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: Damage
) -> None:
    folder, sound = write_run(tmp_path), write_run(tmp_path)
    damage(folder.path)
    assert run(monkeypatch, "report", str(folder.path)) == 2
    assert "has a bug" not in capsys.readouterr().err
    both = tmp_path / "both.html"
    assert run(monkeypatch, "compare", str(sound.path), str(folder.path), "--html", str(both)) == 2
    assert "has a bug" not in capsys.readouterr().err
    assert not (folder.path / "report.html").exists()
    assert not both.exists()
    assert run(monkeypatch, "runs", str(tmp_path)) == 0


LOAD = [
    put("result-burst.json", "3"),
    *(
        without("result-burst.json", "summary", *keys)
        for keys in [
            ("calls",),
            ("busy_s",),
            ("outcomes", "ok"),
            ("reasons",),
            ("latency_ms", "from_actual_send", "p99_9"),
            ("generator", "send_error_ms"),
            ("generator", "kept_up"),
        ]
    ),
    within("result-burst.json", "summary", "generator", "kept_up", value="x"),
    within("result-burst.json", "summary", "reasons", value=[]),
    within("result-burst.json", "summary", "latency_ms", "x", value=3),
    within("result-burst.json", "steps", value=[{}]),
]


@pytest.mark.parametrize("damage", LOAD)
def test_a_damaged_load_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: Damage
) -> None:
    folder = run_folder(tmp_path)
    assert run(monkeypatch, "report", str(folder.path)) == 0
    damage(folder.path)
    assert run(monkeypatch, "report", str(folder.path)) == 2
    assert str(folder.path) in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        *(
            f'{{"windows": {{"baseline": {{"faulted": {{"p95_ms": {value}}}}}}}}}'
            for value in ("NaN", "Infinity", "1e999", HUGE, "true", '"x"', DEEP)
        ),
        "[]",
        "{",
        '{"windows": 3}',
        '{"reasons": {"x": 1}}',
        '{"reasons": [], "never_steady": "x"}',
    ],
)
def test_a_damaged_verdict_does_not_take_the_list_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    sound, damaged = write_run(tmp_path), write_run(tmp_path)
    sound.write("verdict.json", {"verdict": "pass"})
    (damaged.path / "verdict.json").write_text(text)
    for more in ([], ["--json"]):
        assert run(monkeypatch, "runs", str(tmp_path), *more) == 0
        assert "pass" in capsys.readouterr().out


def test_half_a_character_is_shown_as_a_question_mark(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = event(1, "interrupted", why="caf\ud800é")
    folder.event(made.at_ns, made.kind, **made.data)
    assert run(monkeypatch, "report", str(folder.path)) == 3
    assert "the run was interrupted: caf?é" in capsys.readouterr().out

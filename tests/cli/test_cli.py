"""The command: arguments and exit codes."""

from pathlib import Path

import click
import pytest

from mcp_chaos import cli
from mcp_chaos.errors import InstallError
from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History
from mcp_chaos.machine.processes import identity
from tests.histories import a_history, every, fault


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["mcp-chaos", *arguments])
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def write(folder: RunFolder, history: History) -> None:
    folder.write("manifest.json", history.manifest)
    for event in history.events:
        folder.event(event.at_ns, event.kind, **event.data)
    for name, calls in history.calls.items():
        calls.tofile(folder.calls_path(name))


@pytest.mark.parametrize(
    ("threshold", "proof", "code"),
    [("success_fraction >= 0.99", "felt", 0), ("p95_ms <= 1", "felt", 1), ("success_fraction >= 0.99", None, 3)],
)
def test_a_run_is_judged_again_from_its_files(
    folder: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    threshold: str,
    proof: str | None,
    code: int,
) -> None:
    write(folder, a_history(every(0.1, 0, 12), fault(3, 5, "process-1", proof=proof), {"recovery": [threshold]}))
    assert run(monkeypatch, "report", str(folder.path)) == code
    assert "Verdict: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "nowhere"], "is not a run folder"),
        (["heal", "nowhere"], "is not a run folder"),
        (["report"], "Missing argument"),
        (["spell"], "No such command"),
    ],
)
def test_what_cannot_be_used_is_told_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "manifest.json").write_text("[]"),
        lambda path: (path / "manifest.json").write_text('{"thresholds": {}, "format": 0}'),
        lambda path: (path / "events.jsonl").write_text("5\n"),
        lambda path: (path / "events.jsonl").write_text('{"at_ns": 1, "kind": "load_started"}\n'),
        lambda path: (path / "events.jsonl").write_text('{"at_ns": "x", "kind": "y"}\n'),
        lambda path: (path / "events.jsonl").write_text("[" * 100_000 + "\n"),
    ],
)
def test_a_damaged_run_is_told_with_2(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], damage: object
) -> None:
    damage(folder.path)  # type: ignore[operator]
    assert run(monkeypatch, "report", str(folder.path)) == 2
    assert str(folder.path) in capsys.readouterr().err


def test_nothing_left_is_nothing_to_heal(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "heal", str(folder.path)) == 0
    assert capsys.readouterr().out == "Nothing was left behind.\n"


def test_a_run_that_still_goes_on_is_not_healed_under_its_feet(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write("manifest.json", {"process": identity()})
    assert run(monkeypatch, "heal", str(folder.path)) == 2
    assert "still goes on" in capsys.readouterr().err


def test_the_server_is_installed_and_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(toxiproxy_install, "ensure", lambda say: (say("Building"), Path("/here"))[1])
    assert run(monkeypatch, "toxiproxy", "install") == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("/here\n", "Building\n")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InstallError("no way"), 3, "Error: no way"),
        (KeyboardInterrupt(), 4, "Aborted."),
        (click.Abort(), 4, "Aborted."),
        (RuntimeError("oops"), 5, "mcp_chaos has a bug: RuntimeError('oops')"),
    ],
)
def test_every_end_has_its_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(say: object) -> Path:
        raise error

    monkeypatch.setattr(toxiproxy_install, "ensure", fail)
    assert run(monkeypatch, "toxiproxy", "install") == code
    assert said in capsys.readouterr().err

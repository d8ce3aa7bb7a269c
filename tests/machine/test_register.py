"""The register of this machine: runs are found by others, and nobody is led astray by what lies there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_chaos.errors import PartError, StoppedError
from mcp_chaos.machine import register
from mcp_chaos.machine.processes import identity


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "_FOLDER", tmp_path)
    monkeypatch.setattr(register, "_STOP_FILE", tmp_path / "stopped")


def test_a_run_is_found_until_it_is_taken_out(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    register.register(run, ["127.0.0.1:1"], is_scratch=True)
    register.register(run, ["127.0.0.1:2"])
    (entry,) = register.entries()
    assert (entry.run, entry.targets, entry.is_scratch) == (run, ("127.0.0.1:2",), False)
    assert entry.is_going_on
    assert entry.is_mine
    assert register.entry_of(run) == entry
    register.forget(run)
    register.forget(run)
    assert register.entries() == []
    assert register.entry_of(run) is None


def test_a_run_whose_process_is_no_more_does_not_go_on(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from mcp_chaos.machine import register as r"
    script += "; r._FOLDER = Path(sys.argv[1]); r.register(Path('/a/run'))"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    (entry,) = register.entries()
    assert not entry.is_going_on


@pytest.mark.parametrize("text", ["", "[]", '{"run": 1}', '{"run": "/x"}', "{" * 100, '{"run": "/x", "process": {}}'])
def test_what_is_no_entry_is_left_out(text: str, tmp_path: Path) -> None:
    (tmp_path / "mcp_chaos-0.run").write_text(text)
    (tmp_path / "mcp_chaos-1.run").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "mcp_chaos-2.run")
    assert register.entries() == []


def test_a_process_of_somebody_else_is_nobodys_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register.register(tmp_path / "a")
    owner = os.getuid() + 1
    found = register._contents(register._path(tmp_path / "a"))
    assert found is not None
    monkeypatch.setattr(register, "_contents", lambda _: (found[0], owner))
    assert identity() == found[0]["process"]
    assert register.entries() == []


def test_a_register_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "_FOLDER", tmp_path / "missing")
    with pytest.raises(PartError, match="nothing was started"):
        register.register(tmp_path / "a")


def test_runs_are_forbidden_until_they_are_allowed() -> None:
    register.check_allowed()
    assert not register.allow_runs()
    register.forbid_runs("the \x1b[31mdemo")
    register.forbid_runs("the demo goes on")
    with pytest.raises(StoppedError, match=r"stopped at .* by .*: the demo goes on\. Nothing was started.*allow"):
        register.check_allowed()
    assert register.allow_runs()
    register.check_allowed()


def test_a_stop_that_cannot_be_read_is_one() -> None:
    register._STOP_FILE.symlink_to("/nowhere")
    with pytest.raises(StoppedError, match="cannot be read"):
        register.check_allowed()
    register._STOP_FILE.unlink()

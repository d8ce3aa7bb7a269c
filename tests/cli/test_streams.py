"""Standard streams that are closed, full or without a reader: files are written, and exit codes are the verdict's."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_chaos.machine.streams import has_colours, is_terminal, width
from tests.report.runs import write_run

COMMAND = f"{sys.executable} -m mcp_chaos.cli"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("streams", [">&-", ">/dev/full", "2>&-", "2>/dev/full", "<&- >&- 2>&-", "| true"])
def test_a_report_is_written_and_its_code_is_the_verdict_s(streams: str, tmp_path: Path) -> None:
    run = write_run(tmp_path).path
    page = tmp_path / "page.html"
    expected = shell(f"{COMMAND} report {run} --html {tmp_path}/usual.html").returncode
    line = f"{COMMAND} report {run} --html {page}"
    if streams == "| true":  # whose exit code a shell keeps to itself
        shell(f"{line} {streams}")
        assert page.exists()
        return
    assert shell(f"{line} {streams}").returncode == expected
    assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


@pytest.mark.parametrize("streams", [">&-", ">/dev/full", "2>&-", "2>/dev/full >/dev/full"])
@pytest.mark.parametrize(("command", "code"), [("runs", 0), ("runs --json", 0), ("report nowhere", 2), ("report", 2)])
def test_nothing_to_print_on_is_no_error(command: str, code: int, streams: str, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert shell(f"cd {tmp_path} && {COMMAND} {command} {streams}").returncode == code


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_a_terminal_is_asked_not_to_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert has_colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert (has_colours(), is_terminal()) == (False, True)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert (has_colours(), is_terminal()) == (False, False)


def test_columns_say_how_wide_a_text_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((50, 20)))
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width() == 80
    monkeypatch.setenv("COLUMNS", "60")
    assert width() == 60
    monkeypatch.setenv("COLUMNS", "1")
    assert width() == 20

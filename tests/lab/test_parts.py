"""Parts that cannot start."""

import importlib.util
from pathlib import Path

import pytest

from mcp_chaos.errors import PartError, UsageError
from mcp_chaos.lab import defects, parts


def test_a_part_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    part = parts.server(tmp_path, backend_port=1)
    part.child.argv[-1] = "not a port"
    part.start()
    with pytest.raises(PartError, match="The server ended with code 1"):
        part.wait_until_it_answers()
    part.stop()


def test_a_missing_extra_is_told_with_the_command_that_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "fakesnow" else object())
    with pytest.raises(PartError, match=r"needs fakesnow: pip install 'chaostoolkit-mcp\[lab\]'"):
        parts.check_lab_is_installed()


def test_an_unknown_defect_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(defects.VARIABLE, "gremlins")
    with pytest.raises(UsageError, match="no defect 'gremlins'; there are no_backend_recovery, blocks_on_backend, "):
        defects.planted_defect()
    monkeypatch.setenv(defects.VARIABLE, "")
    assert defects.planted_defect() is None

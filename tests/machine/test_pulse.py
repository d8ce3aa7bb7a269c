"""The machine's pulse."""

import hashlib
import threading
from pathlib import Path

import pytest

from mcp_chaos.config.settings import Settings
from mcp_chaos.machine import pulse
from mcp_chaos.machine.pulse import Pulse
from mcp_chaos.run.run import Run
from mcp_chaos.verdict.doubts import troubles


def test_it_beats_until_it_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    beaten = threading.Event()
    monkeypatch.setattr(pulse, "_EVERY_S", 0.001)
    monkeypatch.setattr(hashlib, "sha256", lambda work: (beaten.set(), real(work))[1])
    made = Pulse()
    assert beaten.wait(10)
    reading = made.stop()
    assert reading["beats"] >= 1
    assert reading["work_p50_ms"] > 0
    assert reading["late_p95_ms"] >= reading["late_p50_ms"]
    assert reading["tasks_per_core"] >= 0
    assert "pulse" not in [thread.name for thread in threading.enumerate()]


real = hashlib.sha256


def test_without_a_beat_nothing_is_known() -> None:
    assert Pulse().stop() == {
        "beats": 0,
        "late_p50_ms": None,
        "late_p95_ms": None,
        "work_p50_ms": None,
        "tasks_per_core": None,
    }


@pytest.mark.parametrize(("late_ms", "doubts"), [(None, 0), (5.0, 0), (250.0, 1)])
def test_a_machine_that_is_too_busy_makes_the_run_doubtful(tmp_path: Path, late_ms: float | None, doubts: int) -> None:
    run = Run(Settings(None, "streamable", "", {}, None, None, tmp_path, 1), "x", {}, print)
    run._note_pulse({"late_p95_ms": late_ms, "tasks_per_core": None})
    said = troubles(run.folder.events())
    assert len(said) == doubts
    assert not doubts or "250 ms late" in said[0]


@pytest.mark.parametrize(("tasks_per_core", "doubts"), [(None, 0), (1.5, 0), (6.04, 1)])
def test_a_machine_that_is_crowded_makes_the_run_doubtful(
    tmp_path: Path, tasks_per_core: float | None, doubts: int
) -> None:
    run = Run(Settings(None, "streamable", "", {}, None, None, tmp_path, 1), "x", {}, print)
    run._note_pulse({"late_p95_ms": None, "tasks_per_core": tasks_per_core})
    said = troubles(run.folder.events())
    assert len(said) == doubts
    assert not doubts or "6.0 tasks were ready to run for each processor" in said[0]


def test_a_stall_counts_for_all_the_beats_it_left_out() -> None:
    made = Pulse()
    made.stop()
    for _ in range(60):
        made._note(0.0, 0.001)
    made._note(2.5, 0.001)
    told = made.stop()
    assert told["beats"] == 86
    assert told["late_p95_ms"] > pulse.LATE_P95_MS

"""Whether a run became worse: false alarms and misses of the method, and its file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcp_chaos.errors import UsageError
from mcp_chaos.gate.baseline import ALARM_FRACTION, FEWEST_RUNS, Baseline, figures_of, regressions
from mcp_chaos.gate.result import Attempt
from mcp_chaos.history import RunFolder
from mcp_chaos.records import Reason
from tests.report.runs import write_run

SOUND = {
    "success_fraction": 1.0,
    "control_success_fraction": 1.0,
    "p50_ms": 14.0,
    "p95_ms": 21.0,
    "control_p50_ms": 14.0,
    "control_p95_ms": 21.0,
    "recovery_s": 0.02,
    "capacity_users": 10.0,
}
SPREAD = {"p50_ms": 0.03, "p95_ms": 0.05, "control_p50_ms": 0.03, "control_p95_ms": 0.05, "recovery_s": 0.4}


def some_runs(rng: np.random.Generator, count: int, slower: float = 1.0) -> list[dict[str, float]]:
    """Runs whose times vary as much as those of the reference server do."""
    return [
        {
            name: value * rng.lognormal(0, SPREAD[name]) * (slower if name.endswith("_ms") else 1)
            if name in SPREAD
            else value
            for name, value in SOUND.items()
        }
        for _ in range(count)
    ]


def test_alarms_are_as_rare_as_said_and_a_fifth_is_found() -> None:
    rng = np.random.default_rng(7)
    false = sum(bool(regressions(some_runs(rng, 20), some_runs(rng, 1)[0])) for _ in range(1000))
    found = sum(bool(regressions(some_runs(rng, 20), some_runs(rng, 1, slower=1.2)[0])) for _ in range(1000))
    assert false <= 2 * ALARM_FRACTION * 1000
    assert found >= 950


@pytest.mark.parametrize(
    ("name", "value", "is_worse"),
    [
        ("success_fraction", 0.97, True),
        ("success_fraction", 0.985, False),
        ("control_success_fraction", 0.9, True),
        ("p50_ms", 18.0, True),
        ("p50_ms", 10.0, False),  # better is not worse
        ("recovery_s", 2.0, True),
        ("recovery_s", 0.1, False),
        ("recovery_s", float("inf"), True),
        ("capacity_users", 5.0, True),
        ("capacity_users", 20.0, False),
    ],
)
def test_each_figure_can_become_worse(name: str, value: float, is_worse: bool) -> None:
    sentences = regressions([SOUND] * 10, {**SOUND, name: value})
    assert [name in sentence for sentence in sentences] == ([True] if is_worse else [])


def test_a_sentence_says_what_was_to_be_expected() -> None:
    (sentence,) = regressions([SOUND] * 10, {**SOUND, "p50_ms": 18})
    assert sentence.startswith("regression: p50_ms is 18 ms, in 10 earlier runs it was 14 ms, and up to 14.")


def test_figures_that_too_few_runs_have_are_not_judged() -> None:
    few = [{**SOUND, "other": 1}] * (FEWEST_RUNS - 1)
    assert regressions(few, {**SOUND, "p50_ms": 100}) == []


def test_figures_come_from_the_files_of_a_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    folder.write("result-ramp.json", {"capacity_users": 8})
    folder.write("load-ramp.json", {"name": "ramp", "lane": 0, "shape": {}})
    folder.write("result-aside.json", {"capacity_users": 3})
    folder.write("load-aside.json", {"name": "aside", "lane": 1, "shape": {}})
    found = figures_of(folder)
    assert found["capacity_users"] == 8
    assert found["success_fraction"] == 1  # calls in the fault are left out
    assert found["p50_ms"] == pytest.approx(20)
    assert found["control_p50_ms"] == pytest.approx(5)


def attempt(folder: RunFolder) -> Attempt:
    return Attempt("pass", ["well"], 1.0, folder.path)


def test_a_baseline_grows_is_kept_and_judges(tmp_path: Path) -> None:
    baseline, file = Baseline({}), tmp_path / "baseline.json"
    assert baseline.judge("x", attempt(write_run(tmp_path))) == ([], [])
    assert "no run of x, y" in baseline.problems(["x", "y"])[0]
    for count in range(1, 40):
        baseline.add("x", write_run(tmp_path))
        if count == FEWEST_RUNS - 1:
            assert "has 4 runs of 'x', and 5 are needed" in baseline.problems(["x", "y"])[0]
    baseline.write(file)
    again = Baseline.read(file)
    assert again.problems(["x", "y"]) == []
    assert [len(entry["runs"]) for entry in again.experiments["x"]] == [30]
    assert again.judge("x", attempt(write_run(tmp_path))) == ([], [])
    worse = write_run(tmp_path)
    calls = worse.calls("sustained")
    calls["reason"][:40], calls["outcome"][:40] = Reason.TIMED_OUT, 2
    calls.tofile(worse.calls_path("sustained"))
    found, doubts = again.judge("x", attempt(worse))
    assert "success_fraction" in found[0]
    assert doubts == []


def test_times_are_compared_with_those_of_the_same_load(tmp_path: Path) -> None:
    baseline = Baseline({})

    def a_run(users: int, slower_ms: int) -> RunFolder:
        folder = write_run(tmp_path)
        folder.write("load-ramp.json", {"name": "ramp", "lane": 0, "shape": {"kind": "ramp"}, "judged": True})
        folder.write("result-ramp.json", {"capacity_users": users})
        shape = {"kind": "sustained", "users": users}
        folder.write("load-sustained.json", {"name": "sustained", "lane": 0, "shape": shape, "judged": True})
        calls = folder.calls("sustained")
        calls["done_ns"] += slower_ms * 1_000_000
        calls.tofile(folder.calls_path("sustained"))
        return folder

    for _ in range(FEWEST_RUNS):
        baseline.add("x", a_run(5, 0))
    assert baseline.judge("x", attempt(a_run(10, 10))) == ([], [])  # more users take longer
    assert "p50_ms" in baseline.judge("x", attempt(a_run(5, 10)))[0][0]
    assert "capacity_users" in baseline.judge("x", attempt(a_run(2, 0)))[0][0]


def test_a_machine_that_was_busier_is_no_regression_of_the_server(tmp_path: Path) -> None:
    baseline = Baseline({})

    def a_run(late_ms: float, took_ms: int = 1) -> RunFolder:
        folder = write_run(tmp_path)
        folder.observation(0, "machine", {"beats": 9, "work_p50_ms": 0.5, "late_p50_ms": 0.1, "late_p95_ms": late_ms})
        calls = folder.calls("sustained")
        calls["done_ns"] += (took_ms - 1) * 10_000_000
        calls.tofile(folder.calls_path("sustained"))
        return folder

    for _ in range(FEWEST_RUNS):
        baseline.add("x", a_run(0.3))
    found, doubts = baseline.judge("x", attempt(a_run(0.3, took_ms=2)))
    assert "regression: p50_ms" in found[0]
    assert doubts == []
    found, doubts = baseline.judge("x", attempt(a_run(20.0, took_ms=2)))
    assert found == []
    assert doubts[0].startswith("the machine itself was slower than before (0%, and 19.7 ms later)")
    assert "regression: p50_ms" in doubts[1]
    found, doubts = baseline.judge("x", attempt(a_run(20.0, took_ms=20)))  # more than the machine can be the reason of
    assert "regression: p50_ms" in found[0]
    assert doubts == []
    assert baseline.judge("x", attempt(a_run(20.0))) == ([], [])


def test_what_is_not_the_same_is_not_compared(tmp_path: Path) -> None:
    baseline = Baseline({})
    baseline.add("x", write_run(tmp_path))
    other = write_run(tmp_path, dialect="modern")
    assert "the dialect differ from those of its runs" in baseline.judge("x", attempt(other))[1][0]
    baseline.add("x", other)
    assert "has 1 runs of this setting" in baseline.judge("x", attempt(other))[1][0]
    assert len(baseline.experiments["x"]) == 2  # none was lost
    for entry in baseline.experiments["x"]:
        entry["setting"]["machine"]["cpus"] = 512
    doubt = baseline.judge("x", attempt(write_run(tmp_path, numbers={"partition_s": 2})))[1][0]
    assert "the dialect and the numbers and the machine differ" in doubt


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        {"schema": 0, "experiments": {}},
        {"schema": 1},
        {"schema": 1, "experiments": {"x": [{"runs": []}]}},
    ]
    + [
        {"schema": 1, "experiments": {"x": [{"setting": {}, "runs": runs}]}}
        for runs in ([1], [{"p50_ms": "x"}], [{"p50_ms": True}])
    ],
)
def test_a_file_that_is_no_baseline_is_refused(tmp_path: Path, content: Any) -> None:
    file = tmp_path / "baseline.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UsageError, match="is no baseline"):
        Baseline.read(file)
    with pytest.raises(UsageError, match="--save-baseline makes one"):
        Baseline.read(tmp_path / "none.json")

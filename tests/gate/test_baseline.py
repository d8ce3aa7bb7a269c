"""Whether a run became worse: false alarms and misses of the method, and its file."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcp_chaos.errors import UsageError
from mcp_chaos.gate.baseline import Baseline, figures_of
from mcp_chaos.gate.regression import ALARM_FRACTION, FEWEST_RUNS, Figure, compared, limit_of, regressions
from mcp_chaos.gate.result import Attempt, Comparison
from mcp_chaos.history.calls import Reason
from mcp_chaos.history.folder import RunFolder
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
    found = regressions([SOUND] * 10, {**SOUND, name: value})
    assert list(found) == ([name] if is_worse else [])


def test_the_limit_is_that_of_the_book() -> None:
    """The one-sided 99 % prediction bound of one further value: mean + t(0.99; n - 1) s sqrt(1 + 1/n)."""
    values = [51.4, 49.5, 48.7, 49.3, 51.6]
    figure = Figure("", False, 0.0, 0.0)  # less is worse, so the bound is below
    bound = 50.10 - 3.7469 * 1.3134 * math.sqrt(1.2)
    assert -limit_of(figure, values, 0.01) == pytest.approx(bound, abs=1e-3)


def test_a_change_that_is_sure_and_small_is_no_regression() -> None:
    assert regressions([SOUND] * 30, {**SOUND, "p50_ms": SOUND["p50_ms"] * 1.045}) == {}
    assert regressions([SOUND] * 30, {**SOUND, "p50_ms": SOUND["p50_ms"] * 1.1}) != {}


def test_one_call_that_failed_is_no_regression_however_few_there_were() -> None:
    one_of_32 = {**SOUND, "control_success_fraction": 31 / 32, "control_calls": 32}
    assert regressions([SOUND] * 10, one_of_32) == {}
    assert regressions([SOUND] * 10, {**one_of_32, "control_success_fraction": 30 / 32}) != {}


def test_what_the_machine_explains_is_not_among_the_regressions() -> None:
    before = {**SOUND, "machine_work_ms": 1.0, "machine_late_ms": 0.1}
    now = {**before, "machine_work_ms": 2.0, "p50_ms": 26.0, "p95_ms": 420.0}
    found = compared([before] * 10, now)
    assert [sentence.split()[1] for sentence in found.regressions] == ["p95_ms"]
    assert compared([before] * 10, {**now, "p95_ms": 40.0}).doubts
    assert compared([{**before, "machine_work_ms": 0.0}] * 10, now).regressions


def test_a_sentence_says_what_was_to_be_expected() -> None:
    (sentence,) = regressions([SOUND] * 10, {**SOUND, "p50_ms": 18}).values()
    assert sentence.startswith("regression: p50_ms is 18 ms, in 10 earlier runs it was 14 ms, and up to 14.")


def test_figures_that_too_few_runs_have_are_not_judged() -> None:
    few = [{**SOUND, "other": 1}] * (FEWEST_RUNS - 1)
    assert regressions(few, {**SOUND, "p50_ms": 100}) == {}


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
    assert baseline.judge("x", attempt(write_run(tmp_path))) == Comparison()
    assert "no run of x, y" in baseline.problems(["x", "y"])[0]
    for count in range(1, 40):
        baseline.add("x", write_run(tmp_path))
        if count == FEWEST_RUNS - 1:
            assert "has 4 runs of 'x', and 5 are needed" in baseline.problems(["x", "y"])[0]
    baseline.write(file)
    again = Baseline.read(file)
    assert again.problems(["x", "y"]) == []
    assert [len(entry["runs"]) for entry in again.experiments["x"]] == [30]
    assert again.judge("x", attempt(write_run(tmp_path))) == Comparison([])
    worse = write_run(tmp_path)
    calls = worse.calls("sustained")
    calls["reason"][:40], calls["outcome"][:40] = Reason.TIMED_OUT, 2
    calls.tofile(worse.calls_path("sustained"))
    found = again.judge("x", attempt(worse))
    assert "success_fraction" in found.regressions[0]
    assert not found.doubts


def test_times_are_compared_with_those_of_the_same_load(tmp_path: Path) -> None:
    baseline = Baseline({})

    def a_run(users: int, slower_ms: int) -> RunFolder:
        folder = write_run(tmp_path)
        folder.write("load-ramp.json", {"name": "ramp", "lane": 0, "shape": {"kind": "ramp"}, "judged": True})
        folder.write("result-ramp.json", {"capacity_users": users})
        load = {"name": "sustained", "lane": 0, "judged": True, "users_from": "ramp"}
        folder.write("load-sustained.json", {**load, "shape": {"kind": "sustained", "users": users}})
        calls = folder.calls("sustained")
        calls["done_ns"] += slower_ms * 1_000_000
        calls.tofile(folder.calls_path("sustained"))
        return folder

    for _ in range(FEWEST_RUNS):
        baseline.add("x", a_run(5, 0))
    more = baseline.judge("x", attempt(a_run(10, 10)))  # more users take longer
    assert not more.regressions
    assert more.doubts[0].startswith("its ramp held 10 users, as 0 of the earlier runs did, and 5 are needed")
    assert more.is_new
    assert "p50_ms" in baseline.judge("x", attempt(a_run(5, 10))).regressions[0]
    assert "capacity_users" in baseline.judge("x", attempt(a_run(2, 0))).regressions[0]


def test_users_that_equal_a_capacity_by_chance_are_a_setting_all_the_same(tmp_path: Path) -> None:
    baseline = Baseline({})

    def a_run(capacity: int) -> RunFolder:
        folder = write_run(tmp_path)
        folder.write("load-ramp.json", {"name": "ramp", "lane": 0, "shape": {"kind": "ramp"}, "judged": True})
        folder.write("result-ramp.json", {"capacity_users": capacity})
        load = {"name": "sustained", "lane": 0, "judged": True, "users_from": None}
        folder.write("load-sustained.json", {**load, "shape": {"kind": "sustained", "users": 6}})
        return folder

    for _ in range(FEWEST_RUNS):
        baseline.add("x", a_run(8))
    assert "capacity_users" in baseline.judge("x", attempt(a_run(6))).regressions[0]


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
    found = baseline.judge("x", attempt(a_run(0.3, took_ms=2)))
    assert "regression: p50_ms" in found.regressions[0]
    assert not found.doubts
    found = baseline.judge("x", attempt(a_run(20.0, took_ms=2)))
    assert not found.regressions
    assert found.doubts[0].startswith("the machine itself was slower than before (0%, and 19.7 ms later)")
    assert "regression: p50_ms" in found.doubts[1]
    found = baseline.judge("x", attempt(a_run(20.0, took_ms=20)))  # more than the machine can be the reason of
    assert "regression: p50_ms" in found.regressions[0]
    assert not found.doubts
    assert baseline.judge("x", attempt(a_run(20.0))) == Comparison([])


def test_what_is_not_the_same_is_not_compared(tmp_path: Path) -> None:
    baseline = Baseline({})
    baseline.add("x", write_run(tmp_path))
    other = write_run(tmp_path, dialect="modern")
    assert "the dialect of its runs are others" in baseline.judge("x", attempt(other)).doubts[0]
    baseline.add("x", other)
    assert "are needed, the baseline has 1;" in baseline.judge("x", attempt(other)).doubts[0]
    assert len(baseline.experiments["x"]) == 2  # none was lost
    for entry in baseline.experiments["x"]:
        entry["setting"]["machine"]["cpus"] = 512
    doubt = baseline.judge("x", attempt(write_run(tmp_path, numbers={"partition_s": 2}))).doubts[0]
    assert "the dialect and the numbers and the machine of its runs are others" in doubt


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

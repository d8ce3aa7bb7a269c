"""A figure is one place: measured, checked, worded, shown, drawn, exported, compared and documented from there."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcp_chaos.errors import UsageError
from mcp_chaos.gate.baseline import figures_of
from mcp_chaos.gate.regression import regressions
from mcp_chaos.report.html import render_page, run_page
from mcp_chaos.report.past import differences
from mcp_chaos.report.prometheus import as_prometheus
from mcp_chaos.report.terminal import render
from mcp_chaos.toolkit.arguments import Known, argument_problems
from mcp_chaos.toolkit.timing import deadline_problems, played
from mcp_chaos.verdict.figure import FIGURES, Figure, OnlyIn, Regression, Shown
from mcp_chaos.verdict.figures import Figures
from mcp_chaos.verdict.judge import judge
from mcp_chaos.verdict.thresholds import Threshold
from tests import reference_page
from tests.e2e.conftest import activity
from tests.histories import a_history, every, fault
from tests.report.runs import write_run

SLOW_MS = 100


def slow_calls() -> Figure[int]:
    return Figure(
        "calls that took more than 100 ms",
        lambda made: int(np.count_nonzero(made.latencies_ms > SLOW_MS)),
        heading="slow",
        shown=Shown.EVERYWHERE,
        words="{} of the calls were slow",
        only_in=OnlyIn("fault", "only a fault makes calls slow"),
    )


def p90_ms() -> Figure[float | None]:
    return Figure(
        "the latency of 90 %",
        lambda made: made.quantile_ms(0.9),
        unit="ms",
        heading="p90 ms",
        shown=Shown.EVERYWHERE,
        words="one call in ten took longer than {}",
        difference="the slowest call in ten took",
        quantile=0.9,
        line=("dashdot", 1.0),
        regression=Regression(0.1, 0.03),
    )


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Figure[Any]] = {"slow_calls": slow_calls(), "p90_ms": p90_ms()}
    for name, figure in made.items():
        monkeypatch.setitem(FIGURES, name, figure)
        figure.__set_name__(Figures, name)


ROWS = [*every(0.1, 0, 3), *every(0.1, 3, 5, took_ms=300), *every(0.1, 5, 12)]


def verdict_of(*thresholds: str) -> Any:
    return judge(a_history(ROWS, fault(3, 5), {"fault": list(thresholds)}))


def test_it_is_measured_and_judged() -> None:
    verdict = verdict_of("slow_calls >= 20", "p90_ms - baseline.p90_ms <= 300")
    assert [j.outcome for j in verdict.judgements] == ["met", "met"]
    fault_figures = verdict.as_dict()["windows"]["fault"]["faulted"]
    assert (fault_figures["slow_calls"], fault_figures["p90_ms"]) == (20, 300)


def test_it_is_checked() -> None:
    with pytest.raises(UsageError, match="did you mean 'slow_calls'"):
        Threshold.parse("fault", "slow_cals == 0")
    with pytest.raises(UsageError, match="only a fault makes calls slow, in the window 'fault'"):
        Threshold.parse("recovery", "slow_calls == 0")
    known = Known((), (), ("load",), [])
    assert argument_problems("load_reading", {"figure": "p90_ms"}, known) == []
    load = activity("start_load", name="load", shape="burst", deadline_s=1)
    (problem,) = deadline_problems(played([load], {}), [Threshold.parse("fault", "p90_ms <= 2000")])
    assert "'p90_ms <= 2000' cannot be missed" in problem


def test_a_quantile_of_few_calls_is_not_held_against_the_server() -> None:
    assert (
        Threshold.parse("fault", "p90_ms <= 299")
        .judge(verdict_of("calls > 0").measured.figures, verdict_of("calls > 0").measured.latencies_ms)
        .outcome
        == "missed"
    )
    rows = [*every(0.1, 0, 3), *every(0.2, 3, 4.6), *every(0.2, 4.6, 5, took_ms=300), *every(0.1, 5, 12)]
    (judgement,) = judge(a_history(rows, fault(3, 5), {"fault": ["p90_ms <= 200"]})).judgements
    assert judgement.outcome == "inconclusive"


def test_it_is_worded() -> None:
    assert verdict_of("slow_calls <= 3").headline == (
        "While a fault was in place, 20 of the calls were slow, and 3 at most may"
    )
    assert verdict_of("p90_ms <= 200").headline == (
        "While a fault was in place, one call in ten took longer than 300 ms, and 200 ms were allowed"
    )


def test_it_is_shown(tmp_path: Path) -> None:
    verdict = verdict_of("calls > 0")
    (heads,) = [line for line in render(verdict, colour=False).splitlines() if "seconds" in line and "p50" in line]
    assert re.search(r"p90 ms", heads)
    assert re.search(r"\bslow\b", heads)
    found = {(one.window, one.figure): one.first for one in differences(verdict, verdict) if one.lane == "faulted"}
    assert (found["fault", "slow_calls"], found["baseline", "p90_ms"]) == (20, 10)
    page = run_page(write_run(tmp_path))
    text = render_page("x", "pass", [page])
    assert "<th>slow</th>" in text
    assert text.count("<th>p90 ms</th>") == 3  # in the windows, and in the time line for each lane
    assert '"p90 faulted lane"' in str(page.data)
    assert 'percentile="90"' in as_prometheus([page])


def test_it_is_compared_with_earlier_runs(tmp_path: Path) -> None:
    found = figures_of(write_run(tmp_path))
    assert found["control_p90_ms"] == pytest.approx(5)
    worse = regressions([found] * 10, {**found, "p90_ms": 10 * found["p90_ms"]})
    assert worse["p90_ms"].startswith("regression: p90_ms is ")


def test_it_is_documented() -> None:
    text = reference_page.render()
    assert "| `slow_calls` | calls that took more than 100 ms, in the window `fault` |" in text
    assert "| `p90_ms` | the latency of 90 % |" in text

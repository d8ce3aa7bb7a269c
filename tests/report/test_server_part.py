"""What a page shows of the server besides its answers."""

from pathlib import Path

from mcp_chaos.history.server_samples import ProcessSample, SelfReport
from mcp_chaos.report.html import render_page, run_page
from mcp_chaos.report.series import MOST_BUCKETS
from mcp_chaos.report.server import process_charts
from tests.histories import S, event
from tests.report.runs import START_S, write_run


def at(at_s: float, fds: int = 10) -> ProcessSample:
    sockets = {"ESTABLISHED": 3, "CLOSE_WAIT": 1}
    return ProcessSample(7, 50_000_000, fds, 4, 1, 10 + at_s, 2, sockets, round((START_S + at_s) * S))


def test_a_page_draws_the_process_and_lists_it_by_window(tmp_path: Path) -> None:
    rest = [event(START_S + 12.5, "rest_began"), event(START_S + 14, "rest_ended", settled=True)]
    folder = write_run(tmp_path, more=[event(START_S - 2, "run_started"), *rest])
    for at_s in (-1, 1, 4, 6, 13, 13.9):
        folder.server_sample(at(at_s, fds=99 if at_s == 4 else 10))
    for at_s, calls in ((-1, 0), (13.9, 812)):
        folder.server_sample(SelfReport(round((START_S + at_s) * S), None, "", {"calls": calls}))
    folder.server_sample(SelfReport(START_S * S, True, "healthy"))
    page = run_page(folder)
    assert [chart.name for chart in page.charts if chart.name.startswith("server-")] == [
        "server-memory",
        "server-holds",
        "server-sockets",
        "server-cpu",
    ]
    assert [(window, of.fds, of.max_fds) for window, of in page.server.windows] == [
        ("before", 10, 10),
        ("baseline", 10, 10),
        ("fault", 99, 99),
        ("recovery", 10, 10),
        ("rest", 10, 10),
    ]
    assert page.server.counters == [("calls", 0, 812)]
    text = render_page("x", "pass", [page])
    assert "The server's process" in text
    assert "/health: healthy (1)." in text
    assert '<td class="text">calls</td><td>0</td><td>812</td>' in text


def test_a_run_of_a_server_that_cannot_be_seen_shows_nothing_of_it(tmp_path: Path) -> None:
    page = run_page(write_run(tmp_path))
    assert not page.server.windows
    assert "The server's process" not in render_page("x", "pass", [page])


def test_a_long_run_has_no_more_points_than_a_short_one_and_keeps_its_peaks() -> None:
    samples = [at(0.5 * n, fds=500 if n == 4321 else 10) for n in range(10_000)]
    charts = process_charts(samples, START_S * S)
    assert {len(trace["x"]) for chart in charts for trace in chart.traces} == {MOST_BUCKETS}
    holds = next(chart for chart in charts if chart.name == "server-holds")
    assert max(holds.traces[0]["y"]) == 500

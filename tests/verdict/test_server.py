"""Figures of the server's process per window, thresholds on them, and where they do not apply."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from mcp_chaos.errors import UsageError
from mcp_chaos.history.calls import Reason
from mcp_chaos.history.events import Event
from mcp_chaos.history.history import History
from mcp_chaos.history.server_samples import ProcessSample, SelfReport
from mcp_chaos.verdict.judge import judge
from mcp_chaos.verdict.judgement import Judgement
from mcp_chaos.verdict.server import server_figures, server_windows
from mcp_chaos.verdict.thresholds import Threshold, parse_thresholds
from mcp_chaos.verdict.wording import plainly
from tests.histories import S, a_history, event, every, fault

KEPT = "server.fds <= before.server.fds + 8"
FAILED = Reason.RPC_ERROR
RESTED = [event(13, "rest_began"), event(16, "rest_ended", settled=True)]


def at(at_s: float, **more: float) -> ProcessSample:
    known = {"rss_bytes": 50_000_000, "fds": 10, "threads": 4, "close_wait": 0, "cpu_s": at_s / 10}
    return ProcessSample(**{"pid": 1, **known, **more, "at_ns": round(at_s * S)})  # type: ignore[arg-type]


def history_of(
    samples: Iterable[ProcessSample], *thresholds: str, reports: Iterable[SelfReport] = (), events: list[Event] = RESTED
) -> History:
    """A fault from 4 to 6 s in a load from 1 to 12 s; the server is looked at from 0 s on, and rests until 16 s."""
    known = [event(0, "run_started"), *fault(4, 6), *events]
    calls = [*every(0.05, 1, 4), *every(0.05, 4, 6, reason=FAILED), *every(0.05, 6, 12)]
    made = a_history(calls, known, {"rest": list(thresholds)}, load=(1, 12))
    return replace(made, process_samples=list(samples), self_reports=list(reports))


def judged(history: History) -> tuple[str, Judgement]:
    verdict = judge(history)
    return verdict.verdict, verdict.judgements[0]


def test_the_windows_before_the_load_and_after_its_end() -> None:
    found = server_windows(history_of([], KEPT).events, {"fault": []})
    assert [(s.start_ns / S, s.end_ns // S) for name in ("before", "rest") for s in found[name]] == [(0, 1), (13, 16)]
    assert server_windows([event(0, "run_started")], {})["before"] == []
    going_on = [event(0, "run_started"), event(13, "rest_began")]
    assert server_windows(going_on, {}, now_ns=15 * S)["rest"][0].end_ns == 15 * S + 1


def test_a_window_ends_with_its_last_sample_and_knows_the_most() -> None:
    samples = [at(13, fds=90, threads=9, rss_bytes=70_000_000), at(14), at(15.5, fds=12, children=2, cpu_s=2.0)]
    history = history_of(samples, KEPT)
    rest = server_figures(history, server_windows(history.events, {}))["rest"]
    assert (rest.fds, rest.threads, rest.children, rest.rss_mb) == (12, 4, 2, 50.0)
    assert (rest.max_fds, rest.max_threads, rest.max_rss_mb) == (90, 9, 70.0)
    assert rest.cpu_fraction == pytest.approx(
        (2.0 - 1.4) / 1.5
    )  # of the last second and more, without what came before


def test_what_a_server_gives_back_is_no_leak_and_what_it_keeps_is_told_with_numbers() -> None:
    sound = [at(0.5), at(5, fds=80), at(15, fds=18)]
    assert judged(history_of(sound, KEPT))[0] == "pass"
    verdict, judgement = judged(history_of([*sound[:2], at(15, fds=19)], KEPT))
    assert verdict == "fail"
    assert judgement.sentence() == f"rest: '{KEPT}' was missed, at 19 against 18"
    said = "After the load had ended and its sessions were closed, the server's process had 19 file descriptors open"
    assert plainly(judgement) == f"{said}, and 18 were allowed"


@pytest.mark.parametrize("reports", [[], [SelfReport(S, True, "ok")]])
def test_a_process_that_cannot_be_seen_makes_thresholds_not_applicable(reports: list[SelfReport]) -> None:
    history = history_of([], KEPT, reports=reports)
    history.manifest["thresholds"]["recovery"] = ["success_fraction >= 0.99"]
    verdict = judge(history)
    assert verdict.verdict == "pass"
    assert "1 did not apply (the server's process cannot be seen from here)" in verdict.reasons[0]
    assert verdict.judgements[0].outcome == "not_applicable"


def test_a_run_in_which_no_threshold_applies_proves_nothing() -> None:
    verdict = judge(history_of([], KEPT))
    assert verdict.verdict == "inconclusive"
    assert verdict.reasons == ["no threshold applies: the server's process cannot be seen from here"]


def test_a_process_that_was_started_again_begins_anew() -> None:
    history = history_of([at(0.5), at(15, pid=2, fds=900)], KEPT, "server.fds <= 100")
    judgements = judge(history).judgements
    assert [j.outcome for j in judgements] == ["not_applicable", "missed"]
    assert judgements[0].why == "the server's process was started again in between"


def test_a_rest_that_never_came_leaves_the_question_open() -> None:
    verdict, judgement = judged(history_of([at(0.5), at(5)], KEPT, events=[]))
    assert (verdict, judgement.missing) == ("inconclusive", "rest.server.fds")


@pytest.mark.parametrize(
    ("window", "text", "said"),
    [
        ("rest", "success_fraction >= 0.99", "the window 'rest' has no calls, only figures of the server"),
        ("rest", "fds <= 9", "'fds' is no figure of calls: write server.fds"),
        ("fault", "server.p95_ms <= 9", "'p95_ms' is no figure of the server"),
        ("rest", "server.fsd <= 9", "there is no figure 'fsd'; did you mean 'fds'?"),
        ("fault", "before.p95_ms <= 9", "the window 'before' has no calls"),
        ("fault", "rest.server.control.fds <= 9", "is not window.lane.figure"),
    ],
)
def test_what_is_no_figure_of_the_server_is_refused(window: str, text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_thresholds({window: [text]})
    assert said in str(caught.value)


def test_a_threshold_of_any_window_may_be_about_the_server() -> None:
    assert Threshold.parse("fault", "server.max_rss_mb <= 500").server_names() == [("fault", "max_rss_mb")]
    assert Threshold.parse("rest", KEPT).names() == []


def report(at_s: float, healthy: bool | None) -> SelfReport:
    return SelfReport(round(at_s * S), healthy, "healthy" if healthy else "unhealthy")


HONEST = "server.health_wrong_s == 0"


def of_health(reports: Iterable[SelfReport], *, are_served: bool = True) -> tuple[str, Judgement]:
    """A load from 1 to 16 s with a fault from 4 to 6 s; a recovery may take 3 s."""
    later = every(0.05, 6, 16, reason=Reason.OK if are_served else FAILED)
    thresholds = {"recovery": [HONEST, "recovery_s <= 3"]}
    calls = [*every(0.05, 1, 4), *every(0.05, 4, 6, reason=FAILED), *later]
    made = a_history(calls, [event(0, "run_started"), *fault(4, 6)], thresholds, load=(1, 16))
    return judged(replace(made, self_reports=list(reports)))


def test_a_server_that_says_down_while_calls_succeed_is_told() -> None:
    verdict, judgement = of_health([report(s, s < 5) for s in range(16)])
    assert verdict == "fail"
    assert judgement.sentence().startswith(f"recovery: '{HONEST}' was missed, at 6; for 6.0 s /health said")
    assert "'unhealthy' while 120 of 120 calls succeeded" in plainly(judgement)


def test_a_server_that_says_well_while_no_call_succeeds_is_told() -> None:
    verdict, judgement = of_health([report(s, True) for s in range(16)], are_served=False)
    assert verdict == "fail"
    assert "said 'healthy' while none of 120 did" in judgement.sentence()


@pytest.mark.parametrize(
    "reports",
    [
        [report(s, True) for s in range(16)],
        [report(s, not 4 <= s <= 8) for s in range(16)],  # late by less than a recovery may take
        [report(s, s % 2 == 0) for s in range(16)],  # wrong now and then
        [report(s, False) for s in range(16)],  # about something else than calls: it was never well
        [report(s, None if s > 5 else True) for s in range(16)],
    ],
)
def test_a_server_that_knows_how_it_is_or_says_nothing_is_not_accused(reports: list[SelfReport]) -> None:
    assert of_health(reports)[0] == "pass"


def test_a_server_without_a_health_page_is_not_judged_by_it() -> None:
    assert of_health([])[1].why == "the server has no /health that says how it is"


def test_a_call_that_is_made_to_compare_tells_where_the_load_ended_too_soon() -> None:
    compared = [replace(report(s, False), served=True) for s in (16.1, 16.7, 18.2)]
    history = replace(history_of([at(0.5), at(15)], HONEST), self_reports=[report(1, True), *compared])
    verdict, judgement = judged(history)
    assert verdict == "fail"
    assert judgement.causes == "for 2.1 s /health said 'unhealthy' while 3 of 3 calls succeeded"
    brief = replace(history, self_reports=[report(1, True), *compared[:2]])
    assert judged(brief)[0] == "pass"


@pytest.mark.parametrize(("fault_id", "wrong_s"), [("clients-1", 4), ("fault-1", 0)])
def test_while_the_network_is_faulted_calls_say_nothing_of_the_server(fault_id: str, wrong_s: int) -> None:
    calls = [*every(0.05, 1, 4), *every(0.05, 4, 12, reason=FAILED), *every(0.05, 12, 16)]
    thresholds = {"fault": [HONEST], "recovery": ["recovery_s <= 3"]}
    events = [event(0, "run_started"), *fault(4, 12, fault_id)]
    made = a_history(calls, events, thresholds, load=(1, 16))
    judgement = judge(replace(made, self_reports=[report(s, True) for s in range(16)])).judgements[0]
    assert judgement.left == wrong_s

"""Windows, figures and recovery times from histories."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_chaos.history.calls import CALL, Lane, Reason
from mcp_chaos.verdict.measure import figures, measure, recovery_s, slowest
from mcp_chaos.verdict.spans import Segment, fault_spans, merged
from tests.histories import S, a_history, call, calls_of, event, every, fault


def test_windows_follow_from_the_faults() -> None:
    history = a_history(every(0.1, 0, 12), [*fault(3, 5), *fault(7, 8, "fault-2")])
    windows = measure(history).windows
    assert windows["baseline"] == [Segment(0, 3 * S)]
    assert windows["fault"] == [Segment(3 * S, 5 * S), Segment(7 * S, 8 * S)]
    assert windows["recovery"] == [Segment(5 * S, 7 * S), Segment(8 * S, 12 * S)]


def test_overlapping_faults_are_one_time_of_fault() -> None:
    history = a_history(every(0.1, 0, 12), [*fault(3, 6), *fault(5, 8, "fault-2")])
    assert measure(history).windows["fault"] == [Segment(3 * S, 8 * S)]


def test_what_lies_between_the_asking_for_a_heal_and_its_end_belongs_to_no_window() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 3, 5, reason=Reason.TIMED_OUT), *every(0.1, 5, 15)]
    measured = measure(a_history(rows, fault(3, 10, asked_s=5), load=(0, 15)))
    assert measured.faults[0].span == Segment(3 * S, 5 * S)
    assert measured.windows["fault"] == [Segment(3 * S, 5 * S)]
    assert measured.windows["recovery"] == [Segment(10 * S, 15 * S)]
    assert measured.figures["fault"]["faulted"].success_fraction == 0
    assert measured.figures["recovery"]["faulted"].calls == 50
    assert measured.unseen_heals == 0


def test_a_heal_that_never_ended_leaves_no_recovery() -> None:
    measured = measure(a_history(every(0.1, 0, 12), fault(3, None, asked_s=5)))
    assert not measured.faults[0].healed
    assert measured.windows["fault"] == [Segment(3 * S, 5 * S)]
    assert measured.windows["recovery"] == []


def test_a_fault_that_was_never_healed_lasts_to_the_end() -> None:
    measured = measure(a_history(every(0.1, 0, 12), fault(3, None)))
    assert not measured.faults[0].healed
    assert measured.windows["recovery"] == []


def test_a_fault_that_toxiproxy_refused_is_none() -> None:
    events = [*fault(3, None)[:1], event(3.1, "fault_refused", fault_id="fault-1")]
    assert fault_spans(events, 10 * S) == []


def test_an_id_that_is_used_again_is_another_fault() -> None:
    refused = [event(1, "fault_injecting", fault_id="a", name="x", proxy="mcp", toxics=[])]
    refused += [event(2, "fault_refused", fault_id="a")]
    (first, second) = fault_spans([*fault(3, 5, "a"), *fault(6, 8, "a", proof=None), *fault(9, 10, "b")], 12 * S)[:2]
    assert (first.span.end_ns, second.span.end_ns) == (5 * S, 8 * S)
    assert (first.proof, second.proof, second.doubt) == ("felt", None, "nothing happened")
    assert fault_spans(refused, 12 * S) == []


def test_a_call_stuck_in_a_fault_counts_where_it_was_intended() -> None:
    rows = [*every(0.1, 0, 3), call(3.5, Reason.TIMED_OUT, took_ms=4000), *every(0.1, 5, 12)]
    measured = measure(a_history(rows, fault(3, 5)))
    assert measured.figures["fault"]["faulted"].hung_calls == 1
    assert measured.figures["recovery"]["faulted"].hung_calls == 0


def test_a_call_in_flight_when_a_fault_comes_is_the_faults() -> None:
    cut = [call(2.95, Reason.CLOSED, took_ms=60), call(6.95, Reason.CLOSED, took_ms=60)]
    events = [*fault(3, 5), *fault(7, 8, "fault-2")]
    measured = measure(a_history([*every(0.1, 0, 2.9), *cut, *every(0.1, 8, 12)], events))
    assert measured.figures["baseline"]["faulted"].success_fraction == 1
    assert measured.figures["fault"]["faulted"].calls == 2
    assert measured.figures["recovery"]["faulted"].success_fraction == 1


def test_a_load_that_met_no_fault_is_not_judged() -> None:
    history = a_history(every(0.1, 0, 2), fault(3, 5), load=(0, 2))
    measured = measure(history)
    assert measured.loads == {}
    assert measured.figures["baseline"]["faulted"].calls == 0


def test_the_load_of_a_probe_is_not_judged() -> None:
    history = a_history([], fault(3, 5))
    history.events.append(event(3.5, "load_started", load="burst-1", lane="faulted", judged=False))
    history.calls["burst-1"] = calls_of(every(0.1, 3, 4))
    assert list(measure(history).loads) == ["sustained"]


def test_lanes_are_told_apart() -> None:
    rows = [*every(0.1, 3, 5, reason=Reason.REFUSED), *every(0.1, 3, 5, lane=Lane.CONTROL)]
    measured = measure(a_history(rows, fault(3, 5)))
    assert measured.figures["fault"]["faulted"].success_fraction == 0
    assert measured.figures["fault"]["control"].success_fraction == 1


def test_figures_count_each_call_once() -> None:
    reasons = list(Reason)
    found = figures(calls_of(call(i, reason) for i, reason in enumerate(reasons)), 10)
    assert found.calls == len(reasons) == found.ok_calls + found.failed_calls + found.unknown_calls
    assert (found.rate_limited_calls, found.sessions_lost, found.hung_calls) == (1, 1, 1)
    assert found.wrong_answers == 2  # of another call, and of other content
    assert found.calls_per_s == len(reasons) / 10


def test_figures_of_no_call_are_unknown() -> None:
    found = figures(np.empty(0, dtype=CALL), 0)
    assert found.success_fraction is found.p95_ms is found.calls_per_s is None


@given(st.lists(st.floats(0.1, 5000), min_size=1, max_size=50))
def test_percentiles_are_of_the_calls_latencies(latencies_ms: list[float]) -> None:
    found = figures(calls_of(call(i, took_ms=ms) for i, ms in enumerate(latencies_ms)), 1)
    assert found.max_ms == pytest.approx(max(latencies_ms), abs=1e-3)
    assert found.p50_ms == pytest.approx(np.median(latencies_ms), abs=1e-3)


def test_recovery_is_the_answer_from_which_on_all_is_well() -> None:
    rows = [*every(0.1, 5, 6, reason=Reason.REFUSED), *every(0.1, 6, 10)]
    assert recovery_s(calls_of(rows), Segment(5 * S, 10 * S)) == pytest.approx(1.01)


def test_a_lucky_answer_is_not_recovery() -> None:
    rows = [call(5.05), *every(0.1, 5.15, 7, reason=Reason.REFUSED), *every(0.1, 7, 10)]
    assert recovery_s(calls_of(rows), Segment(5 * S, 10 * S)) == pytest.approx(1.96)


def test_the_pauses_of_a_load_are_not_the_services_recovery() -> None:
    rows = [*every(0.01, 14, 14.1), *every(0.01, 24, 24.1)]
    assert recovery_s(calls_of(rows), Segment(5 * S, 30 * S)) == pytest.approx(0.01)


def test_a_last_answer_alone_is_not_recovery() -> None:
    rows = [*every(0.1, 5, 9.9, reason=Reason.REFUSED), call(9.95)]
    assert recovery_s(calls_of(rows), Segment(5 * S, 10 * S)) == math.inf


def test_no_call_is_no_recovery() -> None:
    assert recovery_s(np.empty(0, dtype=CALL), Segment(0, S)) is None


def test_the_slowest_of_several_recoveries_counts() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 5, 6, reason=Reason.REFUSED), *every(0.1, 6, 9)]
    segments = [Segment(0, 3 * S), Segment(5 * S, 9 * S)]
    assert slowest([recovery_s(calls_of(rows), one) for one in segments]) == pytest.approx(1.01)


def test_one_recovery_that_never_came_is_never() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 5, 9, reason=Reason.REFUSED)]
    assert slowest([recovery_s(calls_of(rows), one) for one in [Segment(0, 3 * S), Segment(5 * S, 9 * S)]]) == math.inf
    assert measure(a_history([*every(0.1, 5, 12, reason=Reason.REFUSED)], fault(3, 5))).never_steady


def test_a_recovery_too_short_to_see_is_not_held_against_the_service() -> None:
    measured = measure(a_history(every(0.1, 0, 12), fault(3, 11.5)))
    assert measured.figures["recovery"]["faulted"].recovery_s is None
    assert not measured.never_steady
    assert measured.unseen_heals == 1


def test_a_fault_outside_the_load_shapes_no_window() -> None:
    history = a_history(every(0.1, 0, 12), [*fault(-60, -50), *fault(3, 5, "fault-2"), *fault(13, 14, "fault-3")])
    windows = measure(history).windows
    assert windows["baseline"] == [Segment(0, 3 * S)]
    assert windows["fault"] == [Segment(3 * S, 5 * S)]
    assert windows["recovery"] == [Segment(5 * S, 12 * S)]


def test_windows_end_where_the_load_does() -> None:
    windows = measure(a_history(every(0.1, 0, 12), fault(-60, 5))).windows
    assert windows["baseline"] == []
    assert windows["fault"] == [Segment(0, 5 * S)]


def test_a_stretch_too_short_to_tell_is_passed_over() -> None:
    rows = [*every(0.1, 0, 0.5, reason=Reason.REFUSED), *every(0.1, 5, 9)]
    assert slowest([recovery_s(calls_of(rows), one) for one in [Segment(0, S // 2), Segment(5 * S, 9 * S)]]) is not None


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 20)), max_size=10))
def test_merged_segments_cover_the_same_time_without_overlap(pairs: list[tuple[int, int]]) -> None:
    segments = [Segment(start, start + length) for start, length in pairs]
    result = merged(segments)
    assert {t for s in segments for t in range(s.start_ns, s.end_ns)} == {
        t for s in result for t in range(s.start_ns, s.end_ns)
    }
    assert all(a.end_ns < b.start_ns for a, b in pairwise(result))


def test_the_time_until_a_service_is_steady_is_its_recovery_times_alone() -> None:
    late = [*every(0.1, 5, 6, reason=Reason.REFUSED), call(5.5, Reason.TIMED_OUT, took_ms=400), call(5.6, took_ms=900)]
    measured = measure(a_history([*every(0.1, 0, 3), *late, *every(0.1, 6, 12)], fault(3, 5)))
    found = measured.figures["recovery"]["faulted"]
    assert found.recovery_s == pytest.approx(1.01)
    assert (found.success_fraction, found.hung_calls, found.calls) == (1, 0, 60)
    assert found.max_ms == pytest.approx(10)
    assert found.calls_per_s == pytest.approx(10)


def test_what_fails_after_the_service_was_steady_counts() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 5, 8), *every(0.1, 8, 9, reason=Reason.REFUSED), *every(0.1, 9, 12)]
    found = measure(a_history(rows, fault(3, 5))).figures["recovery"]["faulted"]
    assert found.recovery_s == pytest.approx(0.01)
    assert found.failed_calls == 10


def test_a_service_that_never_became_steady_has_all_of_its_calls_counted() -> None:
    rows = [*every(0.1, 0, 3), *every(0.2, 5, 12, reason=Reason.REFUSED), *every(0.2, 5.1, 12)]
    found = measure(a_history(rows, fault(3, 5))).figures["recovery"]["faulted"]
    assert (found.calls, found.ok_calls) == (70, 35)


def test_opening_a_session_is_no_part_of_a_latency() -> None:
    first = [call(user / 100, took_ms=1005, opening_ms=1000, user=user) for user in range(5)]
    rows = [*first, *every(0.1, 1.1, 3, user=2), *every(0.1, 5, 12, user=2)]
    assert measure(a_history(rows, fault(3, 5))).figures["baseline"]["faulted"].max_ms == pytest.approx(10)
    again = [call(5, Reason.CLOSED, user=1), call(5.1, took_ms=905, opening_ms=900, user=1)]
    again += [call(9, Reason.SESSION_RENEWED, took_ms=805, opening_ms=800, user=2)]
    found = measure(a_history([*rows, *again], fault(3, 5))).figures["recovery"]["faulted"]
    assert found.max_ms == pytest.approx(10)
    assert found.sessions_renewed == 1


def test_a_client_that_connects_again_for_no_reason_is_timed_from_when_it_was_ready() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 5, 8), call(8.5, took_ms=905, opening_ms=900), *every(0.1, 9.5, 12)]
    assert measure(a_history(rows, fault(3, 5))).figures["recovery"]["faulted"].max_ms == pytest.approx(905)


def test_a_call_that_our_own_heal_cut_off_belongs_to_no_window() -> None:
    rows = [*every(0.1, 0, 12), call(4.9, Reason.CLOSED, took_ms=110), call(4.95, Reason.TIMED_OUT, took_ms=500)]
    events = fault(3, 5.02, asked_s=5)
    assert measure(a_history(rows, events)).figures["fault"]["faulted"].unknown_calls == 2
    events[-1].data["connections_cut"] = True
    found = measure(a_history(rows, events)).figures["fault"]["faulted"]
    assert (found.unknown_calls, found.hung_calls, found.disturbed_calls) == (1, 1, 2)


def test_slow_calls_are_disturbed_and_usual_ones_are_not() -> None:
    handshake = call(-0.1, took_ms=90)
    rows = [handshake, *every(0.1, 0, 3), *every(0.1, 3, 4), *every(0.1, 4, 5, took_ms=60), *every(0.1, 5, 12)]
    aside = [*every(0.1, 0, 12, lane=Lane.CONTROL)]
    measured = measure(a_history([*rows, *aside], fault(3, 5), load=(-0.2, 12)))
    assert measured.figures["fault"]["faulted"].disturbed_calls == 10
    assert measured.figures["fault"]["control"].disturbed_calls == 0
    assert measured.figures["recovery"]["faulted"].disturbed_calls is None


def test_a_busy_baseline_hides_no_fault_and_chance_makes_none() -> None:
    slow = [call(at / 10, took_ms=700) for at in (1, 11, 21)]
    busy = [*every(0.1, 0.2, 1.1, took_ms=100), *every(0.1, 1.2, 2.1, took_ms=190), *every(0.1, 2.2, 3, took_ms=150)]
    late = every(0.1, 3, 5, took_ms=330)
    found = measure(a_history([*slow, *busy, *late, *every(0.1, 5, 12)], fault(3, 5))).figures["fault"]["faulted"]
    assert found.disturbed_calls is not None
    assert found.disturbed_calls >= 10
    usual = [call(at / 10, took_ms=100 + 10 * (at % 7)) for at in range(50)]
    found = measure(a_history([*usual, *every(0.1, 5, 12)], fault(3, 5))).figures["fault"]["faulted"]
    assert found.disturbed_calls is not None
    assert found.disturbed_calls < 10

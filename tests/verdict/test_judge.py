"""Verdicts: three-valued, worst first, each with the reason a person needs."""

from dataclasses import replace

import pytest

from mcp_chaos.history.calls import Lane, Reason
from mcp_chaos.history.event_kinds import COULD_NOT_HEAL
from mcp_chaos.history.events import Event
from mcp_chaos.history.history import History
from mcp_chaos.verdict.judge import FAIL, INCONCLUSIVE, PASS, judge
from tests.histories import a_history, call, event, every, fault

SOUND = [*every(0.1, 0, 3), *every(0.1, 3, 5, reason=Reason.REFUSED), *every(0.1, 5, 12)]
BROKEN = [*every(0.1, 0, 3), *every(0.1, 3, 12, reason=Reason.REFUSED)]


def test_a_sound_server_passes() -> None:
    verdict = judge(a_history(SOUND, fault(3, 5)))
    assert verdict.verdict == PASS
    assert "the fault was felt, the one threshold was met" in verdict.reasons[0]


def test_a_missed_threshold_fails_and_names_its_window() -> None:
    verdict = judge(a_history(BROKEN, fault(3, 5)))
    assert verdict.verdict == FAIL
    assert verdict.reasons[0].startswith("recovery: 'success_fraction >= 0.99' was missed")


def test_a_service_that_never_comes_back_misses_its_recovery_time() -> None:
    verdict = judge(a_history(BROKEN, fault(3, 5), {"recovery": ["recovery_s <= 5"]}))
    assert verdict.verdict == FAIL
    assert verdict.reasons[0] == "recovery: 'recovery_s <= 5' was missed: the service never became steady again"


def test_a_recovery_time_without_any_call_is_no_evidence() -> None:
    verdict = judge(a_history(every(0.1, 0, 5), fault(3, 5), {"recovery": ["recovery_s <= 5"]}))
    assert verdict.verdict == INCONCLUSIVE


def test_a_fault_that_was_not_felt_proves_nothing() -> None:
    verdict = judge(a_history(SOUND, fault(3, 5, proof=None)))
    assert verdict.verdict == INCONCLUSIVE
    assert "was not felt: nothing happened" in verdict.reasons[0]


def test_what_is_seen_under_an_unfelt_fault_is_told_and_does_not_fail_a_run() -> None:
    missed = event(11, "hypothesis_missed", when="after", probe="'it answers'")
    verdict = judge(a_history(BROKEN, [*fault(3, 5, proof=None), missed]))
    assert verdict.verdict == INCONCLUSIVE
    told = [reason for reason in verdict.reasons if reason.startswith("not held against the server")]
    said = "2 misses (the steady state after the method, recovery: 'success_fraction >= 0.99')"
    assert told == [f"not held against the server, as not every fault was felt: {said}"]


@pytest.mark.parametrize(
    "busy",
    [
        event(4, "machine_overloaded", late_ms=900.0),
        event(4, "generator_overloaded", load="x", why="it was late", by_itself=True),
    ],
)
def test_what_a_busy_machine_measured_is_told_and_does_not_fail_a_run(busy: Event) -> None:
    verdict = judge(a_history(BROKEN, [*fault(3, 5), busy], {"recovery": ["p95_ms <= 5", "success_fraction >= 0.99"]}))
    assert verdict.verdict == INCONCLUSIVE
    assert "could not keep up" in verdict.reasons[0] or "too busy" in verdict.reasons[0]
    assert any("not held against the server" in r and "success_fraction >= 0.99" in r for r in verdict.reasons)


def test_a_generator_that_the_server_kept_waiting_is_no_excuse() -> None:
    waited = event(4, "generator_overloaded", load="x", why="9 calls were due while nobody was free", by_itself=False)
    assert judge(a_history(BROKEN, [*fault(3, 5), waited])).verdict == FAIL
    assert judge(a_history(SOUND, [*fault(3, 5), waited])).verdict == INCONCLUSIVE


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        ("control.success_fraction >= 0.99", "recovery, control lane: 1 call was made, at least 10"),
        ("p95_ms <= 3 * baseline.control.p95_ms + 200", "baseline, control lane: 3 calls were made, at least"),
    ],
)
def test_too_few_calls_on_a_lane_that_a_threshold_names_prove_nothing(threshold: str, said: str) -> None:
    aside = [call(at_s, lane=Lane.CONTROL) for at_s in (0.5, 1, 1.5, 9)]
    verdict = judge(a_history([*SOUND, *aside], fault(3, 5), {"recovery": [threshold]}))
    assert verdict.verdict == INCONCLUSIVE
    assert any(said in reason for reason in verdict.reasons)


def test_a_control_lane_that_never_recovers_is_an_answer_too() -> None:
    aside = [call(at_s / 10, Reason.REFUSED, lane=Lane.CONTROL) for at_s in range(120)]
    verdict = judge(a_history([*SOUND, *aside], fault(3, 5), {"recovery": ["control.recovery_s <= 3"]}))
    assert verdict.verdict == FAIL


def test_a_heal_that_the_load_did_not_outlast_proves_nothing() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 3, 5, reason=Reason.REFUSED), *every(0.1, 5, 9)]
    verdict = judge(a_history(rows, [*fault(3, 5), *fault(9, 11.99, "fault-2")]))
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.reasons == [
        "recovery: the load did not go on long enough after 1 of the heals to show whether the service recovered"
    ]


def test_a_service_that_was_not_steady_before_the_fault_shows_nothing_about_it() -> None:
    rows = every(0.1, 0, 12, reason=Reason.REFUSED)
    asked = {"baseline": ["success_fraction > 0.9"], "recovery": ["success_fraction > 0.9"]}
    verdict = judge(a_history(rows, fault(3, 5), asked))
    assert verdict.verdict == INCONCLUSIVE
    assert any("baseline: 'success_fraction > 0.9' was missed" in reason for reason in verdict.reasons)
    assert any("as the service was not steady before the first fault: recovery" in r for r in verdict.reasons)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (event(4, "activity_failed", name="probe it", error="boom"), "'probe it' did not do its work: boom"),
        (event(4, "control_failed", name="guard", error="boom"), "the control 'guard' failed"),
        (event(4, "control_missing", name="guard"), "the control 'guard' cannot be imported"),
        (event(4, "interrupted", why="SIGTERM"), "the run was interrupted: SIGTERM"),
        (event(1, "dry_run", left_out="its probes"), "it was a dry run, which leaves out its probes"),
        (event(4, "load_failed", load="x", error="died"), "the load 'x' did not end as it should"),
        (event(4, "part_died", part="server"), "the server went away by itself"),
        (event(4, "heal_failed", error="hangs"), "a fault could not be healed"),
        (event(4, "unfinished", why="killed", done=[]), "ended without a word"),
        (
            event(3.3, "fault_disturbed", fault_id="fault-1", name="x", proxy="mcp", after_s=0.3, found="it was gone"),
            "the fault 'x' on mcp was disturbed by somebody else: 0.3 s after it was injected, it was gone",
        ),
        (event(6, "proxy_disturbed", proxy="mcp", found="it was gone"), "somebody else changed the proxy 'mcp'"),
        (event(4, "toxiproxy_unreachable", error="refused"), "Toxiproxy stopped answering during the run: refused"),
    ],
)
def test_what_chaos_toolkit_overlooks_makes_a_run_inconclusive(extra: Event, said: str) -> None:
    verdict = judge(a_history(SOUND, [*fault(3, 5), extra]))
    assert verdict.verdict == INCONCLUSIVE
    assert said in verdict.reasons[0]


@pytest.mark.parametrize("expected", [len(SOUND) - 1, len(SOUND) + 1])
def test_calls_that_are_not_in_the_files_make_a_run_inconclusive(expected: int) -> None:
    history = a_history(SOUND, fault(3, 5))
    assert judge(replace(history, expected_calls={"sustained": len(SOUND)})).verdict == PASS
    verdict = judge(replace(history, expected_calls={"sustained": expected}))
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.reasons == [f"{len(SOUND)} of {expected} calls are in the files of the load 'sustained'"]


def test_what_a_dry_run_misses_is_not_held_against_the_server() -> None:
    verdict = judge(a_history(BROKEN, [event(1, "dry_run", left_out="its pauses"), *fault(3, 5)]))
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.reasons[0].startswith("it was a dry run")
    assert any("not held against the server, as it was a dry run" in reason for reason in verdict.reasons)


def test_evidence_outweighs_doubt() -> None:
    verdict = judge(a_history(BROKEN, [*fault(3, 5), event(4, "interrupted", why="SIGTERM")]))
    assert verdict.verdict == FAIL
    assert "interrupted" in verdict.reasons[-1]


def test_a_steady_state_that_was_not_there_before_means_that_nothing_was_tested() -> None:
    events = [event(1, "hypothesis_missed", when="before", probe="'it answers': 0 of 50 calls succeeded")]
    asked = {"baseline": ["success_fraction > 0.9"], "recovery": ["recovery_s <= 5", "p95_ms <= 9"]}
    said = "the steady state was not there before the method, so nothing was tested"
    history = a_history([], events, asked)
    verdict = judge(history)
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.reasons == [f"{said}: 'it answers': 0 of 50 calls succeeded"]
    interrupted = replace(history, events=[*history.events, event(2, "interrupted", why="SIGTERM")])
    assert judge(interrupted).reasons[1:] == ["the run was interrupted: SIGTERM"]


def test_what_follows_from_a_baseline_that_failed_is_not_told() -> None:
    rows = [call(at_s, Reason.TIMED_OUT, took_ms=2000) for at_s in (0.1, 0.5, 2.2, 4.4, 6.6, 8.8)]
    asked = {
        "baseline": ["success_fraction > 0.9", "p95_ms <= 50"],
        "fault": ["hung_calls == 0"],
        "recovery": ["success_fraction > 0.9", "p95_ms <= 5 * baseline.p95_ms", "recovery_s <= 5"],
    }
    first, excused = judge(a_history(rows, fault(3, 5), asked)).reasons
    assert first.startswith(
        "baseline: 'success_fraction > 0.9' was missed, at 0; 0 of 2 calls succeeded: timed out (2)"
    )
    assert excused.startswith("not held against the server, as the service was not steady before the first fault: 3 ")


def test_few_calls_are_told_with_why_they_were_few() -> None:
    rows = [*(call(at_s, Reason.TIMED_OUT, took_ms=900) for at_s in (0.5, 1.5)), *every(0.1, 3, 12)]
    said = judge(a_history(rows, fault(3, 5, "process-1"), {"baseline": ["hung_calls <= 5"]})).reasons
    assert said == ["baseline: 2 calls were made, at least 10 needed; 0 of 2 calls succeeded: timed out (2)"]


def test_a_service_that_was_not_steady_is_told_before_a_fault_that_was_not_felt() -> None:
    rows = every(0.1, 0, 12, reason=Reason.REFUSED)
    first, *others = judge(a_history(rows, fault(3, 5, proof=None), {"baseline": ["success_fraction > 0.9"]})).reasons
    assert first.startswith("baseline: 'success_fraction > 0.9' was missed, at 0")
    assert "was not felt" in others[0]


def test_a_load_that_did_not_run_is_told_without_what_it_did_not_measure() -> None:
    asked = {"baseline": ["success_fraction > 0.9"], "recovery": ["recovery_s <= 5", "p95_ms <= 9"]}
    verdict = judge(a_history([], fault(3, 5), asked, load=(0, 1)))
    assert verdict.reasons == ["no load was running while the fault was in place"]


def test_thresholds_without_a_figure_are_told_in_one_sentence() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 3, 5, reason=Reason.REFUSED), *every(0.1, 5, 12)]
    asked = {"recovery": ["control.p95_ms <= 9", "control.success_fraction > 0.9"]}
    verdict = judge(a_history(rows, fault(3, 5), asked))
    missing = "recovery.control.p95_ms, recovery.control.success_fraction"
    assert verdict.reasons == [f"recovery: 2 thresholds cannot be judged, for want of {missing}"]


def test_a_steady_state_that_did_not_come_back_fails() -> None:
    events = [*fault(3, 5), event(11, "hypothesis_missed", when="after", probe="'it answers'")]
    verdict = judge(a_history(SOUND, events))
    assert verdict.verdict == FAIL
    assert "did not come back" in verdict.reasons[0]


def test_a_steady_state_broken_during_the_method_fails_with_the_count() -> None:
    checks = [event(4 + i, "hypothesis_checked", when="during") for i in range(6)]
    missed = [event(4 + i, "hypothesis_missed", when="during", probe="'it answers'") for i in range(4)]
    verdict = judge(a_history(SOUND, [*fault(3, 5), *checks, *missed]))
    assert verdict.verdict == FAIL
    assert "4 of 6 continuous checks" in verdict.reasons[0]


def test_a_run_without_a_fault_shows_nothing() -> None:
    assert "no fault was injected" in judge(a_history(SOUND, [])).reasons[0]


def test_a_fault_without_a_load_shows_nothing() -> None:
    assert "no load was running" in judge(a_history([], fault(3, 5), load=(0, 1))).reasons[0]


def test_a_fault_that_was_left_is_a_doubt() -> None:
    verdict = judge(a_history(SOUND, fault(3, None), {"fault": ["hung_calls == 0"]}))
    assert verdict.verdict == INCONCLUSIVE
    assert "still in place" in verdict.reasons[0]


def test_too_few_calls_decide_nothing() -> None:
    verdict = judge(a_history([*SOUND[:50], call(6), call(7), call(8)], fault(3, 5)))
    assert verdict.verdict == INCONCLUSIVE
    assert "3 calls were made, at least 10" in verdict.reasons[0]


def test_a_run_that_was_cut_off_is_not_a_pass() -> None:
    history = a_history(SOUND, fault(3, 5))
    events = [e for e in history.events if e.kind != "method_ended"]
    verdict = judge(type(history)(history.manifest, events, history.calls))
    assert verdict.verdict == INCONCLUSIVE
    assert "did not get to the end of its method" in verdict.reasons[0]


def test_a_verdict_is_json_with_windows_thresholds_and_faults() -> None:
    rows = [*SOUND, *every(0.1, 0, 12, lane=Lane.CONTROL)]
    told = judge(a_history(rows, fault(3, 5))).as_dict()
    assert told["verdict"] == PASS
    assert told["windows"]["fault"]["control"]["success_fraction"] == 1
    assert told["thresholds"][0]["outcome"] == "met"
    assert told["faults"][0]["proof"] == "felt"


def test_a_limit_above_the_deadline_makes_a_run_inconclusive() -> None:
    history = a_history(SOUND, fault(3, 5), {"recovery": ["p95_ms <= 3 * baseline.p95_ms + 200"]})
    assert judge(replace(history, deadlines_s={"sustained": 0.3})).verdict == PASS
    verdict = judge(replace(history, deadlines_s={"sustained": 0.2}))
    assert verdict.verdict == INCONCLUSIVE
    assert "deadline of 200 ms" in verdict.headline


def test_a_quantile_that_too_few_calls_show_makes_a_run_inconclusive() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 5, 11.5), *every(0.1, 11.5, 12, took_ms=400)]
    asked = {"recovery": ["p95_ms <= 3 * baseline.p95_ms + 200"]}
    verdict = judge(a_history(rows, fault(3, 5, "process-1"), asked))
    assert verdict.verdict == INCONCLUSIVE
    assert "99 % confidence" in verdict.reasons[0]


OURS = [
    event(4, "fault_disturbed", fault_id="fault-1", name="x", proxy="mcp", after_s=1.0, found="its toxic was gone"),
    event(6, "proxy_disturbed", proxy="mcp", found="the proxy was down"),
    event(4, "toxiproxy_unreachable", error="refused"),
    event(4, "worker_died", load="sustained", worker=1, exit_code=-9),
    event(5, "heal_failed", fault_id="fault-1", error="hangs"),
    event(13, "part_died", part="warehouse"),
    event(13, "part_died", part="toxiproxy"),
]


@pytest.mark.parametrize("ours", OURS, ids=lambda e: f"{e.kind}")
def test_what_is_missed_when_our_own_parts_fail_is_told_and_does_not_fail_a_run(ours: Event) -> None:
    missed = event(13, "hypothesis_missed", when="after", probe="'it answers'")
    verdict = judge(a_history(BROKEN, [*fault(3, 5), ours, missed]))
    assert verdict.verdict == INCONCLUSIVE
    told = [reason for reason in verdict.reasons if reason.startswith("not held against the server")]
    assert len(told) == 1
    assert "2 misses (the steady state after the method, recovery: 'success_fraction >= 0.99')" in told[0]


def test_what_was_missed_before_our_own_parts_failed_counts() -> None:
    late = [*fault(3, 5), event(12.5, "toxiproxy_unreachable", error="refused")]
    assert judge(a_history(BROKEN, late)).verdict == FAIL


def test_a_server_that_ends_is_no_excuse() -> None:
    assert judge(a_history(BROKEN, [*fault(3, 5), event(13, "part_died", part="server")])).verdict == FAIL


def test_what_the_end_of_a_killed_run_cost_is_not_held_against_the_server() -> None:
    asked = {"fault": ["success_fraction >= 2"]}  # which is missed, whatever was measured
    assert judge(a_history(SOUND, fault(3, 5), asked)).verdict == FAIL
    killed = event(13, "unfinished", why="its process was killed", done=[])
    verdict = judge(a_history(SOUND, [*fault(3, 5), killed], asked))
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.headline.startswith("The run ended without a word (its process was killed)")


def test_a_toxiproxy_that_is_gone_is_told_once() -> None:
    error = "Toxiproxy at http://x cannot be reached to list its proxies"
    events = [
        event(4, "toxiproxy_unreachable", error=error),
        event(5, "heal_failed", fault_id="fault-1", error=error),
        event(13, "activity_failed", name="heal", error=f"ToxiproxyError: {error}"),
        event(13, "activity_failed", name="heal again", error="Toxiproxy at http://x cannot be reached to show it"),
        event(13, "part_died", part="toxiproxy"),
        event(13, "unfinished", why=COULD_NOT_HEAL, done=[]),
    ]
    verdict = judge(a_history(SOUND, [*fault(3, 11, asked_s=5), *events], {"baseline": ["success_fraction > 0.9"]}))
    assert verdict.reasons == [f"Toxiproxy stopped answering during the run: {error}"]


def test_a_heal_that_failed_is_told_once_with_its_cause() -> None:
    events = [
        event(5, "heal_failed", fault_id="fault-1", error="it hangs"),
        event(13, "activity_failed", name="heal", error="ToxiproxyError: it hangs"),
        event(13, "heal_failed", error="it hangs"),
        event(13, "heal_failed", error="the proxy 'backend' cannot be removed"),
        event(13, "heal_failed", error="it hangs\nThis may still be in place there: 'latency' on mcp."),
        event(13, "unfinished", why=COULD_NOT_HEAL, done=[]),
    ]
    verdict = judge(a_history(SOUND, [*fault(3, 11, asked_s=5), *events], {"baseline": ["success_fraction > 0.9"]}))
    assert verdict.reasons == ["a fault could not be healed: it hangs"]


def test_two_heals_that_failed_are_told_each() -> None:
    events = [event(5, "heal_failed", fault_id=f"fault-{n}", error=f"{n} hangs") for n in (1, 2)]
    rows = every(0.1, 0, 3)
    told = judge(a_history([*rows, *SOUND], [*fault(3, None), *fault(3, None, "fault-2"), *events])).reasons
    assert told[:2] == ["a fault could not be healed: 1 hangs", "a fault could not be healed: 2 hangs"]
    assert not any("still in place" in reason for reason in told)


def test_a_fault_that_met_hardly_anybody_proves_nothing() -> None:
    rows = [*every(0.1, 0, 3), *every(0.1, 3, 5), *every(0.1, 5, 12), call(2.95, took_ms=100), call(4, Reason.REFUSED)]
    verdict = judge(a_history(rows, fault(3, 5)))
    assert verdict.verdict == INCONCLUSIVE
    assert verdict.reasons == ["fault: the fault met 2 of 22 calls, at least 10 needed"]
    asked = {"recovery": ["success_fraction >= 0.99"], "fault": ["disturbed_calls >= 2"]}
    assert judge(a_history(rows, fault(3, 5), asked)).verdict == PASS
    verdict = judge(a_history(rows, fault(3, 5), {**asked, "fault": ["disturbed_calls >= 3"]}))
    assert verdict.verdict == INCONCLUSIVE
    said = "the fault did not do what the experiment assumes"
    assert verdict.reasons == [f"{said}: fault: 'disturbed_calls >= 3' was missed, at 2"]


def assuming(history: History, text: str) -> History:
    return replace(history, manifest={**history.manifest, "assumptions": {"fault": [text]}})


def test_a_fault_that_did_not_do_what_is_assumed_leaves_the_question_open() -> None:
    cut = [replace(e, data={**e.data, "proxy": "backend"}) if "proxy" in e.data else e for e in fault(3, 5)]
    asked = {"recovery": ["success_fraction >= 0.99"]}
    healthy = a_history(every(0.1, 0, 12), cut, asked)
    assert judge(healthy).reasons == ["fault: the fault met 0 of 20 calls, at least 10 needed"]
    assert judge(assuming(healthy, "disturbed_calls >= 0")).verdict == PASS
    verdict = judge(assuming(healthy, "success_fraction <= 0.5"))
    assert verdict.verdict == INCONCLUSIVE
    said = "the calls do not need this backend, or hide that it is gone"
    assert verdict.reasons == [f"{said}: fault: 'success_fraction <= 0.5' was missed, at 1"]
    assert verdict.as_dict()["thresholds"][-1]["assumption"] is True
    assert verdict.headline.startswith("The calls do not need this backend")


def test_what_is_missed_beside_an_assumption_counts() -> None:
    rows = [*every(0.1, 0, 5), *every(0.1, 5, 12, reason=Reason.TIMED_OUT, took_ms=90)]
    verdict = judge(assuming(a_history(rows, fault(3, 5)), "success_fraction <= 0.5"))
    assert verdict.verdict == FAIL
    assert any(reason.startswith("the fault did not do what the experiment assumes") for reason in verdict.reasons)


def test_an_assumption_without_a_figure_leaves_the_question_open() -> None:
    verdict = judge(assuming(a_history(SOUND, fault(3, 5)), "control.success_fraction <= 0.5"))
    assert verdict.verdict == INCONCLUSIVE
    assert "fault.control.success_fraction was not measured" in verdict.reasons[0]


def test_a_process_fault_may_meet_anybody() -> None:
    rows = every(0.1, 0, 12)
    assert judge(a_history(rows, fault(3, 5, "process-1"))).verdict == PASS

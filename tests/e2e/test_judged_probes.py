"""A probe in the method that has a tolerance decides, with what it saw; Chaos Toolkit leaves it out."""

import pytest

from tests.e2e.conftest import Chaos, activity, short_experiment

PROBES = "mcp_chaos.probes"


@pytest.mark.e2e
@pytest.mark.counted
def test_a_probe_of_the_method_that_misses_its_tolerance_fails_the_run(chaos: Chaos) -> None:
    fresh = {**activity("fresh_sessions_answer", PROBES, sessions=1, deadline_s=0.001), "tolerance": True}
    result = chaos.run(short_experiment(fresh))
    assert (result.exit_code, result.verdict["verdict"]) == (1, "fail"), result.output
    assert "the check 'fresh sessions answer' failed: 1 of 1 fresh sessions were not served" in result.output


@pytest.mark.e2e
@pytest.mark.counted
def test_one_that_meets_it_passes_and_one_without_is_a_reading(chaos: Chaos) -> None:
    clean = {**activity("proxy_is_clean", PROBES), "tolerance": False}  # there is latency on it
    reading = activity("fresh_sessions_answer", PROBES, sessions=1, deadline_s=0.001)
    result = chaos.run(short_experiment(clean, reading))
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output


@pytest.mark.e2e
@pytest.mark.counted
def test_clients_that_none_were_asked_for_have_nothing_to_tell(chaos: Chaos) -> None:
    probe = {**activity("fresh_sessions_were_served", PROBES), "tolerance": True}
    result = chaos.run(short_experiment(probe))
    assert result.verdict["verdict"] == "inconclusive", result.output
    assert "No start_clients has run yet" in result.output

"""No fault is injected when the load that is to be judged did not start, and the reason is told once."""

from typing import Any

import pytest

from tests.e2e.conftest import Chaos, activity, short_experiment


@pytest.mark.e2e
@pytest.mark.parametrize("func", ["add_latency", "start_clients", "pause"])
def test_without_its_load_nothing_is_injected(chaos: Chaos, func: str) -> None:
    (chaos.folder / "other.yaml").write_text("users: [{name: x, calls: [{tool: no_such_tool}]}]\n")
    every: dict[str, dict[str, Any]] = {"add_latency": {"latency_ms": 80}, "start_clients": {"for_s": 1.0}, "pause": {}}
    method = [
        activity("start_load", workload="other.yaml", duration_s=3.0),
        activity(func, **every[func]),
        activity("heal"),
        activity("wait_for_load"),
    ]
    result = chaos.run(short_experiment(method=method))
    assert (result.exit_code, result.verdict["verdict"]) == (1, "inconclusive"), result.output
    assert "fault_injecting" not in result.kinds()
    (reason,) = result.verdict["reasons"]
    assert reason.startswith(
        "a fault was not injected, as no call that is judged would have met it: the load 'load' did"
    )
    assert "no_such_tool" in reason


@pytest.mark.e2e
def test_without_any_load_faults_are_injected_as_before(chaos: Chaos) -> None:
    result = chaos.run(short_experiment(method=[activity("add_latency", latency_ms=80), activity("heal")]))
    assert "fault_proven" in result.kinds()
    assert result.verdict["reasons"] == ["no load was running while the fault was in place"]

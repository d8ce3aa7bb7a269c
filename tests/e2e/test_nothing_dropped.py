"""What was asked for is done, or the run does not pass: settings, dry runs, stops, actions of one's own."""

import os
from typing import Any

import pytest

from tests.e2e.conftest import Chaos, Result, short_experiment

GUARDS = """
from chaoslib.exceptions import InterruptExecution

def {hook}(context, **kwargs):
    raise InterruptExecution("the error budget is used up")
"""


def with_guard(chaos: Chaos, hook: str, first: bool = False) -> dict[str, Any]:
    """An experiment with a control of somebody else's that stops it."""
    (chaos.folder / "guards.py").write_text(GUARDS.format(hook=hook))
    chaos.env["PYTHONPATH"] = os.pathsep.join([str(chaos.folder), chaos.env.get("PYTHONPATH", "")])
    guard = {"name": "guard", "provider": {"type": "python", "module": "guards"}}
    own = short_experiment()["controls"]
    return short_experiment(controls=[guard, *own] if first else [*own, guard])


def check(result: Result, reason: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.verdict["verdict"] == "inconclusive", result.output
    assert any(reason in line for line in result.verdict["reasons"]), result.verdict["reasons"]


@pytest.mark.e2e
@pytest.mark.parametrize("options", [("--var", "MCP_URL=http://127.0.0.1:9/mcp"), ("--var-file", "own.yaml")])
def test_a_setting_that_the_experiment_does_not_declare_is_used(chaos: Chaos, options: tuple[str, ...]) -> None:
    (chaos.folder / "own.yaml").write_text('configuration: {mcp_url: "http://127.0.0.1:9/mcp"}')
    result = chaos.run(short_experiment(), *options)
    assert result.exit_code == 1, result.output
    assert "http://127.0.0.1:9/mcp cannot be reached" in result.output


@pytest.mark.e2e
def test_a_number_that_the_experiment_does_not_declare_is_refused(chaos: Chaos) -> None:
    (chaos.folder / "own.yaml").write_text("configuration: {cal_deadline_s: 3}")
    experiment = short_experiment(configuration={"pause_s": 1})
    result = chaos.run(experiment, "--var", "paus_s:float=3", "--var-file", "own.yaml")
    assert result.exit_code == 1, result.output
    assert "has 'paus_s'; did you mean 'pause_s'?" in result.output
    assert "has 'cal_deadline_s'; did you mean 'call_deadline_s'?" in result.output
    assert result.runs == []


@pytest.mark.e2e
@pytest.mark.parametrize("left_out", ["probes", "pause"])
def test_a_dry_run_proves_nothing(chaos: Chaos, left_out: str) -> None:
    check(chaos.run(short_experiment(), "--dry", left_out), "it was a dry run, which leaves out its ")


@pytest.mark.e2e
def test_a_control_that_stops_the_run_is_named(chaos: Chaos) -> None:
    result = chaos.run(with_guard(chaos, "after_activity_control"))
    check(result, "the run was interrupted: the control 'guard' ended it: the error budget is used up")


@pytest.mark.e2e
def test_a_control_that_stops_the_run_before_it_begins_is_named(chaos: Chaos) -> None:
    result = chaos.run(with_guard(chaos, "before_experiment_control", first=True))
    assert result.exit_code == 1, result.output
    assert "nothing was touched: the control 'guard' ended it: the error budget is used up" in result.output
    assert "The experiment needs the control" not in result.output
    assert result.runs == []


@pytest.mark.e2e
def test_a_program_of_ones_own_that_fails_leaves_the_question_open(chaos: Chaos) -> None:
    provider = {"type": "process", "path": "sh", "arguments": ["-c", "echo no such pod >&2; exit 3"]}
    own = {"type": "action", "name": "my own fault", "provider": provider}
    reason = "'my own fault' did not do its work: its program ended with exit code 3: no such pod"
    check(chaos.run(short_experiment(own)), reason)

"""The seven ways in which Chaos Toolkit exits 0 by mistake: with the control in the experiment, each exits 1."""

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Chaos, Result, activity, short_experiment

HELPERS = '''
import json, os, time
from chaoslib.exceptions import InterruptExecution

def unwell(): return False
def breaks(): raise ValueError("it broke")
def interrupts(): raise InterruptExecution("stop it")
def sleeps(): open("asleep", "w").close(); time.sleep(30)

def swallows():
    """Takes any exception for a reason to go on."""
    open("asleep", "w").close()
    try:
        time.sleep(30)
    except Exception:
        pass

def flickers():
    """Fails in the middle, then recovers."""
    count = int(open("count").read()) if os.path.exists("count") else 0
    open("count", "w").write(str(count + 1))
    return not 2 <= count < 4
'''

RAISING_CONTROL = """
def before_experiment_control(context, **kwargs): raise ValueError("no")
"""


@pytest.fixture(autouse=True)
def _helpers(chaos: Chaos) -> None:
    (chaos.folder / "helpers.py").write_text(HELPERS)
    (chaos.folder / "raising.py").write_text(RAISING_CONTROL)
    chaos.env["PYTHONPATH"] = str(chaos.folder)


def hypothesis(func: str) -> dict[str, Any]:
    return {"title": "well", "probes": [{**activity(func, "helpers"), "type": "probe", "tolerance": True}]}


def control(module: str, name: str = "other") -> dict[str, Any]:
    return {"name": name, "provider": {"type": "python", "module": module}}


def with_control(module: str) -> dict[str, Any]:
    experiment = short_experiment()
    return {**experiment, "controls": [*experiment["controls"], control(module)]}


def check(result: Result, verdict: str, reason: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.verdict["verdict"] == verdict, result.verdict["reasons"]
    assert any(reason in line for line in result.verdict["reasons"]), result.verdict["reasons"]


@pytest.mark.e2e
def test_without_any_of_them_the_same_experiment_passes(chaos: Chaos) -> None:
    result = chaos.run(short_experiment())
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output


@pytest.mark.e2e
def test_1_a_steady_state_that_was_not_there_before_the_method(chaos: Chaos) -> None:
    result = chaos.run(short_experiment(**{"steady-state-hypothesis": hypothesis("unwell")}))
    check(
        result,
        "inconclusive",
        "the steady state was not there before the method, so nothing was tested: 'unwell', it gave False",
    )


@pytest.mark.e2e
def test_2_an_action_that_raised(chaos: Chaos) -> None:
    result = chaos.run(short_experiment(activity("breaks", "helpers")))
    check(result, "inconclusive", "'breaks' did not do its work: ValueError: it broke")


@pytest.mark.e2e
def test_3_a_continuous_steady_state_that_broke_and_came_back(chaos: Chaos) -> None:
    experiment = short_experiment(**{"steady-state-hypothesis": hypothesis("flickers")})
    result = chaos.run(experiment, "--hypothesis-strategy", "continuously", "--hypothesis-frequency", "0.2")
    check(result, "fail", "the steady state was broken in 2 of ")


@pytest.mark.e2e
def test_4_another_control_that_raised(chaos: Chaos) -> None:
    check(chaos.run(with_control("raising")), "inconclusive", "the control 'other' failed")


@pytest.mark.e2e
def test_5_another_control_that_cannot_be_imported(chaos: Chaos) -> None:
    check(chaos.run(with_control("no.such.control")), "inconclusive", "the control 'other' cannot be imported")


@pytest.mark.e2e
@pytest.mark.parametrize("controls", [[], [control("mcp_chaos.controll", "mcp_chaos")]])
def test_5_our_own_control_that_is_missing_or_misspelled(chaos: Chaos, controls: list[Any]) -> None:
    result = chaos.run(short_experiment(controls=controls))
    assert result.exit_code == 1, result.output
    assert "The experiment needs the control 'mcp_chaos.control'" in result.output
    assert result.runs == []


@pytest.mark.e2e
def test_6_an_action_that_raised_interrupt_execution(chaos: Chaos) -> None:
    check(
        chaos.run(short_experiment(activity("interrupts", "helpers"))),
        "inconclusive",
        "'interrupts' did not do its work",
    )


@pytest.mark.e2e
@pytest.mark.parametrize("func", ["sleeps", "swallows"])
def test_7_sigterm_while_a_python_activity_runs(chaos: Chaos, func: str) -> None:
    process = chaos.start(short_experiment(activity(func, "helpers")))
    asleep = Path(chaos.folder, "asleep")
    while not asleep.exists():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    result = chaos.finish(process)
    check(result, "inconclusive", "the run was interrupted")
    assert "fault_healed" in result.kinds()


@pytest.mark.e2e
def test_a_run_that_was_refused_says_so_once(chaos: Chaos) -> None:
    experiment = short_experiment(rollbacks=[activity("heal"), activity("stop_load")])
    experiment["extensions"][0]["thresholds"] = {"fault": ["hung == 0"]}
    result = chaos.run(experiment)
    assert result.exit_code == 1
    assert result.output.count("there is no figure 'hung'") == 1
    assert "ERROR" not in result.output

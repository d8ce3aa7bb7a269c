"""The gate as a pipeline runs it: real experiments, one answer, and its files."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml

from mcp_chaos.machine.processes import children_of_run
from tests.e2e.conftest import EXPERIMENTS, Chaos, short_experiment

pytestmark = pytest.mark.e2e

Gate = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "mcp_chaos.cli", "gate", *map(str, arguments)]


@pytest.fixture
def gate(chaos: Chaos) -> Gate:
    """The gate, run to its end in the test's folder."""

    def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        made = subprocess.run(
            command(*arguments),
            cwd=chaos.folder,
            env={**chaos.env, **env},
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert "Traceback" not in made.stderr
        return made

    return run


def experiments(folder: Path, **made: dict[str, Any]) -> list[Path]:
    """Experiments written into a folder."""
    paths = []
    for name, experiment in made.items():
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(json.dumps({**experiment, "title": name}))
    return paths


NEVER_MET = [{"name": "mcp_chaos", "thresholds": {"fault": ["success_fraction > 1"]}}]
NO_DATA = [{"name": "mcp_chaos", "thresholds": {"fault": ["control.p95_ms <= 1000"]}}]


def test_a_plan_with_one_of_each(gate: Gate, chaos: Chaos) -> None:
    sound, broken, known, blind = experiments(
        chaos.folder,
        sound=short_experiment(),
        broken=short_experiment(extensions=NEVER_MET),
        known=short_experiment(extensions=NEVER_MET),
        blind=short_experiment(extensions=NO_DATA),
    )
    tomorrow = str(date.today() + timedelta(days=1))
    entries = [
        sound.name,
        broken.name,
        {"path": known.name, "expected_failure": {"reason": "issue 7", "until": tomorrow}},
    ]
    plan = chaos.folder / "plan.yaml"
    plan.write_text(yaml.safe_dump({"title": "one of each", "experiments": [*entries, blind.name]}))
    made = gate(plan, "--json", "gate.json", "--junit", "gate.xml", "--markdown", "gate.md")
    result = json.loads((chaos.folder / "gate.json").read_text())
    assert made.returncode == 1, made.stdout + made.stderr
    assert [e["outcome"] for e in result["experiments"]] == ["pass", "fail", "expected failure", "inconclusive"]
    assert [len(e["attempts"]) for e in result["experiments"]][1:] == [1, 1, 2]  # only the inconclusive is tried again
    assert result["sentence"].startswith(
        "broken: While a fault was in place, 100 % of the calls succeeded, and more than"
    )
    assert result["experiments"][1]["reasons"][0].startswith("fault: 'success_fraction > 1' was missed")
    assert "Gate: fail" in made.stdout
    assert all(Path(e["run"]).is_dir() for e in result["experiments"])
    assert [len(case.result) for suite in JUnitXml.fromfile(str(chaos.folder / "gate.xml")) for case in suite] == [
        0,
        1,
        1,
        1,
    ]
    assert "| broken | ❌ fail |" in (chaos.folder / "gate.md").read_text()


def test_the_first_that_does_not_pass_can_be_the_last(gate: Gate, chaos: Chaos) -> None:
    paths = experiments(chaos.folder, broken=short_experiment(extensions=NEVER_MET), sound=short_experiment())
    made = gate(*paths, "--stop-on-first", "--json", "gate.json")
    result = json.loads((chaos.folder / "gate.json").read_text())
    assert made.returncode == 1
    assert [e["outcome"] for e in result["experiments"]] == ["fail", "not run"]
    assert "the plan stops on the first" in result["experiments"][1]["reasons"][0]


def test_the_budget_ends_what_goes_on_and_begins_nothing_more(gate: Gate, chaos: Chaos) -> None:
    paths = experiments(chaos.folder, long=short_experiment(), never=short_experiment())
    made = gate(*paths, "--budget-s", "3", "--json", "gate.json")
    result = json.loads((chaos.folder / "gate.json").read_text())
    assert made.returncode == 3, made.stdout + made.stderr
    assert [e["outcome"] for e in result["experiments"]] == ["inconclusive", "not run"]
    assert result["experiments"][0]["reasons"][0] == "the budget of 3 s ended it"
    for folder in chaos.runs():
        assert children_of_run(str(folder.path)) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_heals_reports_and_exits_4(chaos: Chaos, number: signal.Signals) -> None:
    paths = experiments(chaos.folder, stopped=short_experiment(), never=short_experiment())
    process = subprocess.Popen(
        command(*paths, "--json", "gate.json"),
        cwd=chaos.folder,
        env=chaos.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        deadline = time.monotonic() + 60
        while not any(event.kind == "fault_proven" for run in chaos.runs() for event in run.events()):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 4, output
    assert "Traceback" not in output
    result = json.loads((chaos.folder / "gate.json").read_text())
    assert [e["outcome"] for e in result["experiments"]] == ["aborted", "not run"]
    assert any(event.kind == "fault_healed" for event in chaos.runs()[-1].events())


def test_a_planted_defect_exits_1_and_says_why(gate: Gate, chaos: Chaos) -> None:
    made = gate(
        EXPERIMENTS / "network_partition.yaml",
        "--var-file",
        "tiny.yaml",
        "--json",
        "gate.json",
        MCP_CHAOS_LAB_DEFECT="hangs_after_cut",
    )
    sentence = json.loads((chaos.folder / "gate.json").read_text())["sentence"]
    assert made.returncode == 1, made.stdout + made.stderr
    assert "After the faults were gone, " in sentence


def test_what_is_wrong_is_told_before_anything_is_touched(gate: Gate, chaos: Chaos) -> None:
    (broken,) = experiments(chaos.folder, broken=short_experiment(extensions=[]))
    made = gate(
        broken, chaos.folder / "none.yaml", "--var", "x:int=y", "--var-file", "none.yaml", "--json", "no/where.json"
    )
    assert made.returncode == 2
    for words in ("none.yaml cannot be read", "--var", "none.yaml cannot be read", "--json: there is no folder"):
        assert words in made.stderr
    assert chaos.runs() == []
    made = gate(broken)
    assert made.returncode == 2
    assert "one block named 'mcp_chaos' with thresholds is needed" in made.stderr
    assert chaos.runs() == []


def test_without_arguments_it_looks_around(gate: Gate, chaos: Chaos) -> None:
    (chaos.folder / "tiny.yaml").unlink()
    experiments(chaos.folder, sound=short_experiment())
    (chaos.folder / "profile.yaml").write_text("configuration: {}")
    made = gate()
    assert made.returncode == 0, made.stdout + made.stderr
    assert "1 of 1 experiments passed" in made.stdout


def test_two_runs_on_one_target_never_overlap(chaos: Chaos, gate: Gate, toxiproxy_url: str) -> None:
    (path,) = experiments(chaos.folder, mine=short_experiment())
    env = {"TOXIPROXY_URL": toxiproxy_url}
    first = chaos.start(short_experiment(), **env)
    deadline = time.monotonic() + 60
    while not any(event.kind == "parts_ready" for run in chaos.runs() for event in run.events()):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.05)
    made = gate(path, "--retries", "0", **env)
    assert made.returncode == 3
    assert "is being tested by" in made.stdout
    # The other one was not disturbed; how well the machine kept up meanwhile is not asked here.
    assert chaos.finish(first).runs[0].read("verdict.json")["verdict"] != "fail"

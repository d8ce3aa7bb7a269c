"""The command around the gate: what it refuses, writes and keeps; real runs are in tests/e2e/test_gate.py."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from chaoslib.run import initialize_run_journal
from click.testing import CliRunner, Result

from mcp_chaos.cli import cli, gates
from mcp_chaos.errors import UsageError
from mcp_chaos.gate.baseline import Baseline
from mcp_chaos.gate.plan import Plan
from mcp_chaos.gate.result import Attempt, Comparison, ExperimentResult, GateResult
from mcp_chaos.gate.runner import Judge
from tests.e2e.conftest import short_experiment
from tests.report.runs import write_run

Gate = Callable[..., Result]


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """The command in a folder with one experiment, ``x.yaml``, whose run was made before and passed."""
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text(yaml.safe_dump(short_experiment(title="x", configuration={"pause_s": 1})))

    def run_plan(plan: Plan, say: Callable[[str], None], judge: Judge) -> GateResult:
        attempt = Attempt("pass", ["all is well"], 1.0, write_run(tmp_path, title="x").path)
        results = [
            ExperimentResult("x", item.path, [attempt], datetime.now(), compared=judge("x", attempt))
            for item in plan.items
        ]
        say("\ud800 half a character")
        return GateResult(plan, results, 1.0)

    monkeypatch.setattr(gates, "run_plan", run_plan)
    return lambda *arguments: CliRunner().invoke(cli, ["gate", *map(str, arguments)])


def problems(result: Result) -> str:
    assert isinstance(result.exception, UsageError), result.output
    return str(result.exception)


def test_a_baseline_grows_with_every_run_and_is_compared_with(gate: Gate) -> None:
    assert "cannot be read" in problems(gate("x.yaml", "--baseline", "b.json"))
    assert gate("x.yaml", "--save-baseline", "b.json").exit_code == 0
    assert "has 1 runs of 'x', and 5 are needed" in problems(gate("x.yaml", "--baseline", "b.json"))
    for _ in range(4):
        assert gate("x.yaml", "--save-baseline", "b.json").exit_code == 0
    assert gate("x.yaml", "--baseline", "b.json", "--save-baseline", "b.json").exit_code == 0
    assert [len(entry["runs"]) for entry in Baseline.read(Path("b.json")).experiments["x"]] == [6]


def test_the_first_run_of_a_setting_is_kept_though_it_cannot_be_compared(gate: Gate) -> None:
    for _ in range(5):
        gate("x.yaml", "--save-baseline", "b.json")
    kept = json.loads(Path("b.json").read_text())
    kept["experiments"]["x"][0]["setting"]["machine"] = "another"
    Path("b.json").write_text(json.dumps(kept))
    result = gate("x.yaml", "--baseline", "b.json", "--save-baseline", "b.json")
    assert result.exit_code == 3
    assert "the machine of its runs are others" in result.output
    assert [len(entry["runs"]) for entry in Baseline.read(Path("b.json")).experiments["x"]] == [5, 1]


def test_what_became_worse_is_not_kept(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        gate("x.yaml", "--save-baseline", "b.json")
    monkeypatch.setattr(Baseline, "judge", lambda *_: Comparison(["p50_ms is worse"]))
    result = gate("x.yaml", "--baseline", "b.json", "--save-baseline", "b.json")
    assert (result.exit_code, "p50_ms is worse" in result.output) == (1, True)
    assert [len(entry["runs"]) for entry in Baseline.read(Path("b.json")).experiments["x"]] == [5]


def test_nothing_that_is_needed_is_written_over(gate: Gate) -> None:
    plan = Path("plan.yaml")
    plan.write_text(yaml.safe_dump({"experiments": ["x.yaml"]}))
    Path("p.yaml").write_text("configuration: {}")
    before = plan.read_text()
    said = problems(
        gate(plan, "--var-file", "p.yaml", "--json", "plan.yaml", "--html", "./x.yaml", "--markdown", "p.yaml")
    )
    for words in ("--json: ", "plan.yaml is what this gate reads", "--html: ", "--markdown: ", "nothing was touched"):
        assert words in said
    said = problems(gate("x.yaml", "--json", "o", "--html", "sub/../o", "--save-baseline", "b", "--junit", "b"))
    for words in ("o is that of --", "b is that of --save-baseline", "--html: there is no folder"):
        assert words in said
    assert "--json: a file is needed" in problems(gate("x.yaml", "--json", "-"))
    assert plan.read_text() == before


def test_a_device_stays_one(gate: Gate) -> None:
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert gate("x.yaml", "--json", "pipe", "--markdown", os.devnull, "--prometheus", os.devnull).exit_code == 0
    assert json.loads(os.read(reader, 65536))["outcome"] == "pass"
    os.close(reader)
    assert Path("pipe").is_fifo()
    assert Path(os.devnull).is_char_device()


def test_all_that_is_wrong_with_the_arguments_is_told_at_once(gate: Gate) -> None:
    Path("b.json").write_text("{}")
    bad = ["--var", "a:int=x", "--var", "b", "--var", "paus_s:int=3", "--budget-s", "nan", "--baseline", "b.json"]
    said = problems(gate("x.yaml", *bad, "--json", "no/where"))
    for words in ("'a:int=x'", "'b'", "--budget-s", "b.json is no baseline", "there is no folder"):
        assert words in said
    assert "no experiment of this run has 'paus_s'; did you mean 'pause_s'?" in problems(
        gate("x.yaml", "--var", "paus_s:int=3")
    )
    assert gate("x.yaml", "--var", "pause_s:int=3", "--var", "mcp_chaos_seed:int=3").exit_code == 0


def test_what_chaos_toolkit_leaves_is_passed_over(gate: Gate) -> None:
    Path("journal.json").write_text(json.dumps(initialize_run_journal({"title": "x"})))
    assert gate().exit_code == 0


def test_a_misspelt_experiment_is_not_passed_over(gate: Gate) -> None:
    content = short_experiment(title="y")
    content["methods"] = content.pop("method")
    Path("y.yaml").write_text(yaml.safe_dump(content))
    assert "y.yaml: it is no experiment" in problems(gate())


STUBBED = """
import sys
from datetime import datetime
from pathlib import Path
from mcp_chaos.cli import gates, main
from mcp_chaos.gate.result import Attempt, ExperimentResult, GateResult
failed = ExperimentResult("\\ud800", Path("x"), [Attempt("fail", ["badly"], 1.0, None)], datetime.now())
gates.run_plan = lambda plan, say, judge: GateResult(plan, [failed], 1.0)
main()
"""


@pytest.mark.parametrize("reader", ["true", "cat >/dev/full", "cat"])
def test_a_reader_that_has_gone_decides_nothing(gate: Gate, tmp_path: Path, reader: str) -> None:
    (tmp_path / "stubbed.py").write_text(STUBBED)
    command = f"{sys.executable} stubbed.py gate x.yaml --json o.json | {reader}; exit ${{PIPESTATUS[0]}}"
    done: Any = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "o.json").read_text())["outcome"] == "fail"


def test_an_output_that_cannot_be_made_does_not_keep_the_others_from_being_made(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(result: GateResult) -> str:
        raise ZeroDivisionError

    monkeypatch.setitem(gates._FORMATS, "junit", ("JUnit XML", broken))
    result = gate("x.yaml", "--junit", "o.xml", "--json", "o.json")
    assert (result.exit_code, "has a bug: ZeroDivisionError()" in result.output) == (5, True)
    assert (tmp_path / "o.json").exists()
    result = gate("x.yaml", "--json", "/dev/full", "--markdown", "o.md")
    assert (result.exit_code, "No space left" in result.output) == (2, True)
    assert (tmp_path / "o.md").exists()


def test_what_applies_is_listed_with_the_reason_where_it_does_not(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    needs = [{"name": "mcp_chaos", "needs": ["backend_proxy"], "thresholds": {}}]
    Path("b.yaml").write_text(yaml.safe_dump(short_experiment(title="beside", extensions=needs)))
    monkeypatch.setenv("MCP_URL", "http://127.0.0.1:1/mcp")
    made = gate("--list")
    assert made.exit_code == 0
    assert made.output.splitlines() == [
        "beside  not applicable: it needs a proxy before the server's backend: put one there in a Toxiproxy of your "
        "own (TOXIPROXY_URL)",
        "x       applies",
    ]


def test_of_a_folder_with_a_core_only_that_is_run_unless_all_are_asked_for(gate: Gate) -> None:
    for name, tags in {"a": ["core", "mcp"], "b": ["mcp"], "c": []}.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(short_experiment(title=name, tags=tags)))

    def run(*arguments: str) -> tuple[list[str], str]:
        made = gate(*arguments, "--json", "o.json")
        assert made.exit_code == 0, made.output
        ran = json.loads(Path("o.json").read_text())["experiments"]
        return [Path(one["path"]).stem for one in ran], made.stderr

    ran, said = run()
    assert (ran, said.splitlines()[0]) == (["a"], "3 more experiments with --all")
    ran, said = run("--all")
    assert (ran, "with --all" in said) == (["a", "b", "c", "x"], False)
    ran, said = run("b.yaml")
    assert (ran, "with --all" in said) == (["b"], False)
    assert "--all: experiments are given" in problems(gate("b.yaml", "--all"))
    assert gate("--list").stdout.splitlines() == [
        "a  core   applies",
        "b  --all  applies",
        "c  --all  applies",
        "x  --all  applies",
    ]


def test_an_experiment_that_cannot_be_read_is_told_beside_a_core_too(gate: Gate) -> None:
    Path("a.yaml").write_text(yaml.safe_dump(short_experiment(title="a", tags=["core"])))
    Path("b.yaml").write_text("method: [")
    assert "b.yaml" in problems(gate())


def test_without_a_core_all_are_run(gate: Gate) -> None:
    Path("b.yaml").write_text(yaml.safe_dump(short_experiment(title="b")))
    made = gate("--json", "o.json")
    assert (made.exit_code, "with --all" in made.stderr) == (0, False)
    assert len(json.loads(Path("o.json").read_text())["experiments"]) == 2


def test_without_experiments_here_those_of_the_package_apply(gate: Gate) -> None:
    Path("x.yaml").unlink()
    assert "network partition" in gate("--list", "--var-file", "quick").stdout
    assert "steady pace" not in gate("--list", "cross_talk").stdout

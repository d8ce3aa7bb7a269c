"""The experiments as they are shipped, made short: pass on the sound server, fail on planted defects."""

import json
import subprocess
import sys

import pytest
import yaml

from tests.e2e.conftest import EXPERIMENTS, Chaos

ALL = sorted(path.name for path in EXPERIMENTS.iterdir() if path.suffix in (".yaml", ".json"))

# One of each way to disturb a server; ``make matrix`` runs all of them, ten times each.
SOME = (
    "abandoned_clients.yaml",
    "backend_outage.json",
    "network_partition.yaml",
    "server_pause.yaml",
    "session_rules.yaml",
    "truncated_answers.yaml",
)


@pytest.mark.e2e
@pytest.mark.parametrize("name", SOME)
def test_the_sound_server_passes(chaos: Chaos, name: str) -> None:
    result = chaos.run(name)
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output
    assert "Verdict: pass" in result.output
    assert "still be in place" not in result.output
    files = {path.name for path in result.folder.path.iterdir()}
    assert {"manifest.json", "events.jsonl", "verdict.json", "report.txt", "journal.json"} <= files
    assert not (result.folder.path / "warehouse.tmp").exists()
    assert all(fault["proof"] for fault in result.verdict["faults"])
    assert json.loads((chaos.folder / "journal.json").read_text())["deviated"] is False


@pytest.mark.e2e
def test_the_specifications_dialect_passes_too(chaos: Chaos) -> None:
    result = chaos.run("connection_resets.yaml", MCP_DIALECT="jsonrpc")
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output


# One of each kind; ``make matrix`` has all.
@pytest.mark.e2e
@pytest.mark.parametrize(
    ("name", "defect", "verdict", "reason"),
    [
        ("backend_outage.json", "no_backend_recovery", "fail", "recovery: "),
        ("stalled_backend.yaml", "blocks_on_backend", "fail", "fault: 'control.success_fraction >= 0.99' was missed"),
        ("abandoned_clients.yaml", "keeps_places_of_lost_clients", "fail", "fresh sessions were not served"),
        ("network_partition.yaml", "bypasses_proxy", "inconclusive", "'partition' on mcp was not felt"),
    ],
)
def test_planted_defects_are_found(chaos: Chaos, name: str, defect: str, verdict: str, reason: str) -> None:
    result = chaos.run(name, MCP_CHAOS_LAB_DEFECT=defect)
    assert (result.exit_code, result.verdict["verdict"]) == (1, verdict), result.output
    assert any(reason in line for line in result.verdict["reasons"]), result.verdict["reasons"]
    assert json.loads((chaos.folder / "journal.json").read_text())["deviated"] is True
    again = subprocess.run(
        [sys.executable, "-m", "mcp_chaos.cli", "report", str(result.folder.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == {"fail": 1, "inconclusive": 3}[verdict]
    assert f"Verdict: {verdict}" in again.stdout


@pytest.mark.e2e
def test_chaos_toolkit_validates_an_experiment_with_nothing_set(chaos: Chaos) -> None:
    command = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file", "validate"]
    made = subprocess.run([*command, str(EXPERIMENTS / ALL[0])], cwd=chaos.folder, env=chaos.env, capture_output=True)
    assert made.returncode == 0, made.stderr


@pytest.mark.e2e
def test_the_example_of_the_documentation_is_run_as_it_stands(chaos: Chaos) -> None:
    page = (EXPERIMENTS.parent / "docs" / "writing.md").read_text(encoding="utf-8")
    example = yaml.safe_load(page.partition("```yaml\n")[2].partition("```")[0])
    result = chaos.run(example)
    assert (result.exit_code, result.verdict["verdict"]) == (0, "pass"), result.output

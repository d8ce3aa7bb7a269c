"""What the documentation gives people to use, checked by what will read it."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import kubernetes_validate
import pytest
import yaml

from mcp_chaos import errors
from mcp_chaos.cli.gates import gate
from tests import experiments_page, matrix, reference_page

MANIFESTS = [
    path
    for folder in ("docs/kubernetes", "docs/scheduling", "toxiproxy")
    for path in sorted(Path(folder).glob("*.yaml"))
]
KUBERNETES = [path for path in MANIFESTS if "apiVersion" in path.read_text()]


@pytest.mark.parametrize("page", [experiments_page, reference_page])
def test_a_page_that_is_written_by_a_command_is_current(page: ModuleType) -> None:
    assert page.PAGE.read_text() == page.render(), "write it anew with: make docs"


def test_every_experiment_has_a_planted_defect_to_find() -> None:
    # What latency under a ramp asks, none of the planted defects gets wrong.
    shipped = {path.name for path in Path("experiments").iterdir() if path.is_file()} - {"latency_under_ramp.yaml"}
    assert {name for names in matrix.FOUND_BY.values() for name in names} == shipped


def test_the_readme_is_short() -> None:
    assert len(Path("README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("path", KUBERNETES, ids=str)
def test_manifests_are_what_kubernetes_takes(path: Path) -> None:
    documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
    assert documents
    for document in documents:
        kubernetes_validate.validate(document, "1.33", strict=True)


def test_a_wrong_manifest_would_be_found() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.33", strict=True)


PIPELINES = [
    ("vendor.github-actions", "action.yml"),
    ("vendor.github-workflows", ".github/workflows/ci.yml"),
    ("vendor.github-workflows", "docs/scheduling/github.yml"),
    ("vendor.gitlab-ci", "ci/mcp-chaos.gitlab-ci.yml"),
    ("vendor.gitlab-ci", "docs/scheduling/gitlab-ci.yml"),
]


def check_schema(schema: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(("schema", "path"), PIPELINES)
def test_pipelines_are_what_their_schemas_say(schema: str, path: str) -> None:
    made = check_schema(schema, Path(path))
    assert made.returncode == 0, made.stdout


def test_a_wrong_pipeline_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "action.yml").write_text("name: x\ndescription: y\nruns: {using: composite}\n")
    assert check_schema("vendor.github-actions", tmp_path / "action.yml").returncode == 1


def test_an_action_gives_its_inputs_to_the_shell_as_variables() -> None:
    """An expression inside a script would be run as a part of it, whatever is in it."""
    for step in yaml.safe_load(Path("action.yml").read_text())["runs"]["steps"]:
        assert "${{" not in step.get("run", "")


GATE = """#!/bin/sh
trap 'sleep 0.2; exit 4' INT TERM
touch started
while :; do sleep 0.05; done
"""


def shell_of(where: str) -> str:
    """What a pipeline's shell is given to run the gate."""
    if where == "action.yml":
        steps = yaml.safe_load(Path(where).read_text())["runs"]["steps"]
        return str(next(step["run"] for step in steps if step.get("name") == "the gate"))
    script = yaml.safe_load(Path(where).read_text())[".mcp-chaos"]["script"]
    return "\n".join(line for line in script if "python -m venv" not in line and "pip" not in line)


@pytest.mark.parametrize("where", ["action.yml", "ci/mcp-chaos.gitlab-ci.yml"])
def test_a_job_that_is_cancelled_waits_until_the_gate_has_healed(where: str, tmp_path: Path) -> None:
    gate = tmp_path / ("mcp-chaos" if where == "action.yml" else ".mcp-chaos") / "bin/mcp-chaos"
    gate.parent.mkdir(parents=True)
    gate.write_text(GATE)
    gate.chmod(0o755)
    folders = {"RUNNER_TEMP": str(tmp_path), "CI_PROJECT_DIR": str(tmp_path), "MCP_CHAOS_FOLDER": "."}
    env = {"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(tmp_path / "output"), **folders}
    with subprocess.Popen(["bash", "-eo", "pipefail", "-c", shell_of(where)], cwd=tmp_path, env=env) as shell:
        while not (tmp_path / "started").exists():
            assert shell.poll() is None
        shell.send_signal(signal.SIGINT)
        shell.send_signal(signal.SIGTERM)  # as GitHub does when the first is not enough
        assert shell.wait(10) == 4
    if where == "action.yml":
        assert (tmp_path / "output").read_text() == "exit-code=4\n"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_units_are_what_systemd_takes(tmp_path: Path) -> None:
    for name in ("mcp-chaos.service", "mcp-chaos.timer"):
        shutil.copy(Path("docs/scheduling") / name, tmp_path)
    units = [str(tmp_path / name) for name in ("mcp-chaos.service", "mcp-chaos.timer")]
    made = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert "mcp-chaos" not in made.stderr


def test_the_crontab_has_a_time_a_user_and_a_command() -> None:
    lines = [line for line in Path("docs/scheduling/crontab").read_text().splitlines() if line and line[0] != "#"]
    *settings, job = lines
    assert all(re.fullmatch(r"[A-Z_]+=\S+", line) for line in settings)
    assert "timeout --preserve-status " in job  # the exit code is the answer, also of a gate that was ended
    assert re.fullmatch(r"(\S+ ){5}mcp-chaos cd /srv/mcp-chaos && .*mcp-chaos gate weekly.yaml .*", job)


def test_exit_codes_are_the_same_everywhere() -> None:
    table = dict(re.findall(r"^\| (\d) \| (\S+) \|", Path("docs/gate.md").read_text(), re.MULTILINE))
    assert table == {"0": "pass", "1": "fail", "2": "–", "3": "inconclusive", "4": "aborted", "5": "error"}
    assert [errors.EXIT_PASS, errors.EXIT_FAIL, errors.EXIT_USAGE] == [0, 1, 2]
    assert [errors.EXIT_INCONCLUSIVE, errors.EXIT_ABORTED, errors.EXIT_INTERNAL] == [3, 4, 5]


def test_every_option_of_the_gate_is_documented() -> None:
    page = Path("docs/gate.md").read_text()
    for parameter in gate.params:
        for option in parameter.opts:
            assert not option.startswith("--") or option[2:] in page, option


@pytest.mark.parametrize("page", [Path("README.md"), *sorted(Path("docs").glob("*.md"))], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link

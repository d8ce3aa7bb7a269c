"""What ``mcp-chaos init`` writes for a stdio server is validated and run at once."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from junitparser import JUnitXml

from mcp_chaos.machine.parts import ReservedPort
from tests.e2e.conftest import TINY, Chaos
from tests.real_servers.servers import environment
from tests.test_docs import check_schema

SERVER = Path("tests/real_servers/any_sdk.py").resolve()


@pytest.mark.e2e
def test_the_set_for_a_stdio_server_gives_a_verdict_at_once(chaos: Chaos) -> None:
    shutil.copy(SERVER, chaos.folder / "my server.py")
    command = f"{sys.executable} 'my server.py' 0 stdio x x"
    init = [sys.executable, "-m", "mcp_chaos.cli", "init", "--command", command]
    told = subprocess.run(init, cwd=chaos.folder, env=environment({}), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    folder = chaos.folder / "chaos"
    profile = yaml.safe_load((folder / "profile.yaml").read_text())["configuration"]
    short = {key: TINY.get(key, value) for key, value in profile.items()}
    (folder / "profile.yaml").write_text(yaml.safe_dump({"configuration": short}))
    chaos_command = [str(Path(sys.executable).with_name("chaos")), "--no-version-check"]

    def toolkit(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*chaos_command, *arguments, "network_partition.yaml"]
        return subprocess.run(command, cwd=folder, env=environment({}), capture_output=True, text=True, check=False)

    assert toolkit("validate").returncode == 0
    said = toolkit("run", "--var-file", "profile.yaml")
    if "too busy" in said.stdout or "could not keep up" in said.stdout:  # which proves nothing
        said = toolkit("run", "--var-file", "profile.yaml")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "Verdict: pass" in said.stdout


def git(folder: Path, *arguments: str) -> None:
    me = ["-c", "user.name=me", "-c", "user.email=me@example.test"]
    subprocess.run(["git", *me, *arguments], cwd=folder, check=True, capture_output=True)


def commands_of(workflow: Path) -> list[dict[str, Any]]:
    """The steps that the workflow's own shell runs; the package is not installed but taken from here."""
    steps = yaml.safe_load(workflow.read_text())["jobs"]["resilience"]["steps"]
    install = '"$RUNNER_TEMP/mcp-chaos/bin/pip" install --quiet chaostoolkit-mcp'
    here = f'ln -s {Path(sys.executable).with_name("mcp-chaos")} "$RUNNER_TEMP/mcp-chaos/bin/mcp-chaos"'
    assert sum(install in step.get("run", "") for step in steps) == 1
    return [{**step, "run": step["run"].replace(install, here)} for step in steps if "run" in step]


@pytest.mark.e2e
def test_the_gate_of_a_clean_clone_runs_by_the_workflows_own_commands(chaos: Chaos) -> None:
    port = ReservedPort()
    server = f"{sys.executable} {SERVER} {port.number} http sse stateful"
    repository, clone = chaos.folder / "mine", chaos.folder / "clone"
    repository.mkdir()
    git(repository, "init", "-q")
    url = f"http://127.0.0.1:{port.number}/mcp"
    init = [sys.executable, "-m", "mcp_chaos.cli", "init", "--url", url]
    init += ["--install", "touch installed", "--start", f"test -e installed && A=b exec {server}"]
    with subprocess.Popen(server.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        wait = [sys.executable, "-m", "mcp_chaos.cli", "doctor", "--url", url]
        while subprocess.run(wait, env=environment({}), capture_output=True).returncode:
            assert running.poll() is None
        made = subprocess.run(init, cwd=repository, env=environment({}), capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        running.terminate()
    workflow = repository / ".github/workflows/mcp-chaos.yml"
    assert check_schema("vendor.github-workflows", workflow).returncode == 0
    for path in (repository / "chaos").glob("*.yaml"):  # shorter, as this is a test
        content = yaml.safe_load(path.read_text())
        if "method" in content:
            content["configuration"] |= {key: TINY[key] for key in content["configuration"] if key in TINY}
            path.write_text(yaml.safe_dump(content))
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "chaos")
    git(chaos.folder, "clone", "-q", str(repository), str(clone))
    env = {
        **environment({}),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(chaos.folder / "summary.md"),
        "GITHUB_WORKSPACE": str(clone),
        "RUNNER_TEMP": str(chaos.folder),
    }
    try:
        for step in commands_of(clone / ".github/workflows/mcp-chaos.yml"):
            command = ["bash", "-e", "-c", step["run"]]
            folder = clone / step.get("working-directory", ".")
            with (chaos.folder / "step.log").open("w") as log:  # not a pipe: the server would keep it open
                done = subprocess.run(command, cwd=folder, env=env, stdout=log, stderr=log, timeout=150)
            assert done.returncode == 0, (chaos.folder / "step.log").read_text()
    finally:
        port.release()
        for process in psutil.process_iter(["cmdline"]):
            if process.info["cmdline"] == server.split():
                process.send_signal(signal.SIGKILL)
                process.wait(10)
    assert "mcp-chaos gate: pass" in (chaos.folder / "summary.md").read_text()
    assert JUnitXml.fromfile(str(clone / "chaos/mcp-chaos.xml")).tests == 3
    assert (clone / "chaos/mcp-chaos.html").exists()
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True).stdout
    assert status.split() == ["??", "installed", "??", "server.log"]

"""What ``mcp-chaos init`` writes for a stdio server is validated and run at once."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import TINY, Chaos
from tests.real_servers.servers import environment

SERVER = Path("tests/real_servers/any_sdk.py").resolve()


@pytest.mark.e2e
def test_the_set_for_a_stdio_server_gives_a_verdict_at_once(chaos: Chaos) -> None:
    command = f"{sys.executable} {SERVER} 0 stdio x x"
    init = [sys.executable, "-m", "mcp_chaos.cli", "init", "--command", command, "--folder", "."]
    told = subprocess.run(init, cwd=chaos.folder, env=environment({}), capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    profile = yaml.safe_load((chaos.folder / "profile.yaml").read_text())["configuration"]
    short = {key: TINY.get(key, value) for key, value in profile.items()}
    (chaos.folder / "profile.yaml").write_text(yaml.safe_dump({"configuration": short}))
    chaos_command = [str(Path(sys.executable).with_name("chaos")), "--no-version-check"]
    for arguments in (["validate"], ["run", "--var-file", "profile.yaml"]):
        said = subprocess.run(
            [*chaos_command, *arguments, "network_partition.yaml"],
            cwd=chaos.folder, env=environment({}), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stdout + said.stderr
    assert "Verdict: pass" in said.stdout + said.stderr

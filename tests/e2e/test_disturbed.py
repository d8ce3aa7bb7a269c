"""Faults that somebody takes away, and a Toxiproxy that goes in the middle of a run: neither a pass nor a fail."""

from typing import Any

import pytest

from tests.e2e.conftest import Chaos, short_experiment

THRESHOLDS = [{"name": "mcp_chaos", "thresholds": {"recovery": ["success_fraction >= 0.9"]}}]
KILL = "#!/bin/sh\nkill -9 $(ps --ppid $PPID -o pid=,args= | awk '/toxiproxy-server/{print $1}')\n"


def foreign(name: str, provider: dict[str, Any]) -> dict[str, Any]:
    return {"type": "action", "name": name, "provider": provider, "pauses": {"after": 0.2}}


@pytest.mark.e2e
def test_a_fault_that_somebody_takes_away(chaos: Chaos, toxiproxy_url: str) -> None:
    provider = {"type": "http", "url": f"{toxiproxy_url}/reset", "method": "POST", "timeout": 3}
    result = chaos.run(short_experiment(foreign("a reset", provider)), TOXIPROXY_URL=toxiproxy_url)
    assert (result.exit_code, result.verdict["verdict"]) == (1, "inconclusive"), result.output
    assert "its toxic was gone" in result.verdict["headline"]


@pytest.mark.e2e
def test_a_toxiproxy_that_is_killed(chaos: Chaos) -> None:
    script = chaos.folder / "kill.sh"
    script.write_text(KILL)
    script.chmod(0o755)
    experiment = short_experiment(
        foreign("the kernel kills it", {"type": "process", "path": str(script)}), extensions=THRESHOLDS
    )
    result = chaos.run(experiment)
    assert (result.exit_code, result.verdict["verdict"]) == (1, "inconclusive"), result.output
    assert result.verdict["headline"].startswith("Toxiproxy stopped answering"), result.verdict["reasons"]
    assert "toxiproxy_restarted" in result.kinds()
    assert "still be in place" not in result.output

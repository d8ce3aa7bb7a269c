"""Real runs of the real command, made short; after each, nothing may be left."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_chaos.config.settings import KEYS
from mcp_chaos.history.events import Event
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.processes import MARKER, children_of_run

EXPERIMENTS = Path("experiments").resolve()
_RUNS = 4

TINY = {
    "ramp_max_users": 8,
    "ramp_step_users": 1,
    "ramp_requests_per_user": 3,
    "ramp_pause_s": 0.6,
    "sustained_users": 12,
    "sustained_duration_s": 10,
    "sustained_cycle_s": 0.25,
    "sustained_requests_per_user": 1,
    "call_deadline_s": 2.5,
    "baseline_s": 1.5,
    "partition_s": 1.0,
    "healthy_s": 1.7,
    "black_hole_s": 0.5,
    "reset_s": 2.0,
    "latency_s": 1.5,
    "outage_s": 2.5,
    "stall_s": 2.5,
    "load_s": 13,
    "clients_s": 3.0,
    "cuts": 8,
    "silence_s": 3.0,
    "slice_s": 2.5,
    "truncate_s": 2.5,
    "burst_requests": 20,
    "burst_concurrency": 5,
}
"""Numbers that make every experiment as short as its windows allow."""

SHORT: dict[str, Any] = {
    "title": "short",
    "description": "a load and a fault, as short as can be",
    "configuration": {},
    "runtime": {"rollbacks": {"strategy": "always"}},
    "controls": [{"name": "mcp_chaos", "provider": {"type": "python", "module": "mcp_chaos.control"}}],
    "extensions": [{"name": "mcp_chaos", "thresholds": {"fault": ["success_fraction >= 0.9", "disturbed_calls >= 1"]}}],
    "method": [],
    "rollbacks": [],
}


def activity(func: str, module: str = "mcp_chaos.actions", *, after_s: float = 0, **arguments: Any) -> dict[str, Any]:
    """An activity of an experiment."""
    kind = "probe" if module.endswith("probes") else "action"
    provider = {"type": "python", "module": module, "func": func, "arguments": arguments}
    return {"type": kind, "name": func.replace("_", " "), "provider": provider, "pauses": {"after": after_s}}


def short_experiment(*extra: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A load of 3.2 s with 80 ms of latency in the middle, and what a test adds before the heal."""
    load: dict[str, Any] = {"shape": "sustained", "users": 2, "duration_s": 3.2, "cycle_s": 0.1, "requests_per_user": 1}
    method = [
        activity("start_load", **load, after_s=0.5),
        activity("add_latency", latency_ms=80, after_s=1.1),
        *extra,
        activity("heal"),
        activity("wait_for_load"),
    ]
    return {**json.loads(json.dumps(SHORT)), "method": method, **changes}


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    exit_code: int
    output: str
    runs: list[RunFolder]

    @property
    def folder(self) -> RunFolder:
        assert self.runs, self.output
        return self.runs[-1]

    @property
    def verdict(self) -> dict[str, Any]:
        return dict(self.folder.read("verdict.json"))

    @property
    def events(self) -> list[Event]:
        return self.folder.events()

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    @property
    def machine_was_busy(self) -> bool:
        return bool(self.runs) and not {"machine_overloaded", "machine_crowded", "generator_overloaded"}.isdisjoint(
            self.kinds()
        )


class Chaos:
    """Runs ``chaos`` in a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if name.lower() not in KEYS and name != MARKER}
        (folder / "tiny.yaml").write_text(yaml.safe_dump({"configuration": TINY}))

    def command(self, experiment: str | dict[str, Any], *options: str) -> list[str]:
        """The command line of a run."""
        path = self.folder / "experiment.json"
        if isinstance(experiment, dict):
            path.write_text(json.dumps(experiment))
        else:
            path = EXPERIMENTS / experiment
        chaos = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file"]
        return [*chaos, "run", "--var-file", "tiny.yaml", *options, str(path)]

    def start(self, experiment: str | dict[str, Any], *options: str, **env: str) -> subprocess.Popen[str]:
        """Start a run."""
        return subprocess.Popen(
            self.command(experiment, *options),
            cwd=self.folder,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, experiment: str | dict[str, Any], *options: str, **env: str) -> Result:
        """Make a run to its end; one for which the machine was too busy proves nothing, and is made again."""
        for _ in range(_RUNS - 1):
            result = self.finish(self.start(experiment, *options, **env))
            if not result.machine_was_busy:
                return result
        return self.finish(self.start(experiment, *options, **env))

    def finish(self, process: subprocess.Popen[str]) -> Result:
        """Wait for the end of a run; check that nothing of it is left."""
        output, _ = process.communicate(timeout=120)
        assert "Traceback" not in output, output
        result = Result(process.returncode, output, self.runs())
        for folder in result.runs:
            assert children_of_run(str(folder.path)) == []
        return result

    def runs(self) -> list[RunFolder]:
        """The runs that were made here."""
        return [RunFolder(path) for path in sorted((self.folder / "runs").glob("*"))]


@pytest.fixture
def chaos(tmp_path: Path) -> Iterator[Chaos]:
    """Real runs in a folder of the test's own."""
    made = Chaos(tmp_path)
    yield made
    for folder in made.runs():
        assert children_of_run(str(folder.path)) == []


Runs = Callable[..., Result]

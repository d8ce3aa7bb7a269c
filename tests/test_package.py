"""What the package promises to the outside: discovery, errors, experiments that validate."""

import asyncio
import dataclasses
import inspect
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from chaoslib.discovery.discover import discover_activities
from chaoslib.experiment import ensure_experiment_is_valid

from mcp_chaos import __version__, actions, discover, errors, probes
from mcp_chaos.faults.kinds import FAULTS

EXPERIMENTS = sorted(p for p in Path("experiments").iterdir() if p.suffix in (".yaml", ".json"))


def load(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="utf-8")
    return dict(json.loads(text) if path.suffix == ".json" else yaml.safe_load(text))


def test_all_activities_are_discovered_with_their_types() -> None:
    found = discover()
    assert found["extension"]["version"] == __version__
    names = {activity["name"] for activity in found["activities"]}
    assert names == {*actions.__all__, *probes.__all__}
    for activity in found["activities"]:
        assert activity["type"] == ("action" if activity["name"] in actions.__all__ else "probe")
        for argument in activity.get("arguments", []):
            assert argument["type"] != "object" or argument["default"] is None, activity
        assert activity["return_type"] not in (None, "object"), activity


def test_discovery_finds_no_more_than_is_exported() -> None:
    assert {a["name"] for a in discover_activities("mcp_chaos.actions", "action")} == set(actions.__all__)


@pytest.mark.parametrize("module", [actions, probes])
def test_activities_are_sync_and_have_no_keyword_only_arguments(module: object) -> None:
    for name in module.__all__:  # type: ignore[attr-defined]
        function = getattr(module, name)
        assert not asyncio.iscoroutinefunction(function)
        parameters = inspect.signature(function).parameters.values()
        assert all(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters)


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_action_takes_the_fields_of_its_fault(name: str) -> None:
    parameters = dict(inspect.signature(getattr(actions, name)).parameters)
    parameters.pop("for_s", None)  # how long it is held is no field of a fault
    fields = {field.name: field.default for field in dataclasses.fields(FAULTS[name])}
    assert set(parameters) == set(fields)
    defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
    assert defaults == {n: fields[n] for n in defaults}


def test_the_error_tree_in_the_docstring_is_the_real_one() -> None:
    kinds = vars(errors).values()
    ours = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, errors.McpChaosError)]
    real = {kind.__name__: kind.exit_code for kind in ours if kind is not errors.McpChaosError}
    doc = errors.__doc__ or ""
    drawn = {line.split()[1]: int(line.split()[2]) for line in doc.splitlines() if line.strip()[:1] in ("├", "└")}
    assert drawn == real


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.name)
def test_chaos_toolkit_takes_each_experiment_with_nothing_set(path: Path) -> None:
    ensure_experiment_is_valid(load(path))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda p: p.name)
def test_each_experiment_heals_always_and_has_thresholds_and_the_control(path: Path) -> None:
    experiment = load(path)
    assert experiment["runtime"] == {"rollbacks": {"strategy": "always"}}
    assert experiment["controls"] == [
        {"name": "mcp_chaos", "provider": {"type": "python", "module": "mcp_chaos.control"}}
    ]
    assert experiment["rollbacks"]
    (block,) = (one for one in experiment["extensions"] if one["name"] == "mcp_chaos")  # type: ignore[attr-defined]
    assert block["advice"].endswith((".", ".\n")), "it says what to do about a fail"


def test_every_number_of_the_specs_profile_belongs_to_an_experiment() -> None:
    profile = yaml.safe_load(Path("experiments/profiles/spec.yaml").read_text(encoding="utf-8"))["configuration"]
    known: set[str] = set().union(*(load(path)["configuration"] for path in EXPERIMENTS))  # type: ignore[arg-type]
    assert set(profile) <= known
    assert (profile["burst_requests"], profile["burst_concurrency"]) == (50, 10)
    assert (profile["ramp_max_users"], profile["ramp_step_users"], profile["ramp_pause_s"]) == (50, 5, 30)
    assert (profile["sustained_duration_s"], profile["sustained_cycle_s"]) == (300, 10)


def test_the_package_has_every_experiment_profile_and_plan() -> None:
    patterns = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["mcp_chaos"]
    package = Path("src/mcp_chaos")
    packed = {path.resolve() for pattern in patterns for path in package.glob(pattern)}
    assert {path.resolve() for path in Path("experiments").rglob("*.*")} <= packed


def test_chaos_toolkit_can_list_this_extension() -> None:
    command = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file", "info", "extensions"]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert "chaostoolkit-mcp" in made.stdout
    assert "Apache-2.0" in made.stdout

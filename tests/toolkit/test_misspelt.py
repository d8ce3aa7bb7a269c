"""Misspelt keys of what is shipped are refused by name before anything starts; keys of others are not."""

import copy
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_chaos.commands.load_plan import PlannedFault
from mcp_chaos.errors import UsageError
from mcp_chaos.gate.item import Item
from mcp_chaos.gate.plan_file import make_plan
from mcp_chaos.toolkit.given import Given, Profile
from mcp_chaos.workload.file import read_workload

EXPERIMENTS = sorted(path for path in Path("experiments").resolve().iterdir() if path.is_file())
STARTER = Path("src/mcp_chaos/commands/starter").resolve()
PROFILES = [*sorted(Path("experiments/profiles").resolve().iterdir()), STARTER / "profile.yaml"]
PLANS = [Path("experiments/plans/weekly.yaml").resolve(), STARTER / "weekly.yaml"]
WORKLOADS = sorted(Path("src/mcp_chaos/workload/workloads").resolve().glob("*.yaml"))
_KEYS_OF_EACH = 12
"""How many keys of each experiment are misspelt, of the hundred or so that it has."""

Place = tuple[Any, ...]


def places(value: Any, at: Place = ()) -> Iterator[Place]:
    """Where the keys of a document are."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        if isinstance(key, str):
            yield (*at, key)
        yield from places(inner, (*at, key))


def misspelt(key: str, random_: random.Random) -> str:
    """A key with a letter dropped, two swapped, or one doubled."""
    at = random_.randrange(1, len(key) - 1) if len(key) > 2 else 0
    made = [key[:at] + key[at + 1 :], key[:at] + key[at + 1] + key[at] + key[at + 2 :], key[:at] + key[at] + key[at:]]
    return random_.choice([each for each in made if each != key])


def with_misspelt(document: Any, place: Place, name: str) -> Any:
    """A copy of a document with one key spelt otherwise, in its place."""
    made = copy.deepcopy(document)
    holder = made
    for step in place[:-1]:
        holder = holder[step]
    pairs = [(name if key == place[-1] else key, value) for key, value in holder.items()]
    holder.clear()
    holder.update(pairs)
    return made


def mutations(document: Any, seed: str, most: int | None = None) -> Iterator[tuple[Any, str, str]]:
    """Documents with one misspelt key each, the key as it is now, and where it is."""
    random_ = random.Random(seed)
    found = list(places(document))
    for place in found if most is None else random_.sample(found, min(most, len(found))):
        name = misspelt(place[-1], random_)
        yield with_misspelt(document, place, name), name, ".".join(map(str, place))


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document, default=str))
    return path


def names(text: str, name: str) -> bool:
    """Whether a text has the name as a word of its own."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def refusal(act: Any) -> str:
    """What a refusal says; empty where nothing is refused."""
    try:
        act()
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_a_misspelt_key_of_an_experiment_is_refused_by_its_name(path: Path, tmp_path: Path) -> None:
    assert Item(path).problems() == []
    got_through = [
        where
        for mutant, name, where in mutations(read(path), path.name, _KEYS_OF_EACH)
        if not names("\n".join(Item(write(tmp_path / "mutant.json", mutant)).problems()), name)
    ]
    assert got_through == []


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.name)
def test_a_misspelt_key_of_a_profile_is_refused_by_its_name(path: Path, tmp_path: Path) -> None:
    declared = Item(EXPERIMENTS[0]).declared()

    def use(profile: Path) -> None:
        if problems := Given([Profile.read(profile)]).problems(declared):
            raise UsageError(problems)

    assert refusal(lambda: use(path)) == ""
    for mutant, name, where in mutations(read(path), path.name):
        assert names(refusal(lambda mutant=mutant: use(write(tmp_path / "mutant.json", mutant))), name), where


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.parent.name)
def test_a_misspelt_key_of_a_plan_is_refused_by_its_name(path: Path, tmp_path: Path) -> None:
    content = read(path)
    entries = [entry if isinstance(entry, dict) else {"path": entry} for entry in content["experiments"]]
    for entry in entries:
        entry["path"] = str(Path("experiments").resolve() / Path(entry["path"]).name)
        entry["expected_failure"] = {"reason": "known", "until": "2027-01-31"}
    content |= {"experiments": entries[-2:], "configuration": {"call_deadline_s": 3}}

    def use(plan: Path) -> None:
        make_plan([plan], {}).check()

    assert refusal(lambda: use(write(tmp_path / "plan.json", content))) == ""
    for mutant, name, where in mutations(content, str(path)):
        assert names(refusal(lambda mutant=mutant: use(write(tmp_path / "plan.json", mutant))), name), where


@pytest.mark.parametrize("path", WORKLOADS, ids=lambda path: path.name)
def test_a_misspelt_key_of_a_workload_is_refused_by_its_name(path: Path, tmp_path: Path) -> None:
    content = read(path)
    assert refusal(lambda: read_workload(str(path))) == ""
    for mutant, name, where in mutations(content, path.name):
        if "arguments" in where.split(".")[:-1]:
            continue  # the tool's own, which only the server knows
        said = refusal(lambda mutant=mutant: read_workload(str(write(tmp_path / "mutant.json", mutant))))
        assert names(said, name), where


@pytest.mark.parametrize("key", ["latency_ms", "jitter_ms", "direction", "from_s", "for_s"])
def test_a_misspelt_number_of_a_fault_is_refused_by_its_name(key: str) -> None:
    good = "add_latency latency_ms=5 jitter_ms=1 direction=upstream from_s=1 for_s=1"
    assert refusal(lambda: PlannedFault.parse(good)) == ""
    for seed in range(4):
        name = misspelt(key, random.Random(seed))
        said = refusal(lambda name=name: PlannedFault.parse(good.replace(key, name)))
        assert f"did you mean '{key}'?" in said
        assert names(said, name)


OTHERS: dict[str, Any] = {
    "version": "1.0.0",
    "x-team": {"anything": 1},
    "contributions": {"reliability": "high", "aviability": "none"},
    "secrets": {"their_target": {"tokn": "x"}},
    "tags": ["pause", "rollback"],
}
"""Keys of an experiment that Chaos Toolkit or somebody else knows."""


def with_keys_of_others() -> dict[str, Any]:
    """A shipped experiment with what other extensions and Chaos Toolkit itself may have in it."""
    experiment: dict[str, Any] = read(Path("experiments/steady_pace.yaml"))
    experiment["extensions"].append({"name": "theirs", "tresholds": {"pauses": 1}})
    experiment["configuration"] |= {
        "kubernetes_context": "x",
        "vault_addr": {"type": "env", "key": "NOWHERE", "default": "", "env_var_type": "str"},
        "found": {"type": "probe", "name": "p", "provider": {"type": "process", "path": "true", "timeout": 1}},
    }
    experiment["controls"].append(
        {
            "name": "theirs",
            "automatic": False,
            "scope": "before",
            "provider": {"type": "python", "module": "json", "arguments": {"probs": []}, "secrets": ["their_target"]},
        }
    )
    http = {"type": "http", "url": "http://127.0.0.1:1", "method": "POST", "headers": {"a": "b"}, "arguments": {"q": 1}}
    tolerance = {"type": "regex", "pattern": "x", "target": "body"}
    experiment["method"] += [
        {"ref": experiment["method"][0]["name"]},
        {
            "type": "probe",
            "name": "their page",
            "background": True,
            "controls": [{"name": "own", "provider": {"type": "python", "module": "json"}}],
            "tolerance": tolerance,
            "provider": {**http, "timeout": 1, "verify_tls": False, "max_retries": 2, "expected_status": 200},
        },
        {
            "type": "action",
            "name": "their function",
            "provider": {"type": "python", "module": "json", "func": "dumps", "arguments": {"obj": {"argumnts": 1}}},
            "x-owner": "somebody",
        },
    ]
    experiment["runtime"]["hypothesis"] = {"strategy": "default"}
    return experiment | OTHERS


def test_keys_of_others_stay_allowed(tmp_path: Path) -> None:
    assert Item(write(tmp_path / "theirs.json", with_keys_of_others())).problems() == []


def test_all_slips_of_an_experiment_are_told_at_once(tmp_path: Path) -> None:
    experiment = with_keys_of_others()
    experiment["rollback"] = experiment.pop("rollbacks")
    experiment["runtime"] = {"rolbacks": {"strategy": "always"}, "hypothesis": {"strategy": "contnuously"}}
    experiment["controls"][0]["provider"]["type"] = "pyton"
    experiment["method"][-1]["provider"] = {"type": "proces", "path": "true"}
    experiment["method"][-2]["tolerance"] = {"type": "regx", "patern": "x"}
    experiment["configuration"]["mcp_ulr"] = "http://127.0.0.1:1/mcp"
    found = "\n".join(Item(write(tmp_path / "slips.json", experiment)).problems())
    for meant in ("rollbacks", "continuously", "python", "process", "regex", "pattern", "mcp_url"):
        assert f"'{meant}'" in found
    assert found.count("slips.json: ") == 8


def test_a_control_of_somebody_elses_that_chaos_toolkit_would_leave_out_is_refused(tmp_path: Path) -> None:
    experiment = with_keys_of_others()
    experiment["controls"][1]["provider"] = {"typ": "python", "module": "json"}
    found = Item(write(tmp_path / "slips.json", experiment)).problems()
    assert any("'typ' is no key of the provider of a control; did you mean 'type'?" in each for each in found)

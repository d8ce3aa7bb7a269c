"""What is given beside an experiment is used, or refused by its name."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from mcp_chaos.config.settings import resolve
from mcp_chaos.errors import UsageError
from mcp_chaos.gate.item import Item
from mcp_chaos.gate.plan_file import make_plan
from mcp_chaos.toolkit.given import Given, Profile, set_variables, shipped_numbers
from tests.e2e.conftest import EXPERIMENTS, short_experiment

URL = "http://127.0.0.1:9/mcp"


def written(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """An experiment that declares one number, and no setting."""
    return written(tmp_path / "short.yaml", short_experiment(configuration={"pause_s": 1}))


@pytest.fixture
def chaos_run() -> Iterator[dict[str, Any]]:
    """The options of a command ``chaos run`` that this process is."""
    options: dict[str, Any] = {"var": {}, "var_file": ()}
    context = click.Context(click.Command("run"))
    context.params = options
    with context:
        yield options


@pytest.mark.parametrize("key", ["mcp_url", "MCP_URL"])
@pytest.mark.parametrize(
    "declared", [{}, {"mcp_url": ""}, {"mcp_url": {"type": "env", "key": "NOWHERE", "default": ""}}]
)
def test_a_setting_from_outside_is_used_declared_or_not(tmp_path: Path, key: str, declared: dict[str, Any]) -> None:
    path = written(tmp_path / "x.yaml", short_experiment(configuration=declared))
    assert Item(path, {key: URL}).settings().mcp_url == URL
    plan = {"experiments": ["x.yaml"], "configuration": {key: URL}}
    (item,) = make_plan([written(tmp_path / "plan.yaml", plan)], {}).items
    assert item.settings().mcp_url == URL


@pytest.mark.parametrize("key", ["mcp_url", "MCP_URL"])
def test_a_setting_in_the_configuration_is_used_in_capitals_too(tmp_path: Path, key: str) -> None:
    path = written(tmp_path / "x.yaml", short_experiment(configuration={key: URL}))
    assert Item(path).settings().mcp_url == URL


def test_a_setting_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.yaml", short_experiment(configuration={"mcp_url": URL, "MCP_URL": URL}))
    assert "'mcp_url' and 'MCP_URL' are one setting" in "\n".join(Item(path).problems())
    given = Given([], {"mcp_url": URL, "MCP_URL": URL})
    assert given.problems([]) == ["--var: 'MCP_URL' and 'mcp_url' are one setting; give it once"]


def test_what_chaos_run_was_given_is_used(chaos_run: dict[str, Any], tmp_path: Path) -> None:
    profile = written(tmp_path / "profile.yaml", {"configuration": {"MCP_URL": URL, "mcp_tool": "a", "outage_s": 3}})
    env_file = written(tmp_path / "some.env", "MCP_URL=ignored here, as Chaos Toolkit has set it\n")
    chaos_run |= {"var": {"mcp_tool": "b"}, "var_file": (str(profile), str(env_file))}
    given = Given.to_chaos_run()
    assert given.problems([]) == []
    settings = resolve(given.over({"pause_s": 1, "mcp_url": "http://127.0.0.1:8/mcp"}))
    assert (settings.mcp_url, settings.tool) == (URL, "b")


def test_a_profile_that_chaos_toolkit_would_leave_out_is_refused(chaos_run: dict[str, Any], tmp_path: Path) -> None:
    broken = written(tmp_path / "broken.yaml", "{")
    other = written(tmp_path / "other.yaml", {"configuraton": {}, "secrets": {"a": {"b": "c"}}})
    chaos_run["var_file"] = (str(broken), str(other))
    problems = Given.to_chaos_run().problems([])
    assert len(problems) == 2
    assert "broken.yaml is neither JSON nor YAML" in problems[0]
    assert "'configuraton' is no key of a profile; did you mean 'configuration'?" in problems[1]


@pytest.mark.parametrize("option", [None, "probes"])
def test_a_dry_run_that_the_file_asks_for_is_not_forgotten(
    chaos_run: dict[str, Any], tmp_path: Path, option: str | None
) -> None:
    path = written(tmp_path / "x.yaml", {**short_experiment(), "dry": "activities"})
    chaos_run |= {"source": str(path), "dry": option}
    refused = ["dry: chaos run looks at its option only; give --dry activities"]
    assert Given.to_chaos_run().problems([]) == ([] if option else refused)


def test_a_setting_in_mixed_letters_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.yaml", short_experiment(configuration={"Mcp_Url": URL}))
    assert Item(path).problems() == [
        "x.yaml: configuration: 'Mcp_Url' is no setting of mcp_chaos; did you mean 'mcp_url'?"
    ]


def test_outside_of_chaos_run_nothing_is_given() -> None:
    assert Given.to_chaos_run() == Given()


def test_a_number_that_no_experiment_of_the_run_has_is_refused() -> None:
    given = Given([], {"paus_s": 1, "outage_s": 2, "Mcp_Url": URL, "mcp_token": "x"})
    assert given.problems(["pause_s"]) == [
        "--var: no experiment of this run has 'paus_s'; did you mean 'pause_s'?",
        "--var: no experiment of this run has 'outage_s'; there are pause_s",
        "--var: no experiment of this run has 'Mcp_Url'; did you mean 'mcp_url'?",
        "--var: 'mcp_token' is a secret; set MCP_TOKEN in the environment instead",
    ]


def test_a_profile_may_have_numbers_of_shipped_experiments_and_those_it_says_are_shared(tmp_path: Path) -> None:
    content = {"configuration": {"pause_s": 1, "outage_s": 2, "others_s": 3}, "shared": ["others_s"]}
    profile = Profile.read(written(tmp_path / "profile.yaml", content))
    assert Given([profile]).problems(["pause_s"]) == []
    del content["shared"]
    (problem,) = Given([Profile.read(written(tmp_path / "profile.yaml", content))]).problems(["pause_s"])
    assert "no experiment of this run has 'others_s'" in problem


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.*")), ids=lambda path: path.name)
def test_the_shipped_profiles_are_for_every_shipped_experiment(path: Path) -> None:
    declared = Item(path).declared()
    assert declared <= shipped_numbers()
    for profile in (EXPERIMENTS / "profiles").iterdir():
        assert Given([Profile.read(profile)]).problems(declared) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "is no profile"),
        ({"configuration": 3}, "is no profile"),
        ({"configuration": {}, "secrets": {"a": 1}}, "'secrets' are used by chaos run --var-file only"),
        ({"configuration": {}, "shared": "a"}, "'shared' is a list"),
        ({"configuration": {}, "x-team": 1}, ""),
    ],
)
def test_what_is_no_profile_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    path = written(tmp_path / "profile.yaml", content)
    if said:
        with pytest.raises(UsageError, match=said):
            Profile.read(path)
    else:
        assert Profile.read(path).configuration == {}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MCP_ULR", "MCP_URL"),
        ("MCP_TOEKN", "MCP_TOKEN"),
        ("mcp_url", "MCP_URL"),
        ("MCP_CHAOS_ALOW_HOSTS", "MCP_CHAOS_ALLOW_HOSTS"),
        ("MCP_CHAOS_HOSTS", "MCP_CHAOS_ALLOW_HOSTS"),
        ("MCP_CHAOS_LAB_DEFCT", "MCP_CHAOS_LAB_DEFECT"),
        ("TOXIPROXY_UURL", "TOXIPROXY_URL"),
        ("MCP_SERVER_NAME", ""),
        ("MCP_TIMEOUT", ""),
        ("MCP_SERVER_URL", ""),
        ("MCP_CHAOS_FOLDER", ""),
        ("MCP_CHAOS_PORT", ""),  # Kubernetes sets these for a service of the name
        ("MCP_CHAOS_SERVICE_HOST", ""),
        ("TOXIPROXY_SERVICE_HOST", ""),
        ("MCP_SERVER_PORT", ""),
        ("TOXIPROXY_VERSION", ""),
    ],
)
def test_a_misspelt_variable_of_the_environment_is_refused(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "anything")
    if not meant:
        resolve({})
        return
    with pytest.raises(UsageError) as refused:
        resolve({})
    assert f"{name} in the environment is no setting of mcp_chaos; did you mean {meant}?" in str(refused.value)
    monkeypatch.setenv(name, "")  # pipelines set what nobody has given
    resolve({})


def test_a_file_of_variables_is_set_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_URL", "http://127.0.0.1:1/mcp")
    path = tmp_path / ".env"
    path.write_text("MCP_URL=http://127.0.0.1:2/mcp\nsecret-without-a-name\n")
    with pytest.raises(UsageError) as told:
        set_variables(path)
    assert "secret" not in str(told.value)
    assert os.environ["MCP_URL"] == "http://127.0.0.1:1/mcp"
    path.write_text("# mine\n\nMCP_URL=http://127.0.0.1:2/mcp?a=b\n")
    set_variables(path)
    assert os.environ["MCP_URL"] == "http://127.0.0.1:2/mcp?a=b"

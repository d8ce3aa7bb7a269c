"""What is given beside an experiment, by ``--var``, by profiles (``--var-file``) and by plans: used, or refused.

A setting of ours is used whether the experiment declares it or not, in small letters or in capitals. A number has to be
one that an experiment of the run declares, as nothing else could use it. A profile is for many experiments, so it
may also have numbers of those that come with mcp_chaos, and those that it names in its list ``shared``.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import click
import orjson
import yaml
from chaoslib.configuration import load_configuration

from mcp_chaos.config import shipped
from mcp_chaos.config.credentials import VARIABLES
from mcp_chaos.config.settings import KEYS
from mcp_chaos.errors import UsageError
from mcp_chaos.history.regular_file import read_regular
from mcp_chaos.machine.spelling import hint, likeliest, meant_settings, unknown_keys

_PROFILE = ("configuration", "secrets", "shared", "description")
PROFILE_SUFFIXES = (".yaml", ".yml", ".json")
"""Of profiles; any other file that is given as one has variables of the environment, a line each."""


def read(path: Path) -> Any:
    """What a JSON or YAML file holds.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        text = read_regular(path).decode("utf-8")
        return orjson.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, yaml.YAMLError, RecursionError, LookupError, AttributeError, TypeError) as error:
        # the last three are PyYAML's own, for a tag such as !!int on what is none
        raise UsageError(f"{path} is neither JSON nor YAML ({' '.join(str(error).split())})") from None


def set_variables(path: Path) -> None:
    """Set variables of the environment from a file of lines ``NAME=value``, as ``chaos run --var-file .env`` does.

    Raises:
        UsageError: it cannot be read, or a line is none; nothing was set.
    """
    try:
        lines = [line.strip() for line in read_regular(path).decode("utf-8").splitlines()]
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    wrong = [number for number, (name, equals, _) in enumerate(pairs, 1) if not (equals and name.strip())]
    if wrong:
        # Not the line itself: it may be a secret.
        raise UsageError(f"{path} is no profile (.yaml, .json), nor lines NAME=value: variable {wrong[0]} is none")
    os.environ.update({name.strip(): value for name, _, value in pairs})


@dataclass(frozen=True)
class Profile:
    """Numbers for several experiments, which take the place of their own.

    Args:
        path: of its file.
        configuration: the numbers and settings by name.
        shared: the names of numbers that are for experiments of other runs.
    """

    path: Path
    configuration: Mapping[str, Any]
    shared: Collection[str] = ()

    @classmethod
    def read(cls, path: Path, *, takes_secrets: bool = False) -> "Profile":
        """Read a profile.

        Args:
            path: of a file as ``chaos run --var-file`` takes it.
            takes_secrets: whether the values under ``secrets`` are used by whoever reads it.

        Raises:
            UsageError: it cannot be read, is none, or has a key that is not known.
        """
        content = read(path)
        if not isinstance(content, dict):
            raise UsageError(f"{path} is no profile: a mapping 'configuration' is needed")
        keys = [key for key in content if not str(key).startswith("x-")]
        problems = unknown_keys(str(path), "a profile", keys, _PROFILE)
        if content.get("secrets") and not takes_secrets:
            problems.append(f"{path}: 'secrets' are used by chaos run --var-file only")
        configuration, shared = content.get("configuration"), content.get("shared", [])
        if not isinstance(configuration, dict) and not (takes_secrets and "secrets" in content):
            problems.append(f"{path} is no profile: a mapping 'configuration' is needed")
        if not isinstance(shared, list):
            problems.append(f"{path}: 'shared' is a list of names of numbers, not {shared!r}")
        if problems:
            raise UsageError(problems)
        return cls(path, {str(key): value for key, value in (configuration or {}).items()}, [*map(str, shared)])


@dataclass(frozen=True)
class Given:
    """What is given beside the experiments of a run.

    Args:
        profiles: in order, later ones win.
        variables: single values, which win over all profiles.
        problems_so_far: of profiles that cannot be read.
    """

    profiles: Sequence[Profile] = ()
    variables: Mapping[str, Any] = field(default_factory=dict)
    problems_so_far: Sequence[str] = ()

    @classmethod
    def to_chaos_run(cls) -> "Given":
        """What the command ``chaos run`` was given, where this process is one; Chaos Toolkit passes only a part on."""
        context = click.get_current_context(silent=True)
        while context is not None and not {"var", "var_file"} <= context.params.keys():
            context = context.parent
        if context is None:
            return cls()
        profiles: list[Profile] = []
        problems = _dry_problems(Path(context.params.get("source") or ""), context.params.get("dry"))
        for path in map(Path, context.params["var_file"] or ()):
            if path.suffix not in PROFILE_SUFFIXES:
                continue  # variables of the environment, which Chaos Toolkit has set
            try:
                profiles.append(Profile.read(path, takes_secrets=True))
            except UsageError as error:
                problems += error.problems
        return cls(profiles, context.params["var"] or {}, problems)

    @property
    def values(self) -> dict[str, Any]:
        """All of it, settings under their keys in small letters."""
        given: dict[str, Any] = {}
        for values in (*(profile.configuration for profile in self.profiles), self.variables):
            given |= settings_named(values)
        return given

    def over(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of a run with the settings that were given in place of its own."""
        settings = {key: value for key, value in self.values.items() if key in KEYS}
        return {**configuration, **load_configuration(settings)}

    def problems(self, declared: Collection[str]) -> list[str]:
        """What nothing could use, in words.

        Args:
            declared: the numbers that the experiments of the run declare.
        """
        problems = list(self.problems_so_far)
        for profile in self.profiles:
            known = {*declared, *profile.shared}
            if not profile.configuration.keys() <= known:
                known |= shipped_numbers()
            problems += value_problems(str(profile.path), profile.configuration, known)
        return problems + value_problems("--var", self.variables, declared)


def _dry_problems(experiment: Path, option: str | None) -> list[str]:
    """A dry run that the file asks for: the command ``chaos run`` takes its option instead, given or not."""
    try:
        content = read(experiment) if experiment.is_file() else {}
    except UsageError:  # which Chaos Toolkit has read all the same, as NaN in JSON
        return []
    asked = content.get("dry") if isinstance(content, dict) else None
    return [f"dry: chaos run looks at its option only; give --dry {asked}"] if asked and not option else []


def settings_named(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values with the settings among them under their keys in small letters, which may be given in capitals too."""
    capitals = {key.upper(): key for key in KEYS}
    return {capitals.get(key, key): value for key, value in values.items()}


def value_problems(
    where: str, keys: Collection[str], declared: Collection[str], nobody: str = "no experiment of this run has"
) -> list[str]:
    """What is wrong with the names of values that are given beside experiments, in words.

    Args:
        where: they were given.
        keys: as given.
        declared: the numbers that an experiment can use.
        nobody: says of a number that it is not among those.
    """
    problems = []
    for key in keys:
        if key.upper() in VARIABLES:
            problems.append(f"{where}: '{key}' is a secret; set {key.upper()} in the environment instead")
        elif key in KEYS or key in declared:
            continue
        elif key.lower() not in KEYS or key != key.upper():
            names = [*declared, *KEYS]
            said = hint(key, names) if likeliest(key, names) else hint(key, sorted(declared))
            problems.append(f"{where}: {nobody} '{key}'{said}")
        elif key.lower() in keys:
            problems.append(f"{where}: '{key}' and '{key.lower()}' are one setting; give it once")
    return problems


def setting_problems(experiment: Mapping[str, Any]) -> list[str]:
    """What is wrong with the names of settings in an experiment's own configuration, in words.

    Args:
        experiment: as it was read.
    """
    declared = [str(key) for key in experiment.get("configuration") or {}]
    problems = [
        f"configuration: '{key}' is no setting of mcp_chaos; did you mean '{meant}'?"
        for key, meant in meant_settings(spare_numbers(experiment), KEYS).items()
    ]
    twice = [key for key in declared if key in KEYS and key.upper() in declared]
    return problems + [f"configuration: '{key}' and '{key.upper()}' are one setting; give it once" for key in twice]


def spare_numbers(experiment: Mapping[str, Any]) -> list[str]:
    """What an experiment declares in its configuration and refers to nowhere.

    Settings, what other extensions read, and slips.
    """
    text = str(experiment)
    return [str(key) for key in experiment.get("configuration") or {} if f"${{{key}}}" not in text]


@cache
def shipped_numbers() -> frozenset[str]:
    """The numbers of all experiments that come with mcp_chaos."""
    contents = [yaml.safe_load(path.read_text("utf-8")) for path in shipped.experiments().values()]
    return frozenset(key for experiment in contents for key in experiment["configuration"])

"""One experiment of a plan, as it would be run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from chaoslib.configuration import load_configuration
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.loader import load_experiment

from mcp_chaos.config.settings import KEYS, Settings, resolve
from mcp_chaos.errors import UsageError
from mcp_chaos.gate.applies import why_not_applicable
from mcp_chaos.history.regular_file import read_regular
from mcp_chaos.toolkit.experiment_keys import HYPOTHESIS, key_problems
from mcp_chaos.toolkit.given import settings_named, value_problems
from mcp_chaos.toolkit.preflight import check_run

OF_EXPERIMENTS = {"method", HYPOTHESIS, "controls"}
"""What tells an experiment from a plan or a profile, also when something is misspelt or missing."""
_MAX_SHOWN = 80


@dataclass(frozen=True)
class ExpectedFailure:
    """A failure that is known and put up with for a time.

    Args:
        reason: why, for whoever reads the result.
        until: the last day on which it is put up with.
    """

    reason: str
    until: date


@dataclass(frozen=True)
class Item:
    """One experiment of a plan.

    Args:
        path: of its file.
        configuration: values in place of the experiment's own.
        expected_failure: if it is known to fail.
        own: which of these values were given for this experiment alone, so that it has to have them.
        toolkit_settings: Chaos Toolkit's settings file, in place of the one that a person has.
    """

    path: Path
    configuration: Mapping[str, Any] = field(default_factory=dict)
    expected_failure: ExpectedFailure | None = None
    own: Collection[str] = ()
    toolkit_settings: Path | None = None

    def load(self) -> dict[str, Any]:
        """The experiment, fresh; one without a hypothesis gets one, so that the steady state is always checked.

        Raises:
            UsageError: it cannot be read, or is no experiment.
        """
        experiment = self._read()
        declared = experiment.get("configuration") or {}
        # Chaos Toolkit passes on what an experiment declares, and leaves out the rest.
        given = {key: None for key in self.values if key in KEYS}
        return {HYPOTHESIS: _the_server_answers(), **experiment, "configuration": {**given, **declared}}

    def _read(self) -> dict[str, Any]:
        try:
            read_regular(self.path)  # Chaos Toolkit would wait for a pipe, and read a device without an end
            experiment = load_experiment(str(self.path))
        except OSError as error:
            raise UsageError(f"it cannot be read ({error.strerror})") from None
        except (ChaosException, ValueError, RecursionError) as error:
            raise UsageError(f"it cannot be read ({error})") from None
        needed = "it is no experiment: a mapping with 'title', 'description' and 'method' is needed"
        if not isinstance(experiment, dict):
            raise UsageError(needed)
        found = {key: value for key, value in experiment.items() if value is not None}
        if not {"title", "method"} <= found.keys():
            raise UsageError([needed, *(key_problems(experiment) if OF_EXPERIMENTS & experiment.keys() else [])])
        if not isinstance(found.get("configuration") or {}, dict):
            raise UsageError(f"configuration: a mapping is needed, not {str(found['configuration'])[:_MAX_SHOWN]!r}")
        return found

    @property
    def values(self) -> dict[str, Any]:
        """The values in place of the experiment's own, settings under their keys in small letters."""
        return settings_named(self.configuration)

    def title(self) -> str:
        """Its title.

        Raises:
            UsageError: it cannot be read, or is no experiment.
        """
        return str(self.load()["title"])

    def tags(self) -> list[str]:
        """The tags that it has.

        Raises:
            UsageError: it cannot be read, or is no experiment.
        """
        found = self._read().get("tags")
        return [str(tag) for tag in found] if isinstance(found, list) else []

    def declared(self) -> set[str]:
        """The numbers and settings that it has in its configuration.

        Raises:
            UsageError: it cannot be read, or is no experiment.
        """
        return {str(key) for key in self._read().get("configuration") or {}}

    def settings(self) -> Settings:
        """The settings of the experiment as it would be run, all of it checked.

        Raises:
            UsageError: it cannot be run; nothing was touched. Chaos Toolkit raises whatever it stumbles over.
        """
        experiment = self.load()
        unused = value_problems("the plan", self.own, self.declared(), "the experiment does not have")
        configuration = load_configuration(experiment["configuration"], self.values)
        try:
            ensure_experiment_is_valid(experiment)
        except Exception as error:  # it stumbles over the first thing, and does not know the rest
            found = _found(experiment, configuration, unused)
            raise (UsageError(found) if found else error) from None
        return check_run(experiment, configuration, unused)[0]

    def why_not_applicable(self) -> str:
        """What the server lacks that the experiment needs, in words; empty when it applies."""
        try:
            experiment = self.load()
            declared = {name: value for name, value in experiment["configuration"].items() if name.lower() in KEYS}
            settings = resolve(settings_named(load_configuration(declared, self.values)))
        except (UsageError, ChaosException, TypeError, AttributeError):
            return ""  # checking it says what is wrong
        return why_not_applicable(experiment, settings)

    def problems(self) -> list[str]:
        """What is wrong with the experiment as it would be run."""
        try:
            self.settings()
        except UsageError as error:
            return [f"{self.path.name}: {problem}" for problem in error.problems]
        except Exception as error:  # Chaos Toolkit looks into what it was given as if it were well formed
            return [f"{self.path.name}: it is no experiment that can be run ({type(error).__name__}: {error})"]
        return []


def _found(experiment: Mapping[str, Any], configuration: Mapping[str, Any], unused: Sequence[str]) -> Sequence[str]:
    """What is wrong with an experiment of whatever shape, as far as it can be said."""
    try:
        check_run(experiment, configuration, unused)
    except UsageError as error:
        return error.problems
    except Exception:  # it is not well formed
        return [*unused, *key_problems(experiment)]
    return ()


def _the_server_answers() -> dict[str, Any]:
    def probe(name: str, func: str) -> dict[str, Any]:
        provider = {"type": "python", "module": "mcp_chaos.probes", "func": func}
        return {"name": name, "type": "probe", "tolerance": True, "provider": provider}

    probes = [
        probe("a fresh session runs a real tool", "server_answers"),
        probe("nothing is in the way", "proxy_is_clean"),
    ]
    return {"title": "A fresh session runs a real tool", "probes": probes}

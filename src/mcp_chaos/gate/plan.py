"""A plan: which experiments, in which order, within which time, and what is known to fail.

A plan is a YAML or JSON file whose fields are those of ``plan.schema.json``; its paths are relative to it. Experiments
that are given one by one make a plan too.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from chaoslib.configuration import load_configuration
from chaoslib.exceptions import ChaosException
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.loader import load_experiment
from jsonschema import Draft202012Validator, ValidationError

from mcp_chaos.config.settings import KEYS, Settings, resolve
from mcp_chaos.errors import UsageError
from mcp_chaos.gate.applies import why_not_applicable
from mcp_chaos.history.regular_file import read_regular
from mcp_chaos.machine.spelling import likeliest, unknown_keys
from mcp_chaos.toolkit.experiment_keys import HYPOTHESIS, key_problems
from mcp_chaos.toolkit.given import read, settings_named, value_problems
from mcp_chaos.toolkit.preflight import check_run

_OF_EXPERIMENTS = {"method", HYPOTHESIS, "controls"}
"""What tells an experiment from a plan or a profile, also when something is misspelt or missing."""
_RETRIES = 1
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
    """

    path: Path
    configuration: Mapping[str, Any] = field(default_factory=dict)
    expected_failure: ExpectedFailure | None = None
    own: Collection[str] = ()

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
            raise UsageError([needed, *(key_problems(experiment) if _OF_EXPERIMENTS & experiment.keys() else [])])
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


@dataclass(frozen=True)
class Window:
    """The time of day in which experiments may begin.

    Args:
        start: the first moment.
        end: the moment from which on none may; before ``start`` when the window has midnight in it.
        zone: whose time of day.
    """

    start: time
    end: time
    zone: ZoneInfo

    def is_open(self, now: datetime) -> bool:
        """Whether an experiment may begin now."""
        at = now.astimezone(self.zone).time()
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M} to {self.end:%H:%M} {self.zone.key}"


@dataclass(frozen=True)
class Plan:
    """What the gate does.

    Args:
        title: for people.
        items: the experiments in order.
        budget_s: the time all of it may take; ``None`` for as long as it takes.
        stop_on_first: whether the first experiment that does not pass is the last.
        retries: how many times an experiment is run again that came out inconclusive.
        window: of time; ``None`` for any time.
        leaves_out: whether experiments that need what the server lacks are left out; else they are refused.
        shared: the names of the values that a plan gives to all its experiments.
    """

    title: str
    items: Sequence[Item]
    budget_s: float | None = None
    stop_on_first: bool = False
    retries: int = _RETRIES
    window: Window | None = None
    leaves_out: bool = False
    shared: Collection[str] = ()

    def check(self) -> None:
        """Check every experiment.

        Raises:
            UsageError: with every problem of all of them; nothing was touched.
        """
        problems = [problem for item in self.items if not self.left_out(item) for problem in item.problems()]
        problems += value_problems("the plan's configuration", self.shared, self.declared())
        if problems:
            raise UsageError(problems, "The gate cannot be run as it is, and nothing was touched")

    def declared(self) -> set[str]:
        """The numbers that its experiments declare, as far as they can be read."""
        declared: set[str] = set()
        for item in self.items:
            with suppress(UsageError):
                declared |= item.declared()
        return declared

    def left_out(self, item: Item) -> str:
        """Why an experiment is left out; empty when it is run."""
        return item.why_not_applicable() if self.leaves_out else ""


def make_plan(sources: Sequence[Path], configuration: Mapping[str, Any]) -> Plan:
    """The plan in a file, or one of the experiments given.

    Args:
        sources: one plan, or experiments.
        configuration: values in place of all others.

    Raises:
        UsageError: something cannot be read, or is neither.
    """
    contents: list[Any] = []
    problems: list[str] = []
    for source in sources:
        try:
            contents.append(read(source))
        except UsageError as error:
            problems += error.problems
    if problems:
        raise UsageError(problems)
    plans = [_is_plan(content) for content in contents]
    if any(plans) and len(sources) > 1:
        raise UsageError("Give one plan, or experiments; not a plan and something else.")
    if any(plans):
        return _plan(sources[0], contents[0], configuration)
    return Plan(
        sources[0].stem if len(sources) == 1 else "experiments", [Item(path, configuration) for path in sources]
    )


def _is_plan(content: Any) -> bool:
    """Whether it is a plan, also when the key that makes it one is misspelt."""
    if not isinstance(content, dict) or _OF_EXPERIMENTS & content.keys():
        return isinstance(content, dict) and "experiments" in content
    return any(likeliest(str(key), ["experiments"]) for key in content)


def is_experiment(path: Path) -> bool:
    """Whether a file is an experiment; one that cannot be read may be, so that it is told what is wrong with it."""
    try:
        content = read(path)
    except UsageError:
        return True
    return isinstance(content, dict) and bool(_OF_EXPERIMENTS & content.keys())


def _plan(path: Path, content: Any, configuration: Mapping[str, Any]) -> Plan:
    try:
        content = _with_texts_for_dates(content)
    except RecursionError:
        raise UsageError(f"{path} cannot be used as a plan: it contains itself") from None
    schema = orjson.loads((files(__package__) / "plan.schema.json").read_bytes())
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    errors = sorted(validator.iter_errors(content), key=lambda error: [str(part) for part in error.absolute_path])
    problems = [problem for error in errors for problem in _problems(error)]
    wrong = {str(error.absolute_path[0]) for error in errors if error.absolute_path}
    if not problems and not math.isfinite(content.get("budget_s", 0)):
        problems.append("budget_s: a number of seconds is needed")
    window = None
    if isinstance(content, dict) and "window" in content and "window" not in wrong:
        window = _window(content["window"], problems)
    if problems:
        raise UsageError(problems, f"{path} cannot be used as a plan, and nothing was touched")
    shared = content.get("configuration", {})
    entries = [entry if isinstance(entry, dict) else {"path": entry} for entry in content["experiments"]]
    if any("\0" in entry["path"] for entry in entries):
        raise UsageError(f"{path} cannot be used as a plan: the path of an experiment has a zero byte in it")
    return Plan(
        content.get("title", path.stem),
        [_item(path.parent, entry, shared, configuration) for entry in entries],
        content.get("budget_s"),
        content.get("stop_on_first", False),
        content.get("retries", _RETRIES),
        window,
        shared=list(shared),
    )


def _problems(error: ValidationError) -> list[str]:
    path = [str(part) for part in error.absolute_path]
    if error.validator == "additionalProperties":
        given: Any = error.instance
        schema: Any = error.schema
        return unknown_keys(".".join(path), "a plan", list(given), list(schema["properties"]))
    quotes = ', in quotes, as in "22:00"' if path[:1] == ["window"] and error.validator == "type" else ""
    return [f"{'.'.join(path) or 'the plan'}: {error.message[:300]}{quotes}"]


def _with_texts_for_dates(value: Any) -> Any:
    """YAML reads 2026-12-31 as a date; JSON, and the schema, know texts only."""
    if isinstance(value, dict):
        return {str(key): _with_texts_for_dates(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_texts_for_dates(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def _item(folder: Path, entry: Mapping[str, Any], shared: Mapping[str, Any], last: Mapping[str, Any]) -> Item:
    known = entry.get("expected_failure")
    expected = ExpectedFailure(known["reason"], date.fromisoformat(known["until"])) if known else None
    own = entry.get("configuration", {})
    return Item(folder / entry["path"], {**shared, **own, **last}, expected, list(own))


def _window(given: Mapping[str, str], problems: list[str]) -> Window | None:
    if given["from"] == given["until"]:
        problems.append("window: 'from' and 'until' are the same moment, so it is never open")
    try:
        zone = ZoneInfo(given["timezone"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        problems.append(
            f"window.timezone: there is no {given['timezone']!r}; one such as Europe/Berlin or UTC is needed"
        )
        return None
    return Window(time.fromisoformat(given["from"]), time.fromisoformat(given["until"]), zone)


def _the_server_answers() -> dict[str, Any]:
    def probe(name: str, func: str) -> dict[str, Any]:
        provider = {"type": "python", "module": "mcp_chaos.probes", "func": func}
        return {"name": name, "type": "probe", "tolerance": True, "provider": provider}

    probes = [
        probe("a fresh session runs a real tool", "server_answers"),
        probe("nothing is in the way", "proxy_is_clean"),
    ]
    return {"title": "A fresh session runs a real tool", "probes": probes}

"""What is checked of an experiment before anything is touched: thresholds, activities, arguments, all at once."""

import inspect
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from chaoslib import substitute
from chaoslib.control import get_controls
from chaoslib.control.python import import_control

from mcp_chaos import actions, probes
from mcp_chaos.config.settings import KEYS, Settings, resolve
from mcp_chaos.errors import UsageError
from mcp_chaos.load.shape import number_problems
from mcp_chaos.machine.spelling import hint, likeliest, unknown_keys
from mcp_chaos.run.preconditions import machine_problems
from mcp_chaos.toolkit.arguments import STARTS, Known, argument_problems
from mcp_chaos.toolkit.experiment_keys import key_problems
from mcp_chaos.toolkit.given import setting_problems, settings_named, spare_numbers
from mcp_chaos.toolkit.timing import deadline_problems, played, short_load_problems
from mcp_chaos.verdict.thresholds import parse_assumptions, parse_thresholds

EXTENSION = "mcp_chaos"
CONTROL = "mcp_chaos.control"
NEEDS = ("backend_proxy", "posts", "server_process")
"""What an experiment may need: a proxy before the backend; a dialect of POSTs only; a process that may be stopped."""
_KEYS = ("name", "thresholds", "assumptions", "needs", "advice")
_LONGEST_ADVICE = 2000
_MODULES: dict[str, ModuleType] = {"mcp_chaos.actions": actions, "mcp_chaos.probes": probes}
_NAMED_NUMBER = re.compile(r"\$\{[^}]*\}")
_LONGEST_PAUSE_S = 24 * 3600.0

Activity = Mapping[str, Any]


def check_run(
    experiment: Mapping[str, Any], configuration: Mapping[str, Any], found: Sequence[str] = ()
) -> tuple[Settings, dict[str, Any]]:
    """Check the settings and the experiment; the problems of both at once.

    Args:
        experiment: as Chaos Toolkit loaded it.
        configuration: resolved.
        found: problems that are known already, to be told with the others.

    Returns:
        The settings, and the thresholds as written.

    Raises:
        UsageError: with every problem; nothing was touched.
    """
    problems: list[str] = [*found]
    try:
        settings = resolve(_with_defaults(experiment, settings_named(configuration)))
        problems += machine_problems(settings)
    except UsageError as error:
        problems += error.problems
        settings = Settings.embedded_by_default()
    try:
        thresholds = check(experiment, configuration, settings)
    except UsageError as error:
        problems += error.problems
    if problems:
        raise UsageError(problems, "The experiment cannot be run as it is, and nothing was touched")
    return settings, thresholds


def _with_defaults(experiment: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose empty variables are as if they were not there: pipelines set those that nobody has given.

    Chaos Toolkit takes the empty text over the default, and the run would have no target, or another.
    """
    declared = settings_named(experiment.get("configuration") or {})
    empty = [
        key
        for key in KEYS
        if configuration.get(key) == "" and isinstance(declared.get(key), Mapping)
        if os.environ.get(str(declared[key].get("key"))) == ""
    ]
    return {**configuration, **{key: declared[key].get("default") for key in empty}}


def check(experiment: Mapping[str, Any], configuration: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Check an experiment.

    Args:
        experiment: as Chaos Toolkit loaded it.
        configuration: resolved.
        settings: of the run.

    Returns:
        Its thresholds, as written.

    Raises:
        UsageError: with every problem at once; nothing was touched.
    """
    problems = [*key_problems(experiment), *setting_problems(experiment), *_control_problems(experiment)]
    thresholds = _thresholds(experiment, configuration, problems)
    starts = [(_name(a), _arguments(a, configuration)) for a in _ours(experiment) if _name(a) in STARTS]
    known = Known.of(settings, starts)
    problems += known.problems
    spare = spare_numbers(experiment)
    for activity in _activities(experiment):
        found = _pause_problems(activity, configuration, spare)
        if isinstance(activity.get("tolerance"), str):
            found += _unresolved("tolerance", substitute(activity["tolerance"], configuration, {}), spare)
        if activity.get("provider", {}).get("module") in _MODULES:
            found += _activity_problems(activity, configuration, known, spare)
        problems += [f"'{activity.get('name')}': {problem}" for problem in found]
    problems = problems or _timing_problems(experiment, configuration, settings, thresholds)
    if problems:
        raise UsageError(problems, "The experiment cannot be run as it is, and nothing was touched")
    return thresholds


def _timing_problems(
    experiment: Mapping[str, Any], configuration: Mapping[str, Any], settings: Settings, thresholds: Mapping[str, Any]
) -> list[str]:
    """What the numbers of an experiment, each of which is good by itself, cannot show together."""
    method = played([a for a in experiment.get("method") or [] if isinstance(a, Mapping)], configuration)
    parsed = parse_thresholds(thresholds)
    thinks = settings.workload is not None
    return [*short_load_problems(method, parsed, thinks=thinks), *deadline_problems(method, parsed)]


def missing_controls(experiment: Mapping[str, Any]) -> list[str]:
    """The names of controls that cannot be imported; Chaos Toolkit would go on without them."""
    return [
        str(control.get("name"))
        for control in get_controls(experiment)
        if control.get("provider", {}).get("type") == "python" and not _can_be_imported(control)
    ]


def _can_be_imported(control: dict[str, Any]) -> bool:
    try:
        return import_control(control) is not None
    except Exception:  # whatever its module does when it is imported
        return False


def _control_problems(experiment: Mapping[str, Any]) -> list[str]:
    ours = [c for c in get_controls(experiment) if c.get("provider", {}).get("module") == CONTROL]
    if len(ours) != 1 or ours[0] not in experiment.get("controls", []):
        return [f"controls: '{CONTROL}' is needed once, under the experiment's own controls; there are {len(ours)}"]
    if ours[0].get("scope") or ours[0].get("automatic") is False:
        return [f"controls: '{CONTROL}' has to see all of the run, so it can have no 'scope', nor 'automatic: false'"]
    return []


def assumptions(experiment: Mapping[str, Any], configuration: Mapping[str, Any]) -> dict[str, Any]:
    """The assumptions of an experiment that was checked, with the numbers of its configuration."""
    blocks = _blocks(experiment)
    written = {window: texts for block in blocks for window, texts in block.get("assumptions", {}).items()}
    return dict(_with_numbers(written, configuration))


def _with_numbers(written: Any, configuration: Mapping[str, Any]) -> Any:
    """Thresholds as written, by window, with ``${names}`` of numbers replaced; what is no such thing stays as it is."""
    if isinstance(written, dict):
        return {window: _with_numbers(texts, configuration) for window, texts in written.items()}
    if isinstance(written, list):
        return [_with_numbers(text, configuration) for text in written]
    return str(substitute(written, configuration, {})) if isinstance(written, str) and "$" in written else written


def advice(experiment: Mapping[str, Any]) -> str:
    """What an experiment that was checked says to do about a *fail*; empty where it says nothing."""
    return " ".join(str(block.get("advice", "")) for block in _blocks(experiment)).strip()


def _blocks(experiment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    extensions = experiment.get("extensions") or []
    return [block for block in extensions if isinstance(block, Mapping) and block.get("name") == EXTENSION]


def _thresholds(experiment: Mapping[str, Any], configuration: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    blocks = _blocks(experiment)
    if len(blocks) != 1:
        problems.append(f"extensions: one block named '{EXTENSION}' with thresholds is needed; there are {len(blocks)}")
        return {}
    problems += unknown_keys("extensions", f"the block '{EXTENSION}'", blocks[0], _KEYS)
    needs = blocks[0].get("needs", [])
    if not isinstance(needs, list) or not set(map(str, needs)) <= set(NEEDS):
        problems.append(f"extensions: 'needs' is a list of {', '.join(NEEDS)}, not {needs!r}")
    said = blocks[0].get("advice", "")
    if not isinstance(said, str) or len(said) > _LONGEST_ADVICE:
        problems.append(f"extensions: 'advice' is a text of at most {_LONGEST_ADVICE} characters")
    thresholds = _with_numbers(blocks[0].get("thresholds", {}), configuration)
    assumed = _with_numbers(blocks[0].get("assumptions", {}), configuration)
    before = len(problems)
    missing = sorted(set(_NAMED_NUMBER.findall(f"{thresholds} {assumed}")))
    problems += [problem for name in missing for problem in _unresolved("thresholds", name, spare_numbers(experiment))]
    if missing:
        return {}
    for parse, given in ((parse_thresholds, thresholds), (parse_assumptions, assumed)):
        try:
            parse(given)
        except UsageError as error:
            problems += error.problems
    return dict(thresholds) if len(problems) == before else {}


def _activities(experiment: Mapping[str, Any]) -> Iterator[Activity]:
    hypothesis = experiment.get("steady-state-hypothesis") or {}
    for section in (hypothesis.get("probes"), experiment.get("method"), experiment.get("rollbacks")):
        yield from (activity for activity in section or [] if isinstance(activity, Mapping))


def _ours(experiment: Mapping[str, Any]) -> Iterator[Activity]:
    return (a for a in _activities(experiment) if a.get("provider", {}).get("module") in _MODULES)


def _name(activity: Activity) -> str:
    return str(activity["provider"].get("func"))


def _arguments(activity: Activity, configuration: Mapping[str, Any]) -> dict[str, Any]:
    return dict(substitute(dict(activity["provider"].get("arguments") or {}), configuration, {}))


def _pause_problems(activity: Activity, configuration: Mapping[str, Any], spare: Sequence[str]) -> list[str]:
    pauses = substitute(dict(activity.get("pauses") or {}), configuration, {})
    return [
        problem
        for when, seconds in pauses.items()
        for problem in _unresolved(f"pauses: {when}", seconds, spare)
        or number_problems(f"pauses: {when}", seconds, 0, _LONGEST_PAUSE_S)
    ]


def _unresolved(name: str, value: Any, spare: Sequence[str]) -> list[str]:
    """Why a value is none; ``spare`` is what the configuration has and nothing refers to, so that it may be meant."""
    if value is None:
        return [f"{name}: a value is needed, the configuration gives none"]
    if isinstance(value, str) and value.startswith("${"):
        meant = likeliest(value[2:-1], spare)
        said = f", which has '{meant}' that nothing uses" if meant else ""
        return [f"{name}: {value} is not in the configuration{said}"]
    return []


def _activity_problems(
    activity: Activity, configuration: Mapping[str, Any], known: Known, spare: Sequence[str]
) -> list[str]:
    module, name = _MODULES[activity["provider"]["module"]], _name(activity)
    if name not in module.__all__:
        return [f"{module.__name__} has no '{name}'{hint(name, module.__all__)}"]
    signature = inspect.signature(getattr(module, name))
    arguments = _arguments(activity, configuration)
    unresolved = [problem for key, value in arguments.items() for problem in _unresolved(key, value, spare)]
    unresolved += unknown_keys("", f"the arguments of {name}", arguments, [*signature.parameters])
    if unresolved:
        return unresolved
    try:
        signature.bind(**arguments)
    except TypeError as error:
        return [str(error)]
    return argument_problems(name, arguments, known)

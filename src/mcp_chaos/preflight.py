"""What is checked of an experiment before anything is touched: thresholds, activities, arguments, all at once."""

import inspect
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from chaoslib import substitute
from chaoslib.control import get_controls
from chaoslib.control.python import import_control

from mcp_chaos import actions, probes
from mcp_chaos.environment import BACKEND_PROXY, CONTROL_PROXY, FAULTED_PROXY
from mcp_chaos.errors import UsageError
from mcp_chaos.faults.fault import make_fault
from mcp_chaos.run import plan_load
from mcp_chaos.settings import Settings
from mcp_chaos.thresholds import parse_thresholds

EXTENSION = "mcp_chaos"
_MODULES: dict[str, ModuleType] = {"mcp_chaos.actions": actions, "mcp_chaos.probes": probes}
_LOAD_OPTIONS = ("name", "shape", "lane", "deadline_s", "users_from")


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
    problems: list[str] = []
    thresholds = _thresholds(experiment, problems)
    for activity in _activities(experiment):
        problems += [
            f"'{activity.get('name')}': {problem}" for problem in _activity_problems(activity, configuration, settings)
        ]
    if problems:
        raise UsageError(problems, "The experiment cannot be run as it is, and nothing was touched")
    return thresholds


def missing_controls(experiment: Mapping[str, Any]) -> list[str]:
    """The names of controls that cannot be imported; Chaos Toolkit would go on without them."""
    return [
        str(control.get("name"))
        for control in get_controls(experiment)
        if control.get("provider", {}).get("type") == "python" and import_control(control) is None
    ]


def _thresholds(experiment: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    blocks = [e for e in experiment.get("extensions") or [] if isinstance(e, Mapping) and e.get("name") == EXTENSION]
    if len(blocks) != 1:
        problems.append(f"extensions: one block named '{EXTENSION}' with thresholds is needed; there are {len(blocks)}")
        return {}
    unknown = sorted(set(blocks[0]) - {"name", "thresholds"})
    if unknown:
        problems.append(f"extensions: the block '{EXTENSION}' has 'thresholds' and nothing called {', '.join(unknown)}")
    try:
        parse_thresholds(blocks[0].get("thresholds", {}))
    except UsageError as error:
        problems += error.problems
    return dict(blocks[0].get("thresholds") or {}) if not problems else {}


def _activities(experiment: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    hypothesis = experiment.get("steady-state-hypothesis") or {}
    for activity in (*hypothesis.get("probes", []), *experiment.get("method", []), *experiment.get("rollbacks", [])):
        if activity.get("provider", {}).get("module") in _MODULES:
            yield activity


def _activity_problems(activity: Mapping[str, Any], configuration: Mapping[str, Any], settings: Settings) -> list[str]:
    provider = activity["provider"]
    module, name = _MODULES[provider["module"]], str(provider.get("func"))
    if name not in module.__all__:
        return [f"{provider['module']} has no '{name}'; it has {', '.join(module.__all__)}"]
    arguments = substitute(dict(provider.get("arguments") or {}), configuration, {})
    unresolved = [
        f"{key}: {value} is not in the configuration" for key, value in arguments.items() if _is_unresolved(value)
    ]
    empty = [
        f"{key}: a value is needed, the configuration gives none" for key, value in arguments.items() if value is None
    ]
    if unresolved or empty:
        return unresolved + empty
    try:
        inspect.signature(getattr(module, name)).bind(**arguments)
    except TypeError as error:
        return [str(error)]
    try:
        _check_values(name, arguments, settings)
    except UsageError as error:
        return list(error.problems)
    return []


def _is_unresolved(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("${")


def _check_values(name: str, arguments: dict[str, Any], settings: Settings) -> None:
    if name in actions.FAULTS:
        fault = make_fault(actions.FAULTS[name], **arguments)
        _check_proxy(fault.proxy, settings)
    elif name == "start_load":
        given = {**_defaults(actions.start_load), **arguments}
        numbers = {key: value for key, value in arguments.items() if key not in _LOAD_OPTIONS}
        plan_load(None, **{option: given[option] for option in _LOAD_OPTIONS}, numbers=numbers)
    elif name.startswith("burst"):
        given = {**_defaults(probes.burst), **arguments}
        numbers = {key: given[key] for key in ("requests", "concurrency")}
        plan_load(None, "burst", "burst", given["lane"], given["deadline_s"], None, numbers)


def _defaults(function: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def _check_proxy(proxy: str, settings: Settings) -> None:
    """Which proxies there are is known beforehand, but for those of a person's own Toxiproxy."""
    if proxy == CONTROL_PROXY:
        raise UsageError(f"proxy: '{CONTROL_PROXY}' is never poisoned, the verdict compares with it")
    known = (FAULTED_PROXY, BACKEND_PROXY) if settings.embedded else (FAULTED_PROXY,)
    if settings.toxiproxy_url is None and proxy not in known:
        hint = (
            ""
            if settings.embedded
            else "; a server of your own has its backend's link in your own Toxiproxy (TOXIPROXY_URL)"
        )
        raise UsageError(f"proxy: there is no '{proxy}'; there is {', '.join(known)}{hint}")

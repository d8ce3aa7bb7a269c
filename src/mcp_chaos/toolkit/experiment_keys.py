"""The keys that Chaos Toolkit knows in an experiment; it takes any other without a word, and does nothing with it.

Pure. Keys of other extensions are theirs: blocks under ``extensions``, ``contributions``, ``secrets``, the arguments of
their activities and controls; and whatever begins with ``x-``.

Source: chaostoolkit-lib 1.44 (experiment, activity, hypothesis, control, provider) and its specification, version 1.0.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mcp_chaos.machine.spelling import hint, likeliest, unknown_keys

HYPOTHESIS = "steady-state-hypothesis"

_EXPERIMENT = (
    *("version", "title", "description", "tags", "configuration", "secrets", "contributions", "controls"),
    *("extensions", "runtime", HYPOTHESIS, "method", "rollbacks", "dry"),
)
_HYPOTHESIS = ("title", "description", "probes", "controls")
_ACTIVITY = (
    *("type", "name", "description", "provider", "tolerance", "pauses", "background", "controls"),
    *("configuration", "secrets", "timeout", "dry"),
)
_REFERENCE = ("ref", "name", "background")
_PROVIDERS = {
    "python": ("type", "module", "func", "arguments", "secrets"),
    "process": ("type", "path", "arguments", "timeout", "secrets"),
    "http": (
        *("type", "url", "method", "headers", "arguments", "timeout", "expected_status"),
        *("verify_tls", "max_retries", "secrets"),
    ),
}
_CONTROL = ("name", "description", "provider", "scope", "automatic", "ref")
_CONTROL_PROVIDER = ("type", "module", "arguments", "secrets")
_TOLERANCES = {
    "range": ("type", "name", "range", "target"),
    "regex": ("type", "name", "pattern", "target"),
    "jsonpath": ("type", "name", "path", "count", "expect", "target"),
    "probe": _ACTIVITY,
}
_PAUSES = ("before", "after")
_VARIABLE = ("type", "key", "default", "env_var_type")
_DRY = ("probes", "actions", "activities", "pause")
_STRATEGIES = {
    "rollbacks": ("default", "always", "never", "deviated"),
    "hypothesis": (
        *("default", "before-method-only", "after-method-only", "during-method-only"),
        *("continuously", "skip"),
    ),
}


def key_problems(experiment: Mapping[str, Any]) -> list[str]:
    """What is misspelt among the keys of an experiment, all of it at once; each sentence names the likeliest key.

    Args:
        experiment: as it was read, of whatever shape.
    """
    return list(_problems(experiment))


def _problems(experiment: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown("", "an experiment", experiment, _EXPERIMENT)
    for name, value in _mapping(experiment.get("configuration")).items():
        yield from _variable_problems(f"configuration, '{name}'", value)
    yield from _runtime_problems(_mapping(experiment.get("runtime")))
    yield from _control_problems("controls", experiment.get("controls"))
    dry = experiment.get("dry")
    if isinstance(dry, str | bool) and dry not in _DRY:
        yield f"dry: {', '.join(_DRY)} can be left out, not {dry!r}"
    for block in _list(experiment.get("extensions")):
        if "name" not in block:
            meant = [key for key in block if likeliest(str(key), ["name"])]
            yield from unknown_keys("extensions", "a block", meant, ["name"]) or ["extensions: a block has no 'name'"]
    hypothesis = _mapping(experiment.get(HYPOTHESIS))
    yield from _unknown("", f"the {HYPOTHESIS}", hypothesis, _HYPOTHESIS)
    yield from _control_problems(f"{HYPOTHESIS}, controls", hypothesis.get("controls"))
    for activities in (hypothesis.get("probes"), experiment.get("method"), experiment.get("rollbacks")):
        for activity in _list(activities):
            yield from _activity_problems(f"'{activity.get('name', 'an activity')}'", activity)


def _activity_problems(where: str, activity: Mapping[str, Any]) -> Iterator[str]:
    if "ref" in activity:  # Chaos Toolkit takes the other activity as it is
        yield from _unknown(where, "an activity with 'ref'", activity, _REFERENCE)
        return
    yield from _unknown(where, "an activity", activity, _ACTIVITY)
    yield from _unknown(where, "pauses", _mapping(activity.get("pauses")), _PAUSES)
    yield from _control_problems(f"{where}, controls", activity.get("controls"))
    yield from _provider_problems(where, _mapping(activity.get("provider")))
    tolerance = _mapping(activity.get("tolerance"))
    if tolerance.get("type") == "probe":
        yield from _activity_problems(f"{where}, tolerance", tolerance)
    elif tolerance:
        yield from _unknown_of_type(where, "a tolerance", tolerance, _TOLERANCES)


def _provider_problems(where: str, provider: Mapping[str, Any]) -> Iterator[str]:
    if provider:
        yield from _unknown_of_type(where, "a provider", provider, _PROVIDERS)


def _control_problems(where: str, controls: Any) -> Iterator[str]:
    for control in _list(controls):
        yield from _unknown(where, "a control", control, _CONTROL)
        provider = _mapping(control.get("provider"))
        yield from _unknown(where, "the provider of a control", provider, _CONTROL_PROVIDER)
        if provider and provider.get("type") != "python":
            yield (
                f"{where}: the type of a control's provider is 'python', not {provider.get('type')!r}; "
                f"Chaos Toolkit would go on without '{control.get('name')}'"
            )


def _runtime_problems(runtime: Mapping[str, Any]) -> Iterator[str]:
    yield from _unknown("", "runtime", runtime, tuple(_STRATEGIES))
    for what, strategies in _STRATEGIES.items():
        given = _mapping(runtime.get(what))
        yield from _unknown("runtime", what, given, ("strategy",))
        strategy = given.get("strategy", strategies[0])
        if strategy not in strategies:
            yield f"runtime, {what}: there is no strategy {strategy!r}{hint(str(strategy), strategies)}"


def _variable_problems(where: str, value: Any) -> Iterator[str]:
    """A value that is read from the environment, or made by a probe."""
    given = _mapping(value)
    if given.get("type") == "probe":
        yield from _activity_problems(where, given)
    elif given.get("type") == "env" or {"key", "default"} <= given.keys():
        yield from _unknown(where, "a variable", given, _VARIABLE)


def _unknown_of_type(
    where: str, what: str, given: Mapping[str, Any], known: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    """The unknown keys of a mapping whose ``type`` says what it may have; without one, all types may be meant."""
    kind = given.get("type")
    if isinstance(kind, str) and kind in known:
        yield from _unknown(where, what, given, known[kind])
        return
    yield from _unknown(where, what, given, tuple(dict.fromkeys(key for keys in known.values() for key in keys)))
    if "type" in given:
        yield f"{where}: {what} has no type {kind!r}{hint(str(kind), tuple(known))}"


def _unknown(where: str, what: str, given: Mapping[str, Any], known: tuple[str, ...]) -> list[str]:
    return unknown_keys(where, what, [key for key in given if not str(key).startswith("x-")], known)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []

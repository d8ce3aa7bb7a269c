"""Plans from files, and from experiments that are given one by one.

A plan is a YAML or JSON file whose fields are those of ``plan.schema.json``; its paths are relative to it.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date, time
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from jsonschema import Draft202012Validator, ValidationError

from mcp_chaos.errors import UsageError
from mcp_chaos.gate.item import OF_EXPERIMENTS, ExpectedFailure, Item
from mcp_chaos.gate.plan import RETRIES, Plan, Window
from mcp_chaos.machine.spelling import likeliest, unknown_keys
from mcp_chaos.toolkit.given import read


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
    if not isinstance(content, dict) or OF_EXPERIMENTS & content.keys():
        return isinstance(content, dict) and "experiments" in content
    return any(likeliest(str(key), ["experiments"]) for key in content)


def is_experiment(path: Path) -> bool:
    """Whether a file is an experiment; one that cannot be read may be, so that it is told what is wrong with it."""
    try:
        content = read(path)
    except UsageError:
        return True
    return isinstance(content, dict) and bool(OF_EXPERIMENTS & content.keys())


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
        content.get("retries", RETRIES),
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

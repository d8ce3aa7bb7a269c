"""Workloads as data: the specification's users, which come with the package, and files of one's own.

``workloads/schema.json`` says what a file may hold. ``{choose: [...]}`` in the place of an argument stands for one of
the values, so each combination becomes an operation of its own, all equally likely.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from mcp_chaos.errors import UsageError
from mcp_chaos.load.workload import UserKind, Workload
from mcp_chaos.mcp import Operation

DEFAULT = "mcp_calls"
AUTO = "auto"
_MOST_COMBINATIONS = 1000
_MOST_BYTES = 1024 * 1024
_SUFFIXES = (".yaml", ".yml", ".json")


@cache
def built_in() -> tuple[str, ...]:
    """The names of the workloads that come with the package."""
    return tuple(sorted(path.name[:-5] for path in _folder().iterdir() if path.name.endswith(".yaml")))


def names_of(text: str) -> list[str]:
    """The names in a text that has them with commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def read_workload(*names: str) -> Workload:
    """A workload from one or more names of built-in ones or paths of files; several are mixed.

    Raises:
        UsageError: with every problem at once.
    """
    kinds: list[UserKind] = []
    problems: list[str] = []
    for name in names:
        try:
            kinds += _kinds_of(_parse(name), name)
        except UsageError as error:
            problems += error.problems
    if problems:
        raise UsageError(problems, "The workload cannot be used, and nothing was started")
    return Workload(tuple(kinds))


def _folder() -> Any:
    return files("mcp_chaos.load") / "workloads"


def _parse(name: str) -> Any:
    if name in built_in():
        text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    elif name.endswith(_SUFFIXES):
        text = _text_of(Path(name))
    else:
        raise UsageError(f"there is no workload {name!r}; there are {', '.join(built_in())}, and files (.yaml, .json)")
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"{name} is not YAML: {' '.join(str(error).split())}") from None


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        if len(raw) > _MOST_BYTES:
            raise UsageError(f"{path} is larger than {_MOST_BYTES} bytes, which no workload is")
        return raw.decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None


def _kinds_of(data: Any, name: str) -> list[UserKind]:
    validator = Draft202012Validator(json.loads((_folder() / "schema.json").read_text(encoding="utf-8")))
    problems = [f"{name}, {_place(error.absolute_path)}: {error.message}" for error in validator.iter_errors(data)]
    if problems:
        raise UsageError(problems)
    kinds = []
    for user in data["users"]:
        try:
            kinds.append(_kind(user))
        except UsageError as error:
            problems += [f"{name}, user '{user['name']}': {problem}" for problem in error.problems]
    if not problems and not any("tool" in call for user in data["users"] for call in user["calls"]):
        problems.append(f"{name} calls no tool, so it would say nothing about an MCP server")
    if problems:
        raise UsageError(problems)
    return kinds


def _place(path: Sequence[Any]) -> str:
    return ".".join(str(part) for part in path) or "the whole"


def _kind(user: Mapping[str, Any]) -> UserKind:
    low, high = user.get("wait_s", (0, 0))
    if low > high:
        raise UsageError(f"wait_s: the shortest wait ({low}) is longer than the longest ({high})")
    operations = tuple(operation for call in user["calls"] for operation in _operations(call))
    return UserKind(
        user["name"], operations, user.get("weight", 1), (float(low), float(high)), user.get("websocket", False)
    )


def _operations(call: Mapping[str, Any]) -> Iterator[Operation]:
    """One operation per combination of choices."""
    weight, expect = call.get("weight", 1), call.get("expect", "")
    if "page" in call:
        yield Operation("", {}, weight, expect, call["page"])
        return
    arguments = call.get("arguments", {})
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError):
        raise UsageError(f"{call['tool']}: the arguments are not JSON (quote dates)") from None
    choices = [_choices(value) for value in arguments.values()]
    count = 1
    for choice in choices:
        count *= len(choice)
    if not 0 < count <= _MOST_COMBINATIONS:
        raise UsageError(
            f"{call['tool']}: {count} combinations of choices; between 1 and {_MOST_COMBINATIONS} can be made"
        )
    for values in product(*choices):
        yield Operation(call["tool"], dict(zip(arguments, values, strict=True)), weight / count, expect)


def _choices(value: Any) -> list[Any]:
    if isinstance(value, dict) and set(value) == {"choose"} and isinstance(value["choose"], list):
        return list(value["choose"])
    return [value]

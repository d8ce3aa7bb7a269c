"""Workloads as data: the specification's users, which come with the package, and files of one's own.

``workloads/schema.json`` says what a file may hold. ``{choose: [...]}`` in the place of an argument stands for one of
the values, so each combination becomes an operation of its own, all equally likely.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from mcp_chaos.errors import UsageError
from mcp_chaos.history.regular_file import read_regular
from mcp_chaos.machine.spelling import unknown_keys
from mcp_chaos.mcp import GetRequest, ListCall, Operation, PromptGet, ResourceRead, ToolCall
from mcp_chaos.workload.workload import UserKind, Workload, is_json

DEFAULT = "mcp_calls"
AUTO = "auto"
_MOST_COMBINATIONS = 1000
_MOST_OPERATIONS = 65_536  # a call's record has 16 bits to say which one it was
_MOST_BYTES = 1024 * 1024
_MOST_VALUES = 500_000
_LONGEST_MESSAGE = 500
_KINDS = ("tool", "resource", "prompt", "method", "page")
_SUFFIXES = (".yaml", ".yml", ".json")


def _is_number(_: Any, value: Any) -> bool:
    """JSON has no NaN, and no comparison with it fails."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and not (isinstance(value, float) and not math.isfinite(value))


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_number)
)


class _Loader(yaml.SafeLoader):
    """YAML whose aliases do not make much of little."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _values_in(node, {}) > _MOST_VALUES:
            raise ValueError(f"with its aliases it has more than {_MOST_VALUES} values")
        return node


def _values_in(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many values a node stands for, those of aliases each time; too many for one that holds itself."""
    if id(node) not in counted:
        counted[id(node)] = _MOST_VALUES
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        inside = 0 if isinstance(node, yaml.ScalarNode) else sum(_values_in(part, counted) for part in parts)
        counted[id(node)] = 1 + inside
    return counted[id(node)]


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
    problems: list[str] = [] if names else ["no workload is named"]
    for name in names:
        try:
            kinds += _kinds_of(_parse(name), name)
        except UsageError as error:
            problems += error.problems
    problems += _too_many(sum(len(kind.operations) for kind in kinds))
    if problems:
        raise UsageError(problems, "The workload cannot be used, and nothing was started")
    return Workload(tuple(kinds))


def _folder() -> Any:
    return files("mcp_chaos.workload") / "workloads"


def _parse(name: str) -> Any:
    if name in built_in():
        text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    elif name.endswith(_SUFFIXES):
        text = _text_of(Path(name))
    else:
        raise UsageError(f"there is no workload {name!r}; there are {', '.join(built_in())}, and files (.yaml, .json)")
    is_json = name.endswith(".json")
    try:
        return json.loads(text, parse_constant=_refuse) if is_json else _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        said = _shortened(" ".join(str(error).split()))
        raise UsageError(f"{name} is not {'JSON' if is_json else 'YAML that can be used'}: {said}") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number")


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."


def _text_of(path: Path) -> str:
    try:
        return read_regular(path, _MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8") from None


def _schema_problems(name: str, error: ValidationError) -> list[str]:
    where = f"{name}, {_place(error.absolute_path)}"
    if error.validator == "additionalProperties":
        given: Any = error.instance
        schema: Any = error.schema
        return unknown_keys(where, "a workload", list(given), list(schema["properties"]))
    return [f"{where}: {_shortened(error.message)}"]


def _kinds_of(data: Any, name: str) -> list[UserKind]:
    validator = _Validator(json.loads((_folder() / "schema.json").read_text(encoding="utf-8")))
    problems = [problem for error in validator.iter_errors(data) for problem in _schema_problems(name, error)]
    if problems:
        raise UsageError(problems)
    calls = [call for user in data["users"] for call in user["calls"]]
    for user in data["users"]:
        problems += [f"{name}, user {user['name']!r}: {problem}" for problem in _problems_of(user)]
    if not problems and all("page" in call for call in calls):
        problems.append(f"{name} reads pages only, so it would say nothing about an MCP server")
    problems += _too_many(sum(_combinations(call) for call in calls))
    if problems:
        raise UsageError(problems)
    return [_kind(user) for user in data["users"]]


def _too_many(operations: int) -> list[str]:
    if operations <= _MOST_OPERATIONS:
        return []
    return [f"{operations} calls, each combination of choices counted, are more than {_MOST_OPERATIONS}"]


def _problems_of(user: Mapping[str, Any]) -> Iterator[str]:
    """What the schema cannot say."""
    low, high = user.get("wait_s", (0, 0))
    if low > high:
        yield f"wait_s: the shortest wait ({low}) is longer than the longest ({high})"
    if not is_json(user["name"]):
        yield "the name has half a character (a lone surrogate)"
    for call in user["calls"]:
        what = next(call[kind] for kind in _KINDS if kind in call)
        if "arguments" in call and not {"tool", "prompt"} & call.keys():
            yield f"{what}: arguments are of a tool or a prompt"
        elif {"expect", "expect_error"} <= call.keys() or ("expect_error" in call and "page" in call):
            yield f"{what}: expect_error is an error of MCP as the right answer; it goes with neither expect nor page"
        elif not is_json([what, call.get("expect"), call.get("expect_error")]):
            yield f"{what!r}: the text has half a character (a lone surrogate)"
        elif not is_json(call.get("arguments")):
            yield f"{what}: the arguments are not JSON (quote dates and names such as on, and numbers beyond 64 bits)"
        elif not 0 < (count := _combinations(call)) <= _MOST_COMBINATIONS:
            yield f"{what}: {count} combinations of choices; between 1 and {_MOST_COMBINATIONS} can be made"


def _place(path: Sequence[Any]) -> str:
    return ".".join(str(part) for part in path) or "the whole"


def _kind(user: Mapping[str, Any]) -> UserKind:
    low, high = user.get("wait_s", (0, 0))
    operations = tuple(operation for call in user["calls"] for operation in _operations(call))
    return UserKind(
        user["name"], operations, user.get("weight", 1), (float(low), float(high)), user.get("websocket", False)
    )


def _operations(call: Mapping[str, Any]) -> Iterator[Operation]:
    """One operation per combination of choices."""
    weight, expect, arguments = call.get("weight", 1), call.get("expect", ""), call.get("arguments", {})
    if "page" in call:
        yield GetRequest(call["page"], weight, expect)
        return
    error = call.get("expect_error", "")
    if "method" in call:
        yield ListCall(call["method"], weight, expect, expect_error=error)
        return
    if "resource" in call:
        yield ResourceRead(call["resource"], weight, expect, error)
        return
    count = _combinations(call)
    for values in product(*map(_choices, arguments.values())):
        chosen = dict(zip(arguments, values, strict=True))
        if "prompt" in call:
            yield PromptGet(call["prompt"], chosen, weight / count, expect, error)
        else:
            yield ToolCall(call["tool"], chosen, weight / count, expect, expect_error=error)


def _combinations(call: Mapping[str, Any]) -> int:
    return math.prod(len(_choices(value)) for value in call.get("arguments", {}).values())


def _choices(value: Any) -> list[Any]:
    if isinstance(value, dict) and set(value) == {"choose"} and isinstance(value["choose"], list):
        return list(value["choose"])
    return [value]


def as_yaml(workload: Workload, head: str) -> str:
    """A workload as the text of a file.

    Args:
        workload: to write; each of its calls is one of its own, choices are not put together again.
        head: its first line, a comment.
    """
    users = [_as_user(kind) for kind in workload.kinds]
    said = f"# {head} `expect: text` under a call checks that its answer has that text.\n"
    return said + yaml.safe_dump({"users": users}, sort_keys=False, allow_unicode=True, width=120)


def draft(tools: Sequence[Mapping[str, Any]], head: str) -> str:
    """The text of a file that is to become a workload: a comment for each tool, with the schema of its arguments.

    Args:
        tools: as ``tools/list`` gives them.
        head: its first line, a comment.
    """
    lines = [
        f"# {head}",
        "# Fill in the arguments of calls that are harmless, and take their # away.",
    ]
    lines += ["users:", "  - name: user", "    calls:"]
    for tool in tools:
        schema = tool.get("inputSchema")
        needed = schema.get("required") if isinstance(schema, dict) else None
        arguments = {str(name): "..." for name in needed} if isinstance(needed, list) else {}
        called = json.dumps({"tool": tool.get("name"), "arguments": arguments}, ensure_ascii=False)
        properties = schema.get("properties") if isinstance(schema, dict) else None
        lines += ["", f"      # {' '.join(str(tool.get('description') or '').split())[:_LONGEST_MESSAGE]}".rstrip()]
        lines += [f"      # {name}: {json.dumps(one)}" for name, one in (properties or {}).items()]
        lines.append(f"      # - {called}")
    return "\n".join(lines) + "\n"


def _as_user(kind: UserKind) -> dict[str, Any]:
    user: dict[str, Any] = {"name": kind.name, "weight": kind.weight}
    if kind.wait_s[1] > 0:
        user["wait_s"] = list(kind.wait_s)
    if kind.websocket:
        user["websocket"] = True
    return {**user, "calls": [_as_call(call) for call in kind.operations]}


def _as_call(operation: Operation) -> dict[str, Any]:
    match operation:
        case ToolCall(tool, arguments):
            said: dict[str, Any] = {"tool": tool, "arguments": dict(arguments)}
        case ResourceRead(uri):
            said = {"resource": uri}
        case PromptGet(prompt, arguments):
            said = {"prompt": prompt, "arguments": dict(arguments)}
        case ListCall(method):
            said = {"method": method}
        case GetRequest(page):
            said = {"page": page}
    error = "" if isinstance(operation, GetRequest) else operation.expect_error
    expected = {"expect": operation.expect, "expect_error": error}
    return {**said, "weight": operation.weight, **{key: text for key, text in expected.items() if text}}

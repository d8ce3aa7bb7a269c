"""Pure: which calls could be tried, what is known for their arguments, and whether an answer says that it failed."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import orjson

from mcp_chaos.mcp import ToolCall
from mcp_chaos.mcp.tools import is_read_only
from mcp_chaos.workload.auto import call_of

_GIVEN = ("const", "default", "examples", "enum")
_TYPES: dict[str, type | tuple[type, ...]] = {"string": str, "integer": int, "number": (int, float)}
_MAX_DEPTH = 6
_MAX_VALUES = 1000
_FAILURE = re.compile(
    r"\W*(error|exception|traceback|fail(ed|ure)|fatal|un(authorized|able)|forbidden|(access|permission) denied"
    r"|not found|invalid|no such|could not|cannot)\b",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"(?:e\.g\.|for example|such as|examples?:|\blike)[^'\"`]{0,20}['\"`]([^'\"`]{1,100})['\"`]", re.IGNORECASE
)
_FORMS = {"YYYY-MM-DD": "2026-01-01", "HH:MM:SS": "12:00:00", "HH:MM": "12:00"}
_FAILED = ("error", "failed", "failure")


def may_be_called(tool: Mapping[str, Any], allowed: Collection[str]) -> bool:
    """Whether a tool only reads, or a person has allowed it: by name, or with ``*``."""
    return is_read_only(tool) or bool({str(tool.get("name")), "*"} & set(allowed))


def in_order(tools: Iterable[Mapping[str, Any]], allowed: Collection[str]) -> list[Mapping[str, Any]]:
    """Tools as they are to be tried: those that only read, then those that were allowed, then the others."""
    return sorted(tools, key=lambda tool: 0 if is_read_only(tool) else 1 if may_be_called(tool, allowed) else 2)


class KnownValues:
    """Values that a server has returned, by what they were called there: the ids of its lists, its URIs, its names."""

    def __init__(self) -> None:
        self._values: dict[str, list[Any]] = {}
        self._left = _MAX_VALUES

    def learn(self, result: Any, source: str) -> None:
        """Take in the result of a call.

        Args:
            result: as the server gave it.
            source: the name of what was called; ``list_orders`` returns orders.
        """
        noun = _singular(_plain(re.split(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])", source)[-1]))
        for document in _documents(result):
            self._walk(document, noun, 0)

    def call_of(self, tool: Mapping[str, Any], allowed: Collection[str]) -> ToolCall | str:
        """A call of a tool that may be called, with what is known in the place of what would be made up; else why not.

        Args:
            tool: as ``tools/list`` gives it.
            allowed: names of tools that may change something or reach third parties.
        """
        if may_be_called(tool, allowed):
            annotations = tool.get("annotations")
            tool = {**tool, "annotations": {**(annotations if isinstance(annotations, dict) else {}), **_READS}}
        schema = tool.get("inputSchema")
        return call_of({**tool, "inputSchema": self._with_examples(schema)}, allowed)

    def _with_examples(self, schema: Any) -> Any:
        properties = schema.get("properties") if isinstance(schema, dict) else None
        required = schema.get("required") if isinstance(schema, dict) else None
        if not isinstance(properties, dict) or not isinstance(required, list):
            return schema
        known = {
            name: {**properties[name], "examples": [value]}
            for name in required
            if isinstance(name, str) and isinstance(properties.get(name), dict)
            for value in self._for(name, properties[name])[:1]
        }
        return {**schema, "properties": {**properties, **known}}

    def _for(self, name: str, schema: Mapping[str, Any]) -> list[Any]:
        """The values that are known for an argument, the likeliest first; none where its schema gives one."""
        if any(key in schema for key in _GIVEN):
            return []
        plain = _plain(name)
        stems = [plain, *(plain.removesuffix(end) for end in ("id", "name", "key") if plain.endswith(end))]
        stems += [end for end in ("id", "name", "uri", "path") if plain.endswith(end)]
        kind = _TYPES.get(str(schema.get("type")), str)
        known = [value for stem in stems for value in self._values.get(stem, ()) if isinstance(value, kind)]
        return [*known, *(_described(str(schema.get("description") or "")) if kind is str else ())]

    def _walk(self, value: Any, name: str, depth: int) -> None:
        """Note what is in a value; the parts of a list have the name of the list, in the singular."""
        self._left -= 1
        if depth > _MAX_DEPTH or self._left < 0:
            return
        if isinstance(value, dict):
            for key, inner in value.items():
                self._walk(inner, name if key == "result" else _singular(_plain(key)), depth + 1)
                if _plain(key) in ("id", "name", "key") and isinstance(inner, str | int):
                    self._values.setdefault(f"{name}{_plain(key)}", []).append(inner)
        elif isinstance(value, list):
            for inner in value:
                self._walk(inner, name, depth + 1)
        elif isinstance(value, str | int | float) and not isinstance(value, bool) and value != "" and name:
            self._values.setdefault(name, []).append(value)
            if isinstance(value, str) and value.startswith("/"):
                self._values.setdefault("path", []).append(value)


_READS = {"readOnlyHint": True}


def _described(description: str) -> list[str]:
    """Values of which the description of an argument says that they are examples, or whose form it names."""
    forms = [value for form, value in _FORMS.items() if form in description]
    return [*forms, *_EXAMPLE.findall(description)]


def says_failure(result: Any) -> bool:
    """Whether a result that is no error to the protocol says in its text that it failed."""
    return any(map(_is_failure, _documents(result)))


def _is_failure(document: Any) -> bool:
    if isinstance(document, list):
        return bool(document) and isinstance(document[0], str) and _is_failure(document[0])
    if not isinstance(document, dict):
        return isinstance(document, str) and bool(_FAILURE.match(document))
    status = document.get("status")
    said = status in _FAILED if isinstance(status, str) else isinstance(status, int) and 400 <= status < 600
    return said or bool(document.get("error")) or document.get("success") is False or document.get("ok") is False


def _documents(result: Any) -> Iterator[Any]:
    """What a result says, structured where it can be: its structured content, texts that are JSON, lines of a text."""
    if not isinstance(result, dict):
        return
    if "structuredContent" in result:
        yield result["structuredContent"]
    content = result.get("content")
    for part in content if isinstance(content, list) else []:
        text = part.get("text") if isinstance(part, dict) else None
        if isinstance(text, str):
            try:
                yield orjson.loads(text)
            except orjson.JSONDecodeError:
                yield [line.strip() for line in text.splitlines() if line.strip()]
    for part in ("resources", "prompts"):
        if part in result:
            yield {part: result[part]}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return f"{name[:-3]}y"
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is")) else name

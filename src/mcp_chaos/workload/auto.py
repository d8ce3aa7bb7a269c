"""Pure: a workload from what a server says of its tools: those that only read, with arguments made from their schemas.

Only arguments that a schema requires are given. A set of arguments is checked against its schema before it is used, so
what is made here may be simple: a keyword that is not heeded ends in a tool that is left out, never in a wrong call.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from mcp_chaos.errors import TargetError
from mcp_chaos.machine.loopback import is_loopback
from mcp_chaos.machine.printable import printable
from mcp_chaos.mcp import ToolCall
from mcp_chaos.mcp.tools import is_read_only, stays_inside
from mcp_chaos.workload.workload import UserKind, Workload, is_json

_DEEPEST = 20
_MOST_VALUES = 10_000
_MOST_CHARACTERS = 10_000
_LONGEST_MESSAGE = 300
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_URL = "http://127.0.0.1:9/"
_ADDRESSES = {
    **dict.fromkeys(("uri", "iri", "uri-reference", "iri-reference", "url"), _URL),
    **dict.fromkeys(("email", "idn-email"), "someone@localhost"),
    **dict.fromkeys(("hostname", "idn-hostname"), "localhost"),
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}
"""Where a server follows them, it stays on its own machine, at a port (discard) on which nothing listens."""
_REACHES = (
    "'{name}' is marked as reaching third parties (annotations.openWorldHint). If a load may do that, "
    "allow the tool by name: MCP_CHAOS_ALLOW_TOOLS={name}"
)
_CANNOT_FILL = "'{name}' needs arguments that cannot be made from its schema: {why}"
_HOST = re.compile(r"[a-z]://(?:[^/?#\s@]*@)?(\[[^\]]*\]|[^/?#\s:]*)", re.IGNORECASE)


_Validator = extend(  # type: ignore[no-untyped-call]
    # A pattern is a program of the server's that may run for ever; what has one is filled only where a value is given.
    Draft202012Validator,
    {"pattern": lambda *_: None, "patternProperties": lambda *_: None},
)


class _CannotFillError(Exception):
    """No value is known that a schema allows; says why."""


def auto_workload(tools: Iterable[Mapping[str, Any]], allowed: Collection[str] = ()) -> tuple[Workload, list[str]]:
    """A workload of the tools that are marked as only reading, and do not reach third parties.

    Args:
        tools: as ``tools/list`` gives them.
        allowed: names of tools that may reach third parties.

    Returns:
        The workload, and a sentence for each tool that was left out.

    Raises:
        TargetError: no tool is left.
    """
    found = [call_of(tool, allowed) for tool in tools]
    operations = [call for call in found if isinstance(call, ToolCall)]
    left_out = [why for why in found if isinstance(why, str)]
    if not operations:
        raise TargetError(
            "\n  - ".join(["The server offers no tool that can be called without knowing it:", *left_out])
            + "\nName a tool in MCP_TOOL with its arguments in MCP_ARGUMENTS, or write a workload (MCP_WORKLOAD)."
        )
    return Workload((UserKind("auto", tuple(operations)),)), left_out


def call_of(tool: Mapping[str, Any], allowed: Collection[str] = ()) -> ToolCall | str:
    """A call of a tool that only reads, with arguments made from its schema; else a sentence why it is left out.

    Args:
        tool: as ``tools/list`` gives it.
        allowed: names of tools that may reach third parties.
    """
    name = tool.get("name")
    if not isinstance(name, str) or not name or not is_json(name):
        return f"{name!r} is not the name of a tool"
    if not is_read_only(tool):
        return f"'{printable(name)}' is not marked as read-only (annotations.readOnlyHint)"
    if not stays_inside(tool, allowed):
        return _REACHES.format(name=printable(name))
    try:
        return ToolCall(name, _arguments(tool.get("inputSchema")))
    except _CannotFillError as error:
        return _CANNOT_FILL.format(name=printable(name), why=printable(str(error)))


def _arguments(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict):
        raise _CannotFillError("the schema is no object")
    try:
        made = _value(schema, schema, 0, iter(range(_MOST_VALUES))) if schema.get("required") else {}
        Draft202012Validator.check_schema(schema)
        # A registry of its own: what a server's schema refers to is never fetched from anywhere.
        _Validator(schema, registry=Registry()).validate(made)
    except ValidationError as error:
        raise _CannotFillError(
            f"{'.'.join(map(str, error.absolute_path)) or 'the whole'}: {_shortened(error)}"
        ) from None
    except SchemaError as error:
        raise _CannotFillError(f"the schema itself is wrong: {_shortened(error)}") from None
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise _CannotFillError("the schema itself is wrong") from None
    except (Unresolvable, RecursionError):
        raise _CannotFillError("the schema refers to what is not there") from None
    if not isinstance(made, dict):
        raise _CannotFillError("the schema is not that of an object")
    if not is_json(made):
        raise _CannotFillError("it allows what JSON cannot say (NaN, infinity, whole numbers beyond 64 bits)")
    _check_addresses(made)
    return made


def _shortened(error: ValidationError | SchemaError) -> str:
    message: str = error.message
    return message if len(message) <= _LONGEST_MESSAGE else f"{message[:_LONGEST_MESSAGE]}..."


def _value(schema: Any, root: Mapping[str, Any], depth: int, left: Iterator[int]) -> Any:
    """A value that a schema allows, as likely as can be said in a few lines; ``left`` is how many more may be made."""
    if depth > _DEEPEST:
        raise _CannotFillError("the schema goes too deep")
    if next(left, None) is None:
        raise _CannotFillError(f"the schema needs more than {_MOST_VALUES} values")
    if not isinstance(schema, dict):
        return "x"
    if "$ref" in schema:
        return _value(_referred(str(schema["$ref"]), root), root, depth + 1, left)
    if isinstance(schema.get("format"), str) and schema["format"] in _ADDRESSES:
        return _address(schema)
    for keyword in ("const", "default"):
        if keyword in schema:
            return schema[keyword]
    for keyword in ("examples", "enum"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            return schema[keyword][0]
    for keyword in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(keyword), list) and schema[keyword]:
            return _value(schema[keyword][0], root, depth + 1, left)
    if "pattern" in schema:
        raise _CannotFillError("nothing is known that matches its pattern; it gives no default, example or choice")
    return _of_type(schema, root, depth, left)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int, left: Iterator[int]) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            properties = schema.get("properties") or {}
            return {name: _value(properties.get(name), root, depth + 1, left) for name in schema.get("required", ())}
        case "array":
            return [_value(schema.get("items"), root, depth + 1, left) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number" as number:
            low = schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
            value = low if low > 0 else min(max(1, low), schema.get("maximum", 1))
            return int(value) if number == "integer" else value
        case "boolean":
            return False
        case "null":
            return None
        case _:
            text = _FORMATS.get(str(schema.get("format")), "test")
            longer = text.ljust(min(_MOST_CHARACTERS, schema.get("minLength", 0)), "x")
            return longer[: schema.get("maxLength", _MOST_CHARACTERS)]


def _address(schema: Mapping[str, Any]) -> str:
    """An address of this machine, whatever addresses the schema itself names: a load must not reach third parties."""
    address = _ADDRESSES[schema["format"]]
    shortest = schema.get("minLength", 0)
    text = address.ljust(min(_MOST_CHARACTERS, shortest), "x") if address == _URL else address
    if not shortest <= len(text) <= schema.get("maxLength", _MOST_CHARACTERS):
        raise _CannotFillError("no address of this machine has the length that it asks for")
    return text


def _check_addresses(value: Any) -> None:
    """Check that no URL among the arguments, which a schema may have given, leads to another machine.

    Raises:
        _CannotFillError: one does; says which.
    """
    if isinstance(value, str):
        for host in _HOST.findall(value):
            if host and not is_loopback(host.strip("[]")):
                raise _CannotFillError(f"what it gives leads to {host[:_LONGEST_MESSAGE]}, which is not this machine")
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_addresses(inner)


def _referred(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        found = found.get(part) if isinstance(found, dict) else None
    if found is None or not reference.startswith("#"):
        raise _CannotFillError(f"{reference} is not in it")
    return found

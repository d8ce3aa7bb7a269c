"""Workloads from what a server says of its tools: valid arguments or a sentence, whatever the schema is."""

import time
from typing import Any

import pytest

from mcp_chaos.errors import TargetError
from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.auto import auto_workload
from tests.conftest import ANSWER, answer_always, serving

PLAIN = {"name": "plain", "annotations": {"readOnlyHint": True}, "inputSchema": {"type": "object"}}
NAN = float("nan")


def tool(schema: Any, **changes: Any) -> dict[str, Any]:
    return {**PLAIN, "name": "it", "inputSchema": schema, **changes}


def needing(schema: Any, **root: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, "required": ["a"], **root}


def outcome(schema: Any) -> ToolCall | str:
    """What becomes of a tool with a schema: an operation, or the sentence that says why not."""
    workload, left_out = auto_workload([PLAIN, tool(schema)])
    assert len(workload.operations) + len(left_out) == 2
    return left_out[0] if left_out else workload.tool_calls[1]


def arguments(schema: Any) -> Any:
    made = outcome(schema)
    assert isinstance(made, ToolCall), made
    return made.arguments


def sentence(schema: Any) -> str:
    told = outcome(schema)
    assert isinstance(told, str), told
    assert told.startswith("'it' needs arguments that cannot be made from its schema: ")
    assert len(told) < 1000
    return told.partition("schema: ")[2]


@pytest.mark.parametrize(
    "annotations",
    [None, {}, [], "readOnlyHint", {"readOnlyHint": False}, {"readOnlyHint": "true"}, {"readOnlyHint": 1}],
)
def test_a_tool_not_marked_as_read_only_is_never_called(annotations: Any) -> None:
    workload, left_out = auto_workload([PLAIN, tool({}, annotations=annotations)])
    assert workload.tools == ("plain",)
    assert left_out == ["'it' is not marked as read-only (annotations.readOnlyHint)"]


@pytest.mark.parametrize(("allowed", "called"), [((), ("plain",)), ({"*"}, ("plain",)), ({"it"}, ("plain", "it"))])
def test_a_tool_that_reaches_third_parties_is_called_when_it_is_allowed_by_name(
    allowed: set[str], called: tuple[str, ...]
) -> None:
    reaching = tool({}, annotations={"readOnlyHint": True, "openWorldHint": True})
    workload, left_out = auto_workload([PLAIN, reaching], allowed)
    assert workload.tools == called
    assert [*workload.tools, *(sentence.split("'")[1] for sentence in left_out)] == ["plain", "it"]
    assert all("MCP_CHAOS_ALLOW_TOOLS=it" in sentence for sentence in left_out)


@pytest.mark.parametrize("name", [None, "", 5, ["it"]])
def test_a_tool_without_a_name_is_never_called(name: Any) -> None:
    workload, left_out = auto_workload([PLAIN, tool({}, name=name)])
    assert (workload.tools, len(left_out)) == (("plain",), 1)


def test_no_tool_at_all_ends_in_all_the_reasons() -> None:
    with pytest.raises(TargetError, match="offers no tool that can be called without knowing it") as refused:
        auto_workload([tool({}, annotations={}), tool(needing({"pattern": "^$"}), name="other")])
    assert "'it' is not marked" in str(refused.value)
    assert "'other' needs arguments" in str(refused.value)
    with pytest.raises(TargetError):
        auto_workload([])


def test_tools_are_called_equally_often_in_their_order() -> None:
    (kind,) = auto_workload([{**PLAIN, "name": name} for name in "abc"])[0].kinds
    assert kind.operations == tuple(ToolCall(name, {}, weight=1) for name in "abc")


def test_only_what_is_required_is_given() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["b"]}
    assert arguments(schema) == {"b": "test"}
    assert arguments({**schema, "required": []}) == arguments({"properties": {"a": False}}) == {}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": {"k": [1]}}, {"k": [1]}),
        ({"type": "integer", "default": 7, "minimum": 5}, 7),
        ({"type": "string", "examples": ["for example"]}, "for example"),
        ({"type": "integer"}, 1),
        ({"type": "number", "minimum": 2.5}, 2.5),
        ({"type": "integer", "minimum": -9, "maximum": -3}, -3),
        ({"type": "integer", "exclusiveMinimum": 10}, 11),
        ({"type": "integer", "maximum": 0}, 0),
        ({"type": "boolean"}, False),
        ({"type": "null"}, None),
        ({"type": ["null", "string"]}, None),
        ({"type": "string", "minLength": 6}, "testxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "array"}, []),
        ({"type": "array", "minItems": 2, "items": {"type": "integer"}}, [1, 1]),
        (needing({"type": "boolean"}), {"a": False}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"oneOf": [{"const": "x"}, {"type": "number"}]}, "x"),
        ({"$ref": "#/$defs/colour"}, "red"),
        ({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/colour"}}, ["red"]),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
        ({"type": "string", "format": "never heard of"}, "test"),
        ({"type": "string", "format": "uri"}, "http://127.0.0.1:9/"),
        ({"type": "string", "format": "uri", "default": "https://third.party/"}, "http://127.0.0.1:9/"),
        ({"format": "uri", "examples": ["https://third.party/"], "minLength": 21}, "http://127.0.0.1:9/xx"),
        ({"anyOf": [{"format": "iri"}, {"type": "null"}]}, "http://127.0.0.1:9/"),
        ({"format": "email", "examples": ["you@third.party"]}, "someone@localhost"),
        ({"format": "hostname"}, "localhost"),
        ({"format": "ipv6"}, "::1"),
        ({"default": "http://me.localhost:1/ and file:///etc"}, "http://me.localhost:1/ and file:///etc"),
        (True, "x"),
        ({}, "test"),
    ],
)
def test_a_value_is_made_for(schema: Any, value: Any) -> None:
    assert arguments(needing(schema, **{"$defs": {"colour": {"enum": ["red"]}}})) == {"a": value}


def nested(levels: int, outer: Any, inner: Any) -> Any:
    for _ in range(levels):
        inner = outer(inner)
    return inner


CANNOT = {
    "pattern": {"pattern": "^[0-9]{3}$"},
    "never": False,
    "contradiction": {"type": "integer", "minimum": 5, "maximum": 1},
    "recursion": {"$ref": "#"},
    "reference to itself": {"$ref": "#/properties/a"},
    "deep": nested(60, needing, {"type": "string"}),
    "not there": {"$ref": "#/$defs/none"},
    "remote": {"$ref": "http://127.0.0.1:9/schema.json"},
    "file": {"$ref": "file:///etc/passwd"},
    "many items": {"type": "array", "minItems": 10**9},
    "many items in many": nested(4, lambda s: {"type": "array", "minItems": 1000, "items": s}, {"type": "string"}),
    "wide": nested(
        8, lambda s: {"properties": dict.fromkeys("abcdefghij", s), "required": list("abcdefghij")}, {"type": "string"}
    ),
    "long text": {"type": "string", "minLength": 10**12},
    "long text with a pattern": {"type": "string", "minLength": 9000, "pattern": "^y"},
    "nan": {"type": "number", "default": NAN},
    "infinity": {"const": float("inf")},
    "beyond 64 bits": {"type": "integer", "minimum": 10**30},
    "half a character": {"default": "\ud800"},
    "no schema": 5,
    "a third party": {"format": "uri", "enum": ["https://third.party/"]},
    "a third party without a format": {"default": ["see https://me@third.party:443/"]},
    "a third party by its address": {"const": "ftp://[2001:db8::1]/"},
    "a long host": {"format": "hostname", "minLength": 40},
    "a short address": {"format": "uri", "maxLength": 12},
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_filled_is_left_out_with_a_sentence_at_once(name: str) -> None:
    began = time.monotonic()
    assert sentence(needing(CANNOT[name]))
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        "object",
        5,
        NAN,
        {"required": 5},
        {"required": "a"},
        {"required": [[]]},
        {"required": ["a"], "properties": []},
        {"required": ["a"], "properties": {"a": []}},
        {"type": {}},
        {"type": "thing", "required": ["a"]},
        {"type": [], "required": ["a"]},
        {"type": "string"},
        {"required": ["a"], "type": "array"},
        {"required": [1]},
        {"$ref": 5, "required": ["a"]},
        {"$id": 5},
        {"$ref": "#/$defs/x"},
        {"$dynamicRef": "#x"},
        {"allOf": [{"$ref": "#"}]},
        {"minProperties": 1},
        needing({"enum": []}),
        needing({"type": "string", "minLength": "5"}),
        needing({"type": "string", "pattern": "("}),
        needing({"minimum": None, "type": "integer"}),
    ],
    ids=repr,
)
def test_a_schema_that_is_wrong_is_answered_with_a_sentence(schema: Any) -> None:
    assert sentence(schema)


def test_nothing_is_ever_fetched() -> None:
    with serving(answer_always(ANSWER)) as server:
        url = f"http://127.0.0.1:{server.port}/s.json"
        for schema in ({"$ref": url}, needing({"$ref": url}), {"$schema": url}, {"$id": url, "$ref": "other.json"}):
            outcome(schema)
            outcome({"allOf": [schema]})
        assert server.connections == 0

"""Any JSON at all as the schema of a tool: valid arguments or a sentence, and never a long run."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry

from mcp_chaos.mcp import ToolCall
from tests.workload.test_auto import needing, outcome

TYPES = ["object", "array", "string", "integer", "number", "boolean", "null"]
NUMBERS = st.integers(-(10**20), 10**20) | st.integers(-3, 12) | st.floats()
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.sampled_from([*TYPES, "#", "#/properties/a", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["a", "b", "c"])


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas that are mostly right, so that the fuzzing gets behind the first check."""
    many = st.lists(inner, max_size=3)
    known: dict[str, st.SearchStrategy[Any]] = {
        "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), max_size=2),
        "properties": st.dictionaries(NAMES, inner, max_size=3),
        "required": st.lists(NAMES, max_size=2, unique=True),
        "items": inner,
        "prefixItems": many,
        "minItems": st.integers(0, 3) | st.just(10**9),
        "uniqueItems": st.booleans(),
        "enum": st.lists(ANYTHING, max_size=2),
        "const": ANYTHING,
        "default": ANYTHING,
        "examples": st.lists(ANYTHING, max_size=2),
        "anyOf": many,
        "oneOf": many,
        "allOf": many,
        "not": inner,
        "$ref": st.sampled_from(["#", "#/properties/a", "#/$defs/b", "http://127.0.0.1:9/x", "", "b"]),
        "$defs": st.dictionaries(NAMES, inner, max_size=2),
        "$id": st.sampled_from(["b", "http://127.0.0.1:9/x", "#b"]),
        "$anchor": NAMES,
        "format": st.sampled_from(["date", "uuid", "email", "uri", "x"]),
        "minimum": NUMBERS,
        "maximum": NUMBERS,
        "exclusiveMinimum": NUMBERS,
        "multipleOf": NUMBERS,
        "minLength": st.integers(0, 10) | st.just(10**9),
        "maxLength": st.integers(0, 10),
        "additionalProperties": inner,
        "unevaluatedProperties": inner,
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=1),
    }
    right = st.fixed_dictionaries({}, optional=known)
    wrong = st.dictionaries(st.sampled_from(sorted(known)), ANYTHING, min_size=1, max_size=2)
    return right | st.builds(lambda a, b: {**a, **b}, right, wrong)


SCHEMAS: st.SearchStrategy[Any] = st.recursive(st.booleans() | st.builds(dict), keywords, max_leaves=6)


def check(schema: Any) -> None:
    made = outcome(schema)
    if isinstance(made, str):
        assert made.startswith("'it' ")
        assert len(made) < 1000
        return
    assert isinstance(made, ToolCall)
    assert orjson.loads(orjson.dumps(made.arguments)) == json.loads(json.dumps(made.arguments, allow_nan=False))
    Draft202012Validator(schema, registry=Registry()).validate(made.arguments)


@pytest.mark.parametrize("wrap", [lambda schema: schema, needing], ids=["whole", "argument"])
@settings(max_examples=150, deadline=2000, suppress_health_check=list(HealthCheck))
@given(schema=ANYTHING | SCHEMAS)
@example(schema={"multipleOf": 0.0})
@example(schema={"type": "integer", "multipleOf": 1e-320})
def test_any_schema_ends_in_valid_arguments_or_a_sentence(wrap: Any, schema: Any) -> None:
    check(wrap(schema))

"""Writes the JSON Schemas of events and calls in ``history/schemas`` from the code: ``make docs``."""

from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import Any

import mcp_chaos.history
from mcp_chaos.history.calls import CALL, LATEST_NS, RECORD, Lane, below
from mcp_chaos.history.event_kinds import KINDS
from mcp_chaos.history.files import to_json
from mcp_chaos.history.reasons import Outcome, Reason

SCHEMAS = Path(mcp_chaos.history.__file__).parent / "schemas"

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_JSON_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}
_MOMENT = {"type": "integer", "minimum": 0, "exclusiveMaximum": LATEST_NS}
_NAMED: dict[str, type[IntEnum]] = {"reason": Reason, "outcome": Outcome, "lane": Lane}
_FIELDS = {
    "intended_ns": "when the call was due, UTC nanoseconds",
    "sent_ns": "when its request was sent, after its session was open; 0 when nothing was sent",
    "done_ns": "when it ended",
    "bytes": "received",
    "operation": "index into the operations of the load's workload (load-NAME.json), over all kinds of users",
    "user": "which user made it; two workers have users of the same number",
    "worker": "which process of the load made it",
    "reason": "why it ended as it did",
    "outcome": "ok, fail: it surely did not happen, or info: nobody can tell",
    "lane": "which way it took: through the faulted proxy, or through the control",
    "step": "the step of the load's shape",
}


def event_schema() -> dict[str, Any]:
    """Of one line of ``events.jsonl``."""
    return {
        "$schema": _DIALECT,
        "title": "An event: one line of events.jsonl",
        "description": "Kinds that are not listed here have no fields that a reader needs; fields may be added.",
        "type": "object",
        "required": ["at_ns", "kind"],
        "properties": {"at_ns": {**_MOMENT, "description": "UTC nanoseconds"}, "kind": {"type": "string"}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind.name}}},
                "then": {
                    "description": kind.meaning,
                    "required": list(kind.needs),
                    "properties": {name: {"type": _types(types)} for name, types in kind.needs.items()},
                },
            }
            for kind in KINDS.values()
            if kind.needs
        ],
    }


def _types(types: type | Iterable[type]) -> str | list[str]:
    if isinstance(types, type):
        return _JSON_TYPES[types]
    names = [_JSON_TYPES[one] for one in types]
    return "number" if names == ["integer", "number"] else names


def call_schema() -> dict[str, Any]:
    """Of one record of ``calls-NAME.bin``, once it is unpacked."""
    return {
        "$schema": _DIALECT,
        "title": "A call: one record of calls-NAME.bin",
        "description": (
            f"Records of {CALL.itemsize} bytes without a header, little-endian and without padding; x-record is the "
            "record as Python's struct module has it, with its fields in order. A torn last record is left out."
        ),
        "type": "object",
        "x-record": {"format": RECORD.format, "bytes": CALL.itemsize, "fields": list(CALL.names or ())},
        "required": list(CALL.names or ()),
        "additionalProperties": False,
        "properties": {name: _field(name) for name in CALL.names or ()},
    }


def _field(name: str) -> dict[str, Any]:
    if name in _NAMED:
        values = [{"const": one.value, "title": one.name.lower()} for one in _NAMED[name]]
        return {"description": _FIELDS[name], "oneOf": values}
    bits = CALL[name].itemsize * 8
    return {
        "description": _FIELDS[name],
        "type": "integer",
        "minimum": 0,
        "exclusiveMaximum": below().get(name, 1 << bits),
    }


WRITTEN = {"event.schema.json": event_schema, "call.schema.json": call_schema}


if __name__ == "__main__":
    for file, schema in WRITTEN.items():
        (SCHEMAS / file).write_text(to_json(schema()), encoding="utf-8")

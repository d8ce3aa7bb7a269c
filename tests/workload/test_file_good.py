"""Workloads from files that are good: what they say is what is called."""

import json
from dataclasses import asdict
from typing import Any

import orjson
import pytest

from mcp_chaos.mcp import GetRequest, ListCall, PromptGet, ResourceRead, ToolCall
from mcp_chaos.workload.file import as_yaml, built_in, names_of, read_workload
from mcp_chaos.workload.workload import UserKind, Workload
from tests.workload.test_file import problems_of, workload


def test_choices_become_operations_of_equal_weight(write: Any) -> None:
    arguments = {"a": {"choose": [1, 2]}, "b": {"choose": ["x", None, [3]]}, "c": "as it is", "d": {"choose": 5}}
    operations = read_workload(write(workload({"tool": "t", "weight": 3, "arguments": arguments}))).tool_calls
    assert [o.weight for o in operations] == pytest.approx([0.5] * 6)
    fixed = {"c": "as it is", "d": {"choose": 5}}
    assert [dict(o.arguments) for o in operations] == [
        {"a": a, "b": b, **fixed} for a in (1, 2) for b in ("x", None, [3])
    ]


def test_what_is_left_out_takes_its_default_and_what_is_given_is_kept(write: Any) -> None:
    plain, full = workload(), workload({"tool": "t", "weight": 2, "expect": "é"}, {"page": "/p"}, name="full")
    full["users"][0] |= {"weight": 0.5, "wait_s": [0, 2], "websocket": True}
    (a, b) = read_workload(write(plain, "a.yaml"), write(full, "b.json")).kinds
    assert (a.name, a.weight, a.wait_s, a.websocket) == ("u", 1, (0, 0), False)
    assert a.operations == (ToolCall("t"),)
    assert (b.name, b.weight, b.wait_s, b.websocket) == ("full", 0.5, (0, 2), True)
    assert [(o.name, o.weight, o.expect) for o in b.operations] == [("t", 2, "é"), ("GET /p", 1, "")]


def test_built_in_workloads_and_files_are_mixed(write: Any) -> None:
    names = [kind.name for kind in read_workload("heavy_mcp_user", write(workload()), "websocket_mcp_user").kinds]
    assert names == ["heavy_mcp_user", "u", "websocket_mcp_user"]


@pytest.mark.parametrize("name", built_in())
def test_what_comes_with_the_package_can_be_used(name: str) -> None:
    assert list(read_workload(name).calls)


def test_the_names_in_a_text_stand_between_commas() -> None:
    assert names_of(" a, b.yaml,,c ,") == ["a", "b.yaml", "c"]
    assert names_of(" ,") == []


@pytest.mark.parametrize("indent", [None, 2, "\t"])
def test_a_json_file_is_read_as_json(write: Any, indent: Any) -> None:
    arguments = {"text": "a \U0001f600", "when": "2026-01-01", "n": 1e5, "slash": "</x>"}
    data = workload({"tool": "t", "arguments": arguments, "weight": 1e5})
    content = json.dumps(data, indent=indent).replace("100000.0", "1e5").replace("</", "<\\/").encode()
    (operation,) = read_workload(write(content, "w.json")).tool_calls
    assert operation.arguments == arguments
    assert operation.weight == 1e5
    assert orjson.loads(orjson.dumps(operation.arguments)) == arguments


@pytest.mark.parametrize("content", [b"{", b'{"users": NaN}', b"users: []", b"[" * 100_000, b'{"n": ' + b"9" * 5000])
def test_a_json_file_that_is_not_json_is_refused(write: Any, content: bytes) -> None:
    assert "is not JSON" in problems_of(write(content, "w.json"))[0]


def test_resources_prompts_and_errors_that_are_right(write: Any) -> None:
    calls = [
        {"resource": "memo://1"},
        {"prompt": "greet", "arguments": {"who": {"choose": ["a", "b"]}}},
        {"tool": "t", "expect_error": "no such order"},
    ]
    workload_made = read_workload(write({"users": [{"name": "u", "calls": calls}]}))
    assert workload_made.operations == (
        ResourceRead("memo://1"),
        PromptGet("greet", {"who": "a"}, 0.5),
        PromptGet("greet", {"who": "b"}, 0.5),
        ToolCall("t", expect_error="no such order"),
    )
    assert Workload.from_json(asdict(workload_made)) == workload_made


def test_what_is_written_is_read_as_it_was(write: Any) -> None:
    operations = (
        ToolCall("t", {"a": [1]}, expect="x"),
        ToolCall("t", weight=2, expect_error="none"),
        GetRequest("/health"),
        ResourceRead("memo://1"),
        PromptGet("greet", {"who": "a"}),
        ListCall("prompts/list"),
    )
    made = Workload((UserKind("a", operations, 2.0, (0.5, 1.0)), UserKind("b", operations[:1], websocket=True)))
    assert read_workload(write(as_yaml(made, "A head.").encode())) == made

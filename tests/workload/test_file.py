"""Workloads from files: what is wrong with one is told in sentences, all of it at once, whatever the file holds."""

from pathlib import Path
from typing import Any

import pytest

from mcp_chaos.errors import UsageError
from mcp_chaos.workload.file import built_in, read_workload

GOOD_CALL = {"tool": "t"}


def workload(*calls: Any, **user: Any) -> dict[str, Any]:
    return {"users": [{"name": "u", "calls": list(calls or [GOOD_CALL]), **user}]}


def problems_of(*names: str) -> tuple[str, ...]:
    with pytest.raises(UsageError) as refused:
        read_workload(*names)
    assert refused.value.problems
    assert all(0 < len(problem) < 2000 and "\n" not in problem for problem in refused.value.problems)
    assert "nothing was started" in str(refused.value)
    return refused.value.problems


def test_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    missing, folder = f"{tmp_path}/missing.yaml", f"{tmp_path}/folder.yaml"
    assert problems_of(missing) == (f"{missing} cannot be read (No such file or directory)",)
    assert problems_of(folder) == (f"{folder} cannot be read (Is a directory)",)
    assert "cannot be read" in problems_of("a\0b.yaml")[0]


@pytest.mark.parametrize("name", ["spike", "", "auto", "MCP_USER", "mcp_user.txt", "../mcp_user", "schema"])
def test_a_name_that_is_none_is_answered_with_those_there_are(name: str) -> None:
    (problem,) = problems_of(name)
    assert repr(name) in problem
    assert all(known in problem for known in built_in())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"users: [", "is not YAML"),
        (b"users: \xff\xfe", "is not UTF-8"),
        (b"users: \x00", "is not YAML"),
        (b"users: !!python/object/apply:os.system [ls]", "is not YAML"),
        (b"a: 1\n---\nb: 2", "is not YAML"),
        (b"when: 2026-13-45", "is not YAML"),
        (b"? [1]\n: 2", "is not YAML"),
        (b"n: " + b"9" * 5000, "is not YAML"),
        (b"[" * 5000, "is not YAML"),
        (b"#" * (1024 * 1024 + 1), "is larger than 1048576 bytes"),
        (b"", "the whole: None is not of type 'object'"),
        (b"- users", "the whole: ['users'] is not of type 'object'"),
        (b"&a [*a]", "more than 500000 values"),
    ],
    ids=lambda value: repr(value[:12]) if isinstance(value, bytes) else "",
)
def test_what_is_no_workload_at_all_is_told(write: Any, content: bytes, problem: str) -> None:
    assert problem in problems_of(write(content))[0]


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "'users' is a required property"),
        ({"users": []}, "users: [] should be non-empty"),
        (workload() | {"extra": 1}, "'extra' is no key of a workload; there are users"),
        ({"users": "all"}, "users: 'all' is not of type 'array'"),
        ({"users": [{"calls": [GOOD_CALL]}]}, "users.0: 'name' is a required property"),
        (workload(weigth=2), "users.0: 'weigth' is no key of a workload; did you mean 'weight'?"),
        (workload(name=""), "users.0.name"),
        (workload(name=5), "users.0.name: 5 is not of type 'string'"),
        (workload(weight=0), "users.0.weight"),
        (workload(weight=-1), "users.0.weight"),
        (workload(weight=True), "users.0.weight: True is not of type 'number'"),
        (workload(weight="1"), "users.0.weight"),
        (workload(weight=None), "users.0.weight"),
        (workload(wait_s=3), "users.0.wait_s"),
        (workload(wait_s=[1]), "users.0.wait_s"),
        (workload(wait_s=[1, 2, 3]), "users.0.wait_s"),
        (workload(wait_s=[-1, 2]), "users.0.wait_s.0"),
        (workload(wait_s=[False, 1]), "users.0.wait_s.0: False is not of type 'number'"),
        (workload(wait_s=[3, 1]), "user 'u': wait_s: the shortest wait (3) is longer than the longest (1)"),
        (workload(websocket=1), "users.0.websocket: 1 is not of type 'boolean'"),
        ({"users": [{"name": "u", "calls": []}]}, "users.0.calls"),
        (workload({"tool": ""}), "users.0.calls.0.tool"),
        (workload({}), "users.0.calls.0"),
        (workload({"tool": "t", "page": "/"}), "users.0.calls.0"),
        (workload(GOOD_CALL, {"page": "/", "arguments": {}}), "/: arguments are of a tool or a prompt"),
        (workload({"tool": "t", "arguments": [1]}), "users.0.calls.0.arguments: [1] is not of type 'object'"),
        (workload({"tool": "t", "expect": 1}), "users.0.calls.0.expect"),
        (workload({"tool": "t", "weight": True}), "users.0.calls.0.weight"),
        (workload({"page": "/health"}), "reads pages only, so it would say nothing about an MCP server"),
        (workload(GOOD_CALL, {"page": "health"}), "users.0.calls.1.page"),
        (workload(GOOD_CALL, {"page": "/a b"}), "users.0.calls.1.page"),
        (workload(GOOD_CALL, {"page": "/a\r\nX: y"}), "users.0.calls.1.page"),
        (workload(GOOD_CALL, {"page": "/a\n"}), "users.0.calls.1.page"),
        (workload({"tool": "t", "arguments": {"a": {"choose": []}}}), "t: 0 combinations of choices"),
        (
            workload({"tool": "t", "arguments": {k: {"choose": list(range(11))} for k in "abc"}}),
            "t: 1331 combinations of choices; between 1 and 1000 can be made",
        ),
        (workload({"tool": "x" * 200_000}), "users.0.calls.0.tool"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(write: Any, data: Any, problem: str) -> None:
    (told,) = problems_of(write(data))
    assert problem in told


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf", "1e999"])
@pytest.mark.parametrize("where", ["weight: {}", "wait_s: [{0}, {0}]", "wait_s: [0, {}]"])
def test_a_number_that_is_none_is_refused(write: Any, where: str, number: str) -> None:
    told = problems_of(write(f"users: [{{name: u, calls: [{{tool: t}}], {where.format(number)}}}]".encode()))
    assert where.partition(":")[0] in told[0]
    assert "weight" in problems_of(write(f"users: [{{name: u, calls: [{{tool: t, weight: {number}}}]}}]".encode()))[0]


@pytest.mark.parametrize(
    "arguments",
    [
        "day: 2026-01-01",
        "deep: [{at: 2026-01-01T00:00:00Z}]",
        "n: .nan",
        "n: {choose: [1, .inf]}",
        "b: !!binary aGVsbG8=",
        "s: !!set {a, b}",
        "on: 1",
        "1: x",
        "1: x, a: y",
        "deep: {null: 1}",
        "n: 123456789012345678901234567890",
    ],
)
def test_arguments_that_are_not_json_are_refused(write: Any, arguments: str) -> None:
    content = f"users: [{{name: u, calls: [{{tool: t, arguments: {{{arguments}}}}}]}}]"
    assert "t: the arguments are not JSON" in problems_of(write(content.encode()))[0]


@pytest.mark.parametrize("field", ["tool", "expect", "name", "arguments"])
def test_text_that_cannot_be_sent_is_refused(write: Any, field: str) -> None:
    fields = {"tool": "t", "expect": "e", "name": "u"} | {field: "\ud800"}
    call = {"tool": fields["tool"], "expect": fields["expect"], "arguments": {"a": fields.get("arguments")}}
    assert problems_of(write(workload(call, name=fields["name"]), "w.json"))


BOMB = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 19))]
MERGED = ["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 19))]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("bomb", [BOMB, MERGED], ids=["lists", "merges"])
@pytest.mark.parametrize("where", ["{}", "users: [{{name: u, calls: [{{tool: t, arguments: {{{}}}}}]}}]"])
def test_aliases_that_explode_are_refused_at_once(write: Any, where: str, bomb: list[str]) -> None:
    content = where.format(", ".join(bomb)) if "users" in where else "\n".join([*bomb, "users: *a18"])
    assert "more than 500000 values" in problems_of(write(content.encode()))[0]


def test_several_problems_of_several_files_are_all_told(write: Any) -> None:
    bad = write(workload({"tool": 1}, {"page": 2}, weight=-1, wait_s=[-1, 2]), "bad.yaml")
    reversed_waits = {"users": [{"name": n, "calls": [GOOD_CALL], "wait_s": [2, 1]} for n in "ab"]}
    told = problems_of(bad, "nothing", write(reversed_waits, "waits.yaml"), "mcp_user", "missing.yaml")
    assert len(told) == 8
    assert [problem.partition(": ")[0].rpartition("/")[2] for problem in told[:4]] == [
        f"bad.yaml, users.0.{place}" for place in ("weight", "wait_s.0", "calls.0.tool", "calls.1.page")
    ]
    assert ["user 'a'" in told[5], "user 'b'" in told[6]] == [True, True]


def test_all_that_the_schema_cannot_say_of_one_user_is_told_at_once(write: Any) -> None:
    dated = {"tool": "dated", "arguments": {"n": 10**30}}
    empty = {"tool": "empty", "arguments": {"n": {"choose": []}}}
    told = problems_of(write(workload(dated, empty, wait_s=[2, 1])))
    assert [problem.partition("user 'u': ")[2].partition(":")[0] for problem in told] == ["wait_s", "dated", "empty"]


def test_more_operations_than_a_call_can_name_are_refused(write: Any) -> None:
    thousand = {"tool": "t", "arguments": {name: {"choose": list(range(10))} for name in "abc"}}
    assert len(read_workload(write(workload(*[thousand] * 65))).operations) == 65_000
    (told,) = problems_of(write(workload(*[thousand] * 66)))
    assert "66000" in told
    half = write(workload(*[thousand] * 33))
    assert "66000" in problems_of(half, half)[0]

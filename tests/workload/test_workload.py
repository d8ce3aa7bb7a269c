"""Workloads: seeded, with the specification's weights, mixed by shares."""

import re
from collections import Counter
from dataclasses import asdict
from itertools import islice

import pytest

from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.file import read_workload
from mcp_chaos.workload.workload import Choices, UserKind, Workload

MCP_CALLS = read_workload("mcp_calls")


def test_the_same_seed_gives_the_same_calls() -> None:
    kind = MCP_CALLS.kinds[0]
    first, second, other = (Choices(kind, 0, seed) for seed in ("7", "7", "8"))
    rows = [[choices.operation() for _ in range(3000)] for choices in (first, second, other)]
    assert rows[0] == rows[1] != rows[2]


@pytest.mark.parametrize(("name", "health"), [("mcp_calls", None), ("mcp_user", 1)])
def test_the_specifications_weights_are_3_to_2_to_1(name: str, health: float | None) -> None:
    workload = read_workload(name)
    weights: dict[str, float] = {}
    for operation in workload.operations:
        weights[operation.name] = weights.get(operation.name, 0) + operation.weight
    expected = {"list_databases": 3, "list_views": 2, "execute_query": 1} | ({"GET /health": health} if health else {})
    assert weights == pytest.approx(expected)
    choices = Choices(workload.kinds[0], 0, "1")
    seen = Counter(workload.operations[choices.operation()].name for _ in range(6000))
    assert seen["list_databases"] / 6000 == pytest.approx(3 / sum(expected.values()), abs=0.03)


def test_each_of_the_four_queries_is_equally_likely() -> None:
    queries: Counter[str] = Counter()
    for operation in MCP_CALLS.tool_calls:
        if operation.tool == "execute_query":
            queries[re.sub("IN .*", "IN ...", str(operation.arguments["query"]))] += operation.weight  # type: ignore[assignment]
    assert dict(queries) == pytest.approx(dict.fromkeys(queries, 0.25))
    assert len(queries) == 4


@pytest.mark.parametrize(
    ("name", "wait_s", "websocket"),
    [("mcp_user", (1, 3), False), ("heavy_mcp_user", (0.1, 0.5), False), ("websocket_mcp_user", (1, 3), True)],
)
def test_the_specifications_users_wait_as_it_says(name: str, wait_s: tuple[float, float], websocket: bool) -> None:
    (kind,) = read_workload(name).kinds
    assert (kind.wait_s, kind.websocket) == (wait_s, websocket)
    waits = [Choices(kind, 0, "1").wait_s() for _ in range(100)]
    assert wait_s[0] <= min(waits) <= max(waits) <= wait_s[1]


def test_users_of_several_kinds_come_by_their_shares_all_along() -> None:
    kinds = tuple(UserKind(name, (ToolCall("x"),), weight) for name, weight in (("a", 3), ("b", 1), ("c", 0.5)))
    row = list(islice(Workload(kinds).kinds_in_turn(), 90))
    assert Counter(row) == {0: 60, 1: 20, 2: 10}
    assert Counter(row[:9]) == {0: 6, 1: 2, 2: 1}


def test_operations_of_several_kinds_stand_in_one_row() -> None:
    workload = read_workload("heavy_mcp_user", "websocket_mcp_user")
    assert [operation.name for operation in workload.operations] == ["execute_query", "GET /status", "list_databases"]
    assert [workload.first_operation_of(kind) for kind in (0, 1)] == [0, 1]
    choices = Choices(workload.kinds[1], workload.first_operation_of(1), "1")
    assert {choices.operation() for _ in range(100)} == {1, 2}
    assert workload.tools == ("execute_query", "list_databases")


def test_a_workload_survives_its_way_through_json() -> None:
    workload = read_workload("mcp_user", "websocket_mcp_user")
    assert Workload.from_json(asdict(workload)) == workload

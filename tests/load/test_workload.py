"""Workloads: seeded, with the specification's weights."""

from collections import Counter

import pytest

from mcp_chaos.load.workload import MCP_USER, Workload


def test_the_same_seed_gives_the_same_calls() -> None:
    first, second = Workload(MCP_USER, 7), Workload(MCP_USER, 7)
    assert [first.choose() for _ in range(100)] == [second.choose() for _ in range(100)]


def test_the_specifications_weights_are_3_to_2_to_1() -> None:
    weights: Counter[str] = Counter()
    for operation in MCP_USER:
        weights[operation.tool] += operation.weight  # type: ignore[assignment]
    assert weights["list_databases"] == pytest.approx(3)
    assert weights["list_views"] == pytest.approx(2)
    assert weights["execute_query"] == pytest.approx(1)
    workload = Workload(MCP_USER, 1)
    seen = Counter(MCP_USER[workload.choose()].tool for _ in range(6000))
    assert seen["list_databases"] / 6000 == pytest.approx(1 / 2, abs=0.03)

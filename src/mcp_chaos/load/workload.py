"""What a load sends: weighted operations, chosen by a seeded generator so that a run can be made again."""

import random
from collections.abc import Sequence
from itertools import accumulate

from mcp_chaos.mcp import Operation

MCP_USER: tuple[Operation, ...] = (
    Operation("list_databases", {}, 3),
    *(
        Operation("list_views", {"database": database, "schema": schema}, 2 / 9)
        for database in ("TEST_DB", "ANALYTICS_DB", "STAGING_DB")
        for schema in ("PUBLIC", "STAGING", "REPORTING")
    ),
    *(
        Operation("execute_query", {"query": query}, 1 / 4)
        for query in (
            "SELECT 1 as test_column",
            "SELECT CURRENT_DATABASE()",
            "SELECT CURRENT_TIMESTAMP()",
            "SHOW TABLES IN TEST_DB.PUBLIC LIMIT 5",
        )
    ),
)
"""The tool calls of the specification's MCPUser: list_databases 3, list_views 2, execute_query 1."""


class Workload:
    """A seeded, weighted choice among operations.

    Args:
        operations: at least one.
        seed: the same seed gives the same row of choices.
    """

    def __init__(self, operations: Sequence[Operation], seed: int) -> None:
        self.operations = tuple(operations)
        self._cumulative = list(accumulate(operation.weight for operation in operations))
        self._everyone = range(len(self.operations))
        self._random = random.Random(seed)

    def choose(self) -> int:
        """The index of the next operation."""
        return self._random.choices(self._everyone, cum_weights=self._cumulative)[0]

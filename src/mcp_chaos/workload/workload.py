"""What a load sends: kinds of users, each with weighted calls and waits, chosen by seeded generators.

The same seed gives the same row of choices, so that a run can be made again.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import orjson

from mcp_chaos.mcp import GetRequest, ListCall, McpCall, Operation, PromptGet, ResourceRead, ToolCall

_AT_A_TIME = 1024


@dataclass(frozen=True)
class UserKind:
    """One kind of user.

    Args:
        name: for reports.
        operations: what it calls, at least one.
        weight: its share of the users, relative to the other kinds.
        wait_s: shortest and longest time it thinks after a call; uniformly distributed.
        websocket: whether its calls go over a WebSocket; its pages are read over HTTP all the same.
    """

    name: str
    operations: tuple[Operation, ...]
    weight: float = 1.0
    wait_s: tuple[float, float] = (0.0, 0.0)
    websocket: bool = False


@dataclass(frozen=True)
class Workload:
    """The users of a load.

    Args:
        kinds: at least one.
    """

    kinds: tuple[UserKind, ...]

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """All operations in one row; a call's ``operation`` is an index into it."""
        return tuple(operation for kind in self.kinds for operation in kind.operations)

    @cached_property
    def tools(self) -> tuple[str, ...]:
        """The tools that are called, each once."""
        return tuple(dict.fromkeys(call.tool for call in self.tool_calls))

    @cached_property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Those operations that call a tool."""
        return tuple(operation for operation in self.operations if isinstance(operation, ToolCall))

    @cached_property
    def mcp_calls(self) -> tuple[McpCall, ...]:
        """Those operations that are asked in JSON-RPC."""
        return tuple(operation for operation in self.operations if not isinstance(operation, GetRequest))

    @cached_property
    def calls(self) -> tuple[str, ...]:
        """The names of all that is called, each once."""
        return tuple(dict.fromkeys(operation.name for operation in self.operations))

    def first_operation_of(self, kind: int) -> int:
        """Where a kind's operations begin in the row of all."""
        return sum(len(other.operations) for other in self.kinds[:kind])

    def kinds_in_turn(self) -> Iterator[int]:
        """The kind of each user, by index: after any number of users, shares are as near to the weights as can be.

        Source: smooth weighted round-robin, as in nginx's upstream balancing.
        """
        total = sum(kind.weight for kind in self.kinds)
        credit = [0.0] * len(self.kinds)
        while True:
            credit = [have + kind.weight for have, kind in zip(credit, self.kinds, strict=True)]
            chosen = max(range(len(credit)), key=credit.__getitem__)
            credit[chosen] -= total
            yield chosen

    @classmethod
    def of(cls, *operations: Operation) -> "Workload":
        """One kind of user that makes these calls without waiting."""
        return cls((UserKind("user", operations),))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Workload":
        """The record back from the JSON of ``dataclasses.asdict``."""
        return cls(
            tuple(
                UserKind(
                    **{
                        **kind,
                        "operations": tuple(_operation(operation) for operation in kind["operations"]),
                        "wait_s": tuple(kind["wait_s"]),
                    }
                )
                for kind in data["kinds"]
            )
        )


class Choices:
    """The calls and waits of one kind of user, seeded.

    Args:
        kind: of user.
        first: where its operations begin in the row of all.
        seed: anything that tells this row of choices from others.
    """

    def __init__(self, kind: UserKind, first: int, seed: str) -> None:
        self._random = random.Random(seed)
        self._wait_s = kind.wait_s
        self.thinks = kind.wait_s[1] > 0
        self._indices = range(first, first + len(kind.operations))
        self._cumulative = list(accumulate(operation.weight for operation in kind.operations))
        self._drawn: list[int] = []

    def operation(self) -> int:
        """The index of the next operation. Drawn many at a time, which costs a third of one by one."""
        if not self._drawn:
            self._drawn = self._random.choices(self._indices, cum_weights=self._cumulative, k=_AT_A_TIME)
        return self._drawn.pop()

    def wait_s(self) -> float:
        """How long to think before the next call."""
        return self._random.uniform(*self._wait_s)


def _operation(data: Mapping[str, Any]) -> Operation:
    if "page" in data:
        return GetRequest(**data)
    if "tool" in data:
        return ToolCall(**data)
    if "uri" in data:
        return ResourceRead(**data)
    return PromptGet(**data) if "prompt" in data else ListCall(**{**data, "offers": tuple(data["offers"])})


def operations_as_json(operations: Sequence[Operation]) -> list[dict[str, Any]]:
    """Operations for a manifest."""
    return [{"name": o.name, "arguments": _arguments(o), "weight": o.weight} for o in operations]


def _arguments(operation: Operation) -> dict[str, Any]:
    return dict(operation.arguments) if isinstance(operation, ToolCall | PromptGet) else {}


def is_json(value: Any) -> bool:
    """Whether a value goes through JSON as it is."""
    try:
        json.dumps(value, allow_nan=False)  # orjson would write dates, and null for NaN
        orjson.dumps(value)  # json would make texts of other keys, and takes longer numbers and halves of characters
    except (TypeError, ValueError, RecursionError):
        return False
    return True

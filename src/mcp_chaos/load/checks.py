"""What people say of a load, checked: its shape, its numbers, and the rest."""

from typing import Any

from mcp_chaos.errors import UsageError
from mcp_chaos.history.calls import LANES
from mcp_chaos.history.folder import can_name_a_load
from mcp_chaos.load.shape import Shape, number_problems
from mcp_chaos.load.shapes import SHAPES

BOTH = "both"
"""As a lane: a load through the faults, and one of the same numbers past them."""

MAX_WORKERS = 64
MAX_DEADLINE_S = 3600.0


def make_shape(kind: str, **numbers: Any) -> Shape:
    """A shape from its name and numbers; what is not given takes the specification's number.

    Raises:
        UsageError: with every problem at once.
    """
    if not isinstance(kind, str) or kind not in SHAPES:
        raise UsageError(f"there is no load shape {kind!r}; there are {', '.join(SHAPES)}")
    known = SHAPES[kind].numbers()
    problems = [f"the {kind} load has no '{name}'; it has {', '.join(known)}" for name in numbers if name not in known]
    for name, value in numbers.items():
        problems += known[name].problems(name, value) if name in known else []
    if problems:
        raise UsageError(problems)
    made = SHAPES[kind](**{name: known[name].kind(value) for name, value in numbers.items()})
    if problems := made.problems():
        raise UsageError(problems)
    return made


def shape_numbers() -> dict[str, tuple[type, str]]:
    """The numbers of all shapes: the type of each, and what it means to which of them."""
    types: dict[str, type] = {}
    meanings: dict[str, dict[str, list[str]]] = {}
    for kind, shape in SHAPES.items():
        for name, known in shape.numbers().items():
            types[name] = known.kind
            meaning = known.meaning + (f", {' or '.join(known.choices)}" if known.choices else "")
            meanings.setdefault(name, {}).setdefault(meaning, []).append(kind)
    return {
        name: (types[name], "; ".join(f"{', '.join(kinds)}: {meaning}" for meaning, kinds in said.items()))
        for name, said in meanings.items()
    }


def loads_on(name: str, lane: str) -> list[tuple[str, str]]:
    """The loads, each with its lane, that one of a name makes on a lane, or on ``BOTH``."""
    return [(name, "faulted"), (f"{name}-control", "control")] if lane == BOTH else [(name, lane)]


def check_load(
    name: Any,
    shape: Any,
    lane: Any,
    deadline_s: Any,
    users_from: str | None,
    numbers: dict[str, Any],
    workers: Any = 1,
) -> Shape:
    """Check all that a person says of a load.

    Args:
        name: of the load; names its files.
        shape: a name from ``SHAPES``.
        lane: a name from ``calls.LANES``.
        deadline_s: of each call.
        users_from: a ramp whose capacity will be the number of users, or ``None``.
        numbers: of the shape.
        workers: how many processes share it.

    Returns:
        The shape.

    Raises:
        UsageError: with every problem at once; nothing was changed.
    """
    problems = []
    if not can_name_a_load(name):
        problems.append(f"name: letters, digits, '-' and '_', at most 200, as it names files, not {str(name)[:80]!r}")
    if not isinstance(lane, str) or lane not in LANES:
        problems.append(f"lane: there is no {lane!r}; there are {', '.join(LANES)}")
    problems += number_problems("deadline_s", deadline_s, 0.0001, MAX_DEADLINE_S)
    problems += number_problems("workers", workers, 1, MAX_WORKERS, whole=True)
    takers = [kind for kind, one in SHAPES.items() if one.takes_capacity]
    if users_from is not None and shape not in takers:
        problems.append(f"users_from is for the {' and the '.join(takers)} load only")
    try:
        made = make_shape(shape, **numbers)
    except UsageError as error:
        problems += error.problems
    if problems:
        raise UsageError(problems, f"The load {name!r} cannot be started, and nothing was changed")
    return made

"""Pure: when a load sends, and how much: the specification's three shapes with exactly its numbers, and others.

A shape is a row of steps. A step is ``total_requests`` calls made by ``users`` clients that each send as soon as their
last call ended and they have thought; what comes after a step depends on how it went. In an open step calls are due at
moments of their own, whatever the server does.
"""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from mcp_chaos.errors import UsageError
from mcp_chaos.history.calls import LANES
from mcp_chaos.history.folder import can_name_a_load

BOTH = "both"
"""As a lane: a load through the faults, and one of the same numbers past them."""

MAX_USERS = 10_000
MAX_WORKERS = 64
MAX_REQUESTS = 10_000_000
MAX_RATE_PER_S = 100_000.0
MAX_DURATION_S = 24 * 3600.0
MAX_DEADLINE_S = 3600.0


@dataclass(frozen=True)
class Step:
    """One step of a load.

    Args:
        users: how many clients send at the same time.
        total_requests: how many calls they make together.
    """

    users: int
    total_requests: int


@dataclass(frozen=True)
class OpenStep(Step):
    """One step of an open load: ``users`` is how many calls can be under way at the most.

    Args:
        rate_per_s: how many calls are due in a second.
        poisson: whether the gaps between them are random.
    """

    rate_per_s: float
    poisson: bool = False


@dataclass(frozen=True)
class CycleStep(Step):
    """One cycle of a sustained load: each user makes its share of the calls once, at a moment of its own.

    Args:
        cycle_s: the time over which the users' beginnings are spread.
        all_users: how many users share it, those of all processes.
    """

    cycle_s: float
    all_users: int


class Shape(Protocol):
    """When a load sends."""

    def first(self) -> Step:
        """The step to begin with."""

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """What to do after a step.

        Args:
            done: how many steps were made.
            elapsed_s: since the load began.
            took_s: how long the last step took.
            success_fraction: of the last step's calls.

        Returns:
            Seconds to wait and the next step, or ``None`` at the end.
        """


@dataclass(frozen=True)
class Burst:
    """``requests`` calls at ``concurrency`` at once: the specification's basic test."""

    requests: int = 50
    concurrency: int = 10

    def first(self) -> Step:
        """All of it."""
        return Step(self.concurrency, self.requests)

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """One step is all."""
        return None


@dataclass(frozen=True)
class Ramp:
    """Users up to ``max_users`` by ``step_users``; ends below ``stop_below_fraction``, the breaking point."""

    max_users: int = 50
    step_users: int = 5
    requests_per_user: int = 10
    pause_s: float = 30.0
    stop_below_fraction: float = 0.95

    def first(self) -> Step:
        """The smallest step."""
        return self._step(1)

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """The next step after a pause, unless this one broke or was the last."""
        if success_fraction < self.stop_below_fraction or (done + 1) * self.step_users > self.max_users:
            return None
        return self.pause_s, self._step(done + 1)

    def _step(self, number: int) -> Step:
        users = number * self.step_users
        return Step(users, users * self.requests_per_user)


@dataclass(frozen=True)
class Sustained:
    """``requests_per_user`` calls per user every ``cycle_s``, for ``duration_s``; 10 minutes by itself.

    Users do not begin their cycles at the same moment, so that a short fault meets some of them, and never all or none.
    """

    users: int = 10
    duration_s: float = 600.0
    cycle_s: float = 10.0
    requests_per_user: int = 5

    def first(self) -> Step:
        """The first cycle."""
        total = self.users * self.requests_per_user
        return CycleStep(self.users, total, self.cycle_s, self.users) if self.cycle_s else Step(self.users, total)

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """The next cycle when its time has come; a cycle that ran over is followed at once."""
        wait_s = max(0.0, self.cycle_s - took_s)
        if elapsed_s + wait_s >= self.duration_s:
            return None
        return wait_s, self.first()


@dataclass(frozen=True)
class Constant:
    """``rate_per_s`` calls a second for ``duration_s``, whatever the server does: an open loop.

    A call that is due while ``max_users`` others are under way is dropped and counted.
    """

    rate_per_s: float = 10.0
    duration_s: float = 60.0
    arrivals: str = "constant"
    max_users: int = 1_000

    def first(self) -> OpenStep:
        """All of it."""
        total = max(1, round(self.rate_per_s * self.duration_s))
        return OpenStep(self.max_users, total, self.rate_per_s, self.arrivals == "poisson")

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """One step is all."""
        return None


@dataclass(frozen=True)
class Locust:
    """Locust makes the load: ``users`` of them, ``spawn_rate_per_s`` more each second, for ``duration_s``."""

    users: int = 10
    spawn_rate_per_s: float = 10.0
    duration_s: float = 60.0

    def first(self) -> Step:
        """All of it; how many calls that is, Locust decides."""
        return Step(self.users, 0)

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        """One step is all."""
        return None


AnyShape = Burst | Ramp | Sustained | Constant | Locust

SHAPES: dict[str, type[AnyShape]] = {
    "burst": Burst,
    "ramp": Ramp,
    "sustained": Sustained,
    "constant": Constant,
    "locust": Locust,
}
"""Every shape by the name a person gives it."""

ARRIVALS = ("constant", "poisson")
"""How the calls of an open load are spread over time."""

_TYPES: dict[Any, Any] = {int: int, float: float, str: str}
_LIMITS: dict[str, tuple[float, float]] = {
    "requests": (1, MAX_REQUESTS),
    "concurrency": (1, MAX_USERS),
    "users": (1, MAX_USERS),
    "max_users": (1, MAX_USERS),
    "step_users": (1, MAX_USERS),
    "requests_per_user": (1, MAX_REQUESTS),
    "pause_s": (0, 3600),
    "cycle_s": (0, 3600),
    "duration_s": (0.1, MAX_DURATION_S),
    "rate_per_s": (0.001, MAX_RATE_PER_S),
    "spawn_rate_per_s": (0.001, MAX_RATE_PER_S),
    "stop_below_fraction": (0, 1),
}


def make_shape(kind: str, **numbers: Any) -> AnyShape:
    """A shape from its name and numbers; what is not given takes the specification's number.

    Raises:
        UsageError: with every problem at once.
    """
    if not isinstance(kind, str) or kind not in SHAPES:
        raise UsageError(f"there is no load shape {kind!r}; there are {', '.join(SHAPES)}")
    shape = SHAPES[kind]
    known = {field.name: field.type for field in fields(shape)}
    problems = [f"the {kind} load has no '{name}'; it has {', '.join(known)}" for name in numbers if name not in known]
    for name, value in numbers.items():
        if name == "arrivals" and name in known:
            problems += [] if value in ARRIVALS else [f"arrivals: {' or '.join(ARRIVALS)} is needed, not {value!r}"]
        elif name in known:
            problems += number_problems(name, value, *_LIMITS[name], whole=known[name] is int)
    if problems:
        raise UsageError(problems)
    typed: dict[str, Any] = {name: _TYPES[known[name]](value) for name, value in numbers.items()}
    made = shape(**typed)
    if isinstance(made, Ramp) and made.step_users > made.max_users:
        raise UsageError(
            f"step_users ({made.step_users}) is more than max_users ({made.max_users}): the ramp would have no step"
        )
    if isinstance(made, Constant) and made.first().total_requests > MAX_REQUESTS:
        raise UsageError(f"rate_per_s × duration_s is {made.first().total_requests} calls, more than {MAX_REQUESTS}")
    return made


def number_problems(name: str, value: Any, low: float, high: float, *, whole: bool = False) -> list[str]:
    """What is wrong with a number, in words; empty when nothing is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return [f"{name}: a number is needed, not {value!r}"]
    if whole and value != int(value):
        return [f"{name}: a whole number is needed, not {value!r}"]
    if not low <= value <= high:
        return [f"{name}: {value!r} is not between {low:g} and {high:g}"]
    return []


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
) -> AnyShape:
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
    if users_from is not None and shape != "sustained":
        problems.append("users_from is for the sustained load only")
    try:
        made = make_shape(shape, **numbers)
    except UsageError as error:
        problems += error.problems
    if problems:
        raise UsageError(problems, f"The load {name!r} cannot be started, and nothing was changed")
    return made


def shape_to_json(shape: AnyShape) -> dict[str, Any]:
    """A shape as JSON, for the file a worker reads."""
    return {"kind": type(shape).__name__.lower(), **asdict(shape)}

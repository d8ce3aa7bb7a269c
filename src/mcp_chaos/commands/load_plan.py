"""What ``mcp-chaos load`` is asked for: a shape, its numbers, and faults at their times."""

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mcp_chaos.errors import UsageError
from mcp_chaos.faults.fault import Fault, make_fault
from mcp_chaos.faults.kinds import FAULTS
from mcp_chaos.load.checks import check_load
from mcp_chaos.load.shape import number_problems
from mcp_chaos.machine.spelling import hint, unknown_keys
from mcp_chaos.run.proxies import CONTROL_PROXY

SPEC = "spec"
_SPEC_SUSTAINED_S = 300.0
_SPEC_NUMBERS = {
    "burst": ("requests", "concurrency"),
    "ramp": ("max_users", "step_users", "requests_per_user", "pause_s"),
    "sustained": ("duration_s", "cycle_s"),
}
"""Which numbers can be given to the specification's script, and to which of its loads they go."""

_LONGEST_S = 24 * 3600.0
_TIMES = ("from_s", "for_s")


@dataclass(frozen=True)
class PlannedFault:
    """A fault and its time.

    Args:
        fault: what is injected.
        from_s: when, in seconds from the start of the load.
        for_s: how long it stays.
    """

    fault: Fault
    from_s: float
    for_s: float

    @classmethod
    def parse(cls, text: str) -> "PlannedFault":
        """A fault as written on a command line: ``add_latency latency_ms=200 from_s=3 for_s=5``.

        Raises:
            UsageError: with every problem at once.
        """
        try:
            name, *pairs = shlex.split(text)
        except ValueError:
            raise UsageError(f"--fault {text!r}: a fault such as 'partition from_s=3 for_s=2' is needed") from None
        if name not in FAULTS:
            raise UsageError(f"--fault {text!r}: there is no fault {name!r}{hint(name, list(FAULTS))}")
        given = {key: _value(value) for key, _, value in (pair.partition("=") for pair in pairs)}
        known = [field.name for field in fields(FAULTS[name])]
        problems = unknown_keys("", name, given, [*known, *_TIMES])
        if len(given) < len(pairs):
            problems.append("a number is given twice")
        times = {key: given.pop(key, default) for key, default in zip(_TIMES, (3.0, 3.0), strict=True)}
        problems += [p for key, value in times.items() for p in number_problems(key, value, 0, _LONGEST_S)]
        try:
            fault = make_fault(FAULTS[name], **{key: value for key, value in given.items() if key in known})
        except TypeError as error:  # a number that it needs is not there
            problems.append(str(error).partition("() ")[2] or str(error))
        except UsageError as error:
            problems += error.problems
        if not problems and fault.proxy == CONTROL_PROXY:
            problems.append(f"proxy: '{CONTROL_PROXY}' is never poisoned")
        if problems:
            raise UsageError([f"--fault {text!r}: {problem}" for problem in problems])
        return cls(fault, float(times["from_s"]), float(times["for_s"]))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


@dataclass(frozen=True)
class Plan:
    """What ``mcp-chaos load`` is asked for.

    Args:
        shape: a name from ``load.shapes.SHAPES``, or ``spec``.
        numbers: of the shape; those of ``spec`` are of all its three loads.
        faults: while it runs.
        deadline_s: of each call.
        workers: how many processes share each load.
    """

    shape: str
    numbers: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[PlannedFault] = ()
    deadline_s: float = 10.0
    workers: int = 1

    def check(self) -> None:
        """Check all of it.

        Raises:
            UsageError: with every problem at once; nothing was started.
        """
        problems = _overlaps(self.faults)
        if self.shape == SPEC:
            known = [number for numbers in _SPEC_NUMBERS.values() for number in numbers]
            unknown = [name for name in self.numbers if name not in known]
            problems += [f"{SPEC} has no '{name}'{hint(name, known)}" for name in unknown]
        for name, shape, numbers in self._loads():
            try:
                check_load(name, shape, "faulted", self.deadline_s, None, numbers, self.workers)
            except UsageError as error:
                problems += [problem for problem in error.problems if problem not in problems]
        if problems:
            raise UsageError(problems, "The load cannot be started, and nothing was changed")

    def _loads(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        if self.shape != SPEC:
            yield self.shape, self.shape, self.numbers
            return
        for name, shape in (("basic", "burst"), ("ramp", "ramp"), ("sustained", "sustained")):
            given = {number: self.numbers[number] for number in _SPEC_NUMBERS[shape] if number in self.numbers}
            yield name, shape, {"duration_s": _SPEC_SUSTAINED_S, **given} if shape == "sustained" else given

    def load(self, name: str) -> tuple[str, dict[str, Any]]:
        """The shape and the numbers of one of its loads."""
        return next((shape, numbers) for found, shape, numbers in self._loads() if found == name)


def _overlaps(faults: Sequence[PlannedFault]) -> list[str]:
    """A proxy is healed as a whole, so its faults have to come one after the other."""
    problems = []
    for first, second in ((a, b) for a in faults for b in faults if a is not b):
        if first.fault.proxy == second.fault.proxy and first.from_s <= second.from_s < first.from_s + first.for_s:
            problems.append(
                f"--fault: {second.fault.title()} comes while {first.fault.title()} is in place on the same proxy"
            )
    return problems

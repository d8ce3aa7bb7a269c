"""A plan: which experiments, in which order, within which time, and what is known to fail."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo

from mcp_chaos.errors import UsageError
from mcp_chaos.gate.item import Item
from mcp_chaos.toolkit.given import value_problems

RETRIES = 1


@dataclass(frozen=True)
class Window:
    """The time of day in which experiments may begin.

    Args:
        start: the first moment.
        end: the moment from which on none may; before ``start`` when the window has midnight in it.
        zone: whose time of day.
    """

    start: time
    end: time
    zone: ZoneInfo

    def is_open(self, now: datetime) -> bool:
        """Whether an experiment may begin now."""
        at = now.astimezone(self.zone).time()
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M} to {self.end:%H:%M} {self.zone.key}"


@dataclass(frozen=True)
class Plan:
    """What the gate does.

    Args:
        title: for people.
        items: the experiments in order.
        budget_s: the time all of it may take; ``None`` for as long as it takes.
        stop_on_first: whether the first experiment that does not pass is the last.
        retries: how many times an experiment is run again that came out inconclusive.
        window: of time; ``None`` for any time.
        leaves_out: whether experiments that need what the server lacks are left out; else they are refused.
        shared: the names of the values that a plan gives to all its experiments.
    """

    title: str
    items: Sequence[Item]
    budget_s: float | None = None
    stop_on_first: bool = False
    retries: int = RETRIES
    window: Window | None = None
    leaves_out: bool = False
    shared: Collection[str] = ()

    def check(self) -> None:
        """Check every experiment.

        Raises:
            UsageError: with every problem of all of them; nothing was touched.
        """
        problems = [problem for item in self.items if not self.left_out(item) for problem in item.problems()]
        problems += value_problems("the plan's configuration", self.shared, self.declared())
        if problems:
            raise UsageError(problems, "The gate cannot be run as it is, and nothing was touched")

    def declared(self) -> set[str]:
        """The numbers that its experiments declare, as far as they can be read."""
        declared: set[str] = set()
        for item in self.items:
            with suppress(UsageError):
                declared |= item.declared()
        return declared

    def left_out(self, item: Item) -> str:
        """Why an experiment is left out; empty when it is run."""
        return item.why_not_applicable() if self.leaves_out else ""

"""What is known of a figure, and what figures are made of. The figures there are: ``figures.py``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from functools import cached_property
from typing import Any, Generic, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.history.calls import Calls, Outcome, Reason
from mcp_chaos.verdict.latencies import latencies_ms

T = TypeVar("T")


@dataclass(frozen=True)
class Measurable:
    """What figures are made of.

    Args:
        calls: any.
        seconds: of time in which they were made.
        recovery_s: how long after the slowest heal the service was steady again, where that was measured.
        opening: which of the calls may have had to open a session, see ``latencies_ms``.
        disturbed_calls: how many calls a fault met, where there was one.
    """

    calls: Calls
    seconds: float
    recovery_s: float | None = None
    opening: NDArray[np.bool_] | None = None
    disturbed_calls: int | None = None

    @cached_property
    def latencies_ms(self) -> NDArray[np.float64]:
        """The latencies of the successful calls, sorted."""
        return latencies_ms(self.calls, self.opening)

    @cached_property
    def _reasons(self) -> NDArray[np.int64]:
        return np.bincount(self.calls["reason"], minlength=len(Reason))

    @cached_property
    def _quantiles(self) -> dict[float, float]:
        wanted = [figure.quantile for figure in FIGURES.values() if figure.quantile is not None]
        return dict(zip(wanted, np.quantile(self.latencies_ms, wanted).tolist(), strict=True))

    def ended(self, *reasons: Reason) -> int:
        """How many calls ended for one of some reasons."""
        return int(sum(self._reasons[reason] for reason in reasons))

    def with_outcome(self, outcome: Outcome) -> int:
        """How many calls had an outcome."""
        return int(np.count_nonzero(self.calls["outcome"] == outcome))

    def quantile_ms(self, quantile: float) -> float | None:
        """A quantile of the latencies that is a figure's; ``None`` where no call succeeded.

        By linear interpolation between order statistics (numpy's default, type 7 of Hyndman and Fan 1996).
        """
        return self._quantiles[quantile] if len(self.latencies_ms) else None


class Shown(Flag):
    """Where a figure has a column or a row."""

    NOWHERE = 0
    TERMINAL = auto()
    PAGE = auto()
    COMPARISON = auto()
    EVERYWHERE = TERMINAL | PAGE | COMPARISON


@dataclass(frozen=True)
class Regression:
    """How a time, of which more is worse, or a fraction, of which less is, is compared with earlier runs.

    The method is that of ``gate.regression``.

    Args:
        least_effect: by how much it has to be worse: as a fraction for times, else in its own unit.
        least_deviation: what its standard deviation counts as at the least: of the logarithm for times.
        added: to a time before its logarithm, so that next to nothing does not weigh as much as anything.
        counted: for a fraction of calls, the figure that says how many there were.
        on_control: whether that of the control lane is compared too.
    """

    least_effect: float
    least_deviation: float
    added: float = 0.0
    counted: str = ""
    on_control: bool = True


@dataclass(frozen=True)
class OnlyIn:
    """The one window that has a figure, and why."""

    window: str
    why: str


@dataclass(eq=False)
class Figure(Generic[T]):
    """A figure, and all that is known of it. Its name is that of the attribute of ``Figures`` that it is.

    Args:
        meaning: for the documentation.
        measured: from what it is made; ``None`` where that does not give it.
        unit: ``ms``, ``s``, ``calls/s``, ``fraction``, or empty for a number of calls.
        heading: of its column; empty for its name.
        shown: where it has a column or a row.
        words: of one that is missed, with a place for its value: "{} of the calls hung until their deadline".
        difference: the same of how much more it is than the control lane's: "the slowest call in twenty took".
        quantile: which one of the latencies of successful calls it is; they are not above the deadline of the calls.
        line: its dashes and its width in the chart of latencies.
        only_in: the window that has it; ``None`` where all may have it.
        is_of_fault: whether it says what the fault did rather than the server, so that a threshold with it is an
            assumption.
        regression: how it is compared with earlier runs; ``None`` where it is not.
    """

    meaning: str
    measured: Callable[[Measurable], T]
    unit: str = ""
    heading: str = ""
    shown: Shown = Shown.NOWHERE
    words: str = ""
    difference: str = ""
    quantile: float | None = None
    line: tuple[str, float] | None = None
    only_in: OnlyIn | None = None
    is_of_fault: bool = False
    regression: Regression | None = None
    name: str = field(init=False, default="")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.heading = self.heading or name.replace("_", " ")
        FIGURES[name] = self

    @overload
    def __get__(self, figures: None, owner: type) -> "Figure[T]": ...
    @overload
    def __get__(self, figures: "FigureValues", owner: type) -> T: ...
    def __get__(self, figures: "FigureValues | None", owner: type) -> "Figure[T] | T":
        value: Any = self if figures is None else figures[self.name]
        return value  # type: ignore[no-any-return]  # what ``measured`` gave


class FigureValues:
    """What the figures of some calls are; ``figures.Figures`` has them as attributes.

    Args:
        values: by the names of the figures.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    @classmethod
    def of(cls, made: Measurable) -> Self:
        """The figures of some calls."""
        return cls({name: figure.measured(made) for name, figure in FIGURES.items()})

    def __getitem__(self, name: str) -> Any:
        """A figure by its name."""
        return self._values[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FigureValues) and self._values == other._values

    def replaced(self, **values: Any) -> Self:
        """The same with other values of some."""
        return type(self)({**self._values, **values})

    def as_dict(self) -> dict[str, Any]:
        """All figures by name."""
        return dict(self._values)


FIGURES: dict[str, Figure[Any]] = {}
"""Every figure by its name."""

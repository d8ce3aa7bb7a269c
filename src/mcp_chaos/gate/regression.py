"""Whether a run is worse than earlier ones of the same experiment, by more than they differ among themselves.

The method: a one-sided prediction interval. With the mean ``m`` and the standard deviation ``s`` of a figure in ``n``
earlier runs, one further run of an unchanged server is expected to be worse than ``m + t * s * sqrt(1 + 1/n)`` with a
probability of ``ALARM_FRACTION``, which all figures of the experiment share (Bonferroni); ``t`` is the quantile of
Student's distribution with ``n - 1`` degrees of freedom. Source: Hahn and Meeker, Statistical Intervals (1991), section
4.8. Times are compared as logarithms, as they are skewed and worse by a factor. A figure has to be worse by a least
effect too, and its deviation counts as no smaller than what the machine leaves: five runs can be alike by chance.

What of its false alarms and misses was measured is in docs/gate.md.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mcp_chaos.gate.result import Comparison
from mcp_chaos.gate.student_t import quantile
from mcp_chaos.verdict.figures import FIGURES

ALARM_FRACTION = 0.01
FEWEST_RUNS = 5
FEWEST_CALLS = 2
"""One call that fails is no change of a success, however few there were."""


@dataclass(frozen=True)
class Figure:
    """A figure that is compared.

    Args:
        unit: for people.
        is_time: whether it is compared as a logarithm, and more is worse; else less is worse.
        least_effect: by how much it has to be worse: as a fraction for times, else in its own unit.
        least_deviation: what its standard deviation counts as at the least: of the logarithm for times.
        added: to a time before its logarithm, so that next to nothing does not weigh as much as anything.
        counted: for a fraction of calls, the name of the figure that says how many there were.
    """

    unit: str
    is_time: bool
    least_effect: float
    least_deviation: float
    added: float = 0.0
    counted: str = ""

    def scaled(self, value: float) -> float:
        """On the scale of the comparison, on which more is worse."""
        return math.log(max(value + self.added, 1e-9)) if self.is_time else -value

    def original(self, scaled: float) -> float:
        """Back from that scale."""
        return math.exp(scaled) - self.added if self.is_time else -scaled

    def effect(self, value: float, mean: float) -> float:
        """By how much a value is worse than a mean, as ``least_effect`` counts it."""
        return value / mean - 1 if self.is_time and mean > 0 else value - mean if self.is_time else mean - value


_CAPACITY = Figure("users", False, 0.5, 0.25)
_CONTROL = "control_"


def compared_figures() -> dict[str, Figure]:
    """What is compared: of calls outside of faults, on both lanes; the slowest recovery; what a ramp could hold."""
    found = {}
    for name, known in FIGURES.items():
        how, unit = known.regression, "" if known.unit == "fraction" else known.unit
        if how is None:
            continue
        for lane in ("", _CONTROL) if how.on_control else ("",):
            counted = f"{lane}{how.counted}" if how.counted else ""
            is_time = unit in ("ms", "s")
            found[lane + name] = Figure(unit, is_time, how.least_effect, how.least_deviation, how.added, counted)
    return {**found, "capacity_users": _CAPACITY}


WORK, LATE = "machine_work_ms", "machine_late_ms"
"""What the machine's own pulse was."""


def compared(earlier: Sequence[Mapping[str, float]], now: Mapping[str, float]) -> Comparison:
    """Regressions of a run; or doubts, where all of them may be the machine's."""
    found = regressions(earlier, now)
    slower, later_ms = _machine_was(earlier, now)
    corrected = {
        name: max(value / slower - later_ms, 0.0) if name.endswith("_ms") else value for name, value in now.items()
    }
    left = [sentence for name, sentence in found.items() if name in regressions(earlier, corrected)]
    if left or not found:
        return Comparison(left)
    doubt = (
        f"the machine itself was slower than before ({slower - 1:.0%}, and {later_ms:.1f} ms later), which may be why:"
    )
    return Comparison((), [doubt, *found.values()])


def _machine_was(earlier: Sequence[Mapping[str, float]], now: Mapping[str, float]) -> tuple[float, float]:
    """How many times slower the machine was than in earlier runs, and how much later it woke, in milliseconds."""
    work, late = ([run[name] for run in earlier if name in run] for name in (WORK, LATE))
    before_ms = float(np.mean(work)) if work else 0.0
    slower = now[WORK] / before_ms if before_ms > 0 and WORK in now else 1.0
    later_ms = now[LATE] - float(np.mean(late)) if late and LATE in now else 0.0
    return max(1.0, slower), max(0.0, later_ms)


def regressions(earlier: Sequence[Mapping[str, float]], now: Mapping[str, float]) -> dict[str, str]:
    """What of a run is worse than was to be expected after the earlier ones.

    Args:
        earlier: the figures of each earlier run.
        now: those of this one.

    Returns:
        By the name of the figure, what became of it in words.
    """
    figures = compared_figures()
    names = [name for name in figures if name in now and sum(name in run for run in earlier) >= FEWEST_RUNS]
    found = {}
    for name in names:
        figure, values = figures[name], [run[name] for run in earlier if name in run]
        limit = limit_of(figure, values, ALARM_FRACTION / len(names))
        mean = figure.original(float(np.mean([figure.scaled(value) for value in values])))
        if figure.scaled(now[name]) > limit and _tells(figure, now, now[name], mean):
            found[name] = _sentence(name, figure, now[name], mean, figure.original(limit), len(values))
    return found


def _tells(figure: Figure, now: Mapping[str, float], value: float, mean: float) -> bool:
    """Whether it is worse by enough to matter."""
    effect = figure.effect(value, mean)
    calls = now.get(figure.counted, math.inf)
    return effect >= figure.least_effect and (not figure.counted or effect * calls > FEWEST_CALLS - 0.5)


def limit_of(figure: Figure, values: Sequence[float], alarm_fraction: float) -> float:
    """The end of the prediction interval, on the figure's scale."""
    scaled = [figure.scaled(value) for value in values]
    deviation = max(float(np.std(scaled, ddof=1)), figure.least_deviation)
    t = quantile(len(values) - 1, 1 - alarm_fraction)
    return float(np.mean(scaled)) + t * deviation * math.sqrt(1 + 1 / len(values))


def _sentence(name: str, figure: Figure, now: float, mean: float, limit: float, runs: int) -> str:
    unit = f" {figure.unit}" if figure.unit else ""
    direction = "up to" if figure.is_time else "down to"
    return (
        f"regression: {name} is {now:.4g}{unit}, in {runs} earlier runs it was {mean:.4g}{unit}, "
        f"and {direction} {limit:.4g}{unit} was to be expected"
    )

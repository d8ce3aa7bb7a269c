"""Pure: between which two of so many measured values a quantile lies, whatever their distribution.

Of n values the number that are below the q-quantile is binomial (n, q), so that the order statistics whose ranks it
stays between, at a confidence, bound the quantile.
Source: Hahn and Meeker, Statistical Intervals, 5.2.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.99
"""Of each bound."""

LEAST_CONFIDENCE = 0.9
"""Of the largest value as an upper bound, where there are too few values for a better one."""

UNBOUNDED = 1e12
"""An upper bound that so few values do not give; finite, as thresholds calculate with it."""


def quantile_bounds(ordered: NDArray[np.float64], q: float) -> tuple[float, float]:
    """The lower and the upper bound of a quantile, each at 99 % confidence.

    Args:
        ordered: the values, sorted; none is negative, and there is one at least.
        q: 0 to 1; 1 stands for the largest of these very values.

    Returns:
        0 and ``UNBOUNDED`` for bounds that so few values do not give. An upper one may be the largest value at less
        confidence: for the 95 % quantile of 45 to 89 values, 1 - 0.95 ** n.
    """
    if q >= 1:
        return float(ordered[-1]), float(ordered[-1])
    low, high = _ranks(len(ordered), q)
    lower = float(ordered[low - 1]) if low else 0.0
    return lower, float(ordered[high - 1]) if high else UNBOUNDED


@lru_cache(maxsize=256)
def _ranks(count: int, q: float) -> tuple[int, int]:
    """The ranks of the bounds, from 1; 0 where there is none."""
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count + 1)))))
    below = np.arange(count + 1)
    log_mass = logs[count] - logs - logs[::-1] + below * np.log(q) + (count - below) * np.log1p(-q)
    at_most = np.cumsum(np.exp(log_mass))
    low = int(np.searchsorted(at_most, 1 - CONFIDENCE, side="right"))
    high = int(np.searchsorted(at_most, CONFIDENCE, side="left")) + 1
    if high > count:
        high = count if 1 - q**count >= LEAST_CONFIDENCE else 0
    return low, high

"""Quantiles of Student's t distribution.

Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.7.3 and 26.7.4: with a whole number of
degrees of freedom the distribution is a finite sum over powers of the cosine of ``theta = atan(t / sqrt(df))``.
SciPy has it too, and would be most of what an installation weighs.
"""

import math

_BISECTIONS = 60  # as far as a float tells angles of a quarter turn apart


def quantile(degrees_of_freedom: int, probability: float) -> float:
    """The value that a variable of Student's distribution does not exceed with a probability of 0.5 to below 1.

    Args:
        degrees_of_freedom: at least 1.
        probability: from 0.5 to below 1.

    Raises:
        ValueError: one of them is outside of that.
    """
    if degrees_of_freedom < 1 or not 0.5 <= probability < 1:
        raise ValueError(f"no quantile of {probability} with {degrees_of_freedom} degrees of freedom")
    low, high = 0.0, math.pi / 2
    for _ in range(_BISECTIONS):
        theta = (low + high) / 2
        if _within(theta, degrees_of_freedom) < 2 * probability - 1:
            low = theta
        else:
            high = theta
    return math.sqrt(degrees_of_freedom) * math.tan((low + high) / 2)


def _within(theta: float, degrees_of_freedom: int) -> float:
    """The probability of a value between ``-t`` and ``t``."""
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = degrees_of_freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(2 if odd else 1, degrees_of_freedom, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    return (theta + sine * total) * 2 / math.pi if odd else sine * total

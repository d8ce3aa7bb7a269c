"""Pure: when the calls of an open load are due, which of them are one worker's, and when users begin their cycles.

Every worker makes the same row of moments from the same seed and takes every n-th of it, so that the workers share one
schedule without overlap and without talking to each other.
"""

import random
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.load.shape import CycleStep, OpenStep

_NS_PER_S = 1e9
_AT_A_TIME = 65_536
_DRAWN_FRACTION = 0.5


def due_ns(step: OpenStep, seed: int, start_ns: int, share: int = 0, shares: int = 1) -> Iterator[int]:
    """The moments at which one worker's calls are due, in nanoseconds, in order.

    Poisson arrivals have independent, exponentially distributed gaps of mean ``1 / rate``.

    Args:
        step: rate, number of calls, and kind of arrivals.
        seed: of random arrivals.
        start_ns: when the schedule begins.
        share: which worker this is, from 0.
        shares: how many workers there are.
    """
    generator = np.random.default_rng(seed)
    gap_ns = _NS_PER_S / step.rate_per_s
    # Counted from the start: a float that holds all nanoseconds since 1970 is exact to 128 of them only.
    elapsed_ns, made = 0.0, 0
    while made < step.total_requests:
        count = min(_AT_A_TIME, step.total_requests - made)
        if step.poisson:
            moments: NDArray[np.floating] = elapsed_ns + np.cumsum(generator.exponential(gap_ns, count))
            elapsed_ns = float(moments[-1])
        else:
            moments = gap_ns * np.arange(made, made + count)
        first = (share - made) % shares
        yield from (start_ns + moments[first::shares].round().astype(np.int64)).tolist()
        made += count


def begins_after_s(step: CycleStep, seed: int, user: int) -> float:
    """How long after the beginning of a cycle a user begins with its calls; the same in each cycle.

    Each user has a part of the cycle of its own, and begins anywhere in the first half of it: beginnings are spread
    evenly, in no rhythm that a fault could have too, and the last user can be done before the cycle ends.

    Args:
        step: a cycle.
        seed: of the load.
        user: its number among those of all processes.
    """
    drawn = _DRAWN_FRACTION * random.Random(f"{seed}/cycle/{user}").random()
    return step.cycle_s * (user % step.all_users + drawn) / step.all_users

"""Pure: how long calls took.

The time that opening a session takes is no part of the latency of the call that had to wait for it: the first call of
each client would make a baseline look slow, and with it whatever is compared with the baseline.
"""

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.history.calls import Calls, Outcome, Reason

_NS_PER_MS = 1e6


def opening(calls: Calls) -> NDArray[np.bool_]:
    """Which calls of one load had to open a session first, or may have had to.

    Those are the first of each client, those that follow one that failed, and those whose session was renewed.
    """
    order = np.lexsort((calls["intended_ns"], calls["user"], calls["worker"]))
    ordered = calls[order]
    failed = ordered["outcome"] != Outcome.OK
    first = np.ones(len(calls), dtype=bool)
    first[1:] = (ordered["user"][1:] != ordered["user"][:-1]) | (ordered["worker"][1:] != ordered["worker"][:-1])
    after_failure = np.concatenate(([False], failed[:-1])) if len(calls) else first
    result = np.zeros(len(calls), dtype=bool)
    result[order] = first | after_failure | (ordered["reason"] == Reason.SESSION_RENEWED)
    return result


def latencies_ms(calls: Calls, opening: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """The latencies of the successful calls, sorted.

    Args:
        calls: any.
        opening: which of them may have had to open a session. Their time runs from when they were sent; that of the
            others from when they were intended.
    """
    ok = calls["outcome"] == Outcome.OK
    began_ns = calls["intended_ns"] if opening is None else np.where(opening, calls["sent_ns"], calls["intended_ns"])
    times_ms: NDArray[np.float64] = np.sort((calls["done_ns"] - began_ns)[ok] / _NS_PER_MS)
    return times_ms

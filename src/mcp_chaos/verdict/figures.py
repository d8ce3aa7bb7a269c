"""Pure: from a set of calls to its figures.

The time that opening a session takes is no part of the latency of the call that had to wait for it: the first call of
each client would make a baseline look slow, and with it whatever is compared with the baseline.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.history.calls import Calls, Outcome, Reason

_NS_PER_MS = 1e6


@dataclass(frozen=True)
class Figures:
    """What a set of calls looked like. Latencies are of successful calls, in milliseconds, see ``latencies_ms``.

    ``None`` stands for a figure that the calls do not give: no call, or no successful one.

    Args:
        calls: that were made.
        ok_calls: that succeeded.
        failed_calls: that surely did not happen, or were answered by an error.
        unknown_calls: that were sent and lost: nobody knows whether they happened.
        hung_calls: that had no answer before their deadline.
        rate_limited_calls: that were refused by a rate limit (HTTP 429), which is a server's right.
        sessions_lost: sessions that ended and could not be opened anew at once.
        sessions_renewed: sessions that were answered 404 and opened anew at once, as the specification says.
        wrong_answers: that answer another request, or are no answer of the protocol.
        success_fraction: ok_calls of all but rate_limited_calls.
        calls_per_s: answered calls per second.
        p50_ms: of successful calls.
        p95_ms: of successful calls.
        p99_ms: of successful calls.
        max_ms: of successful calls.
        recovery_s: from the first call after a heal until the service is steady; of the slowest heal.
        disturbed_calls: that a fault met: in flight when it struck, not successful, or slower than before.
    """

    calls: int
    ok_calls: int
    failed_calls: int
    unknown_calls: int
    hung_calls: int
    rate_limited_calls: int
    sessions_lost: int
    sessions_renewed: int
    wrong_answers: int
    success_fraction: float | None
    calls_per_s: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    recovery_s: float | None = None
    disturbed_calls: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """All figures by name."""
        return asdict(self)


FIGURE_NAMES = tuple(Figures.__dataclass_fields__)


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


def figures(
    calls: Calls, seconds: float, recovery_s: float | None = None, opening: NDArray[np.bool_] | None = None
) -> Figures:
    """The figures of some calls made in ``seconds`` of time.

    Percentiles are by linear interpolation between order statistics (numpy's default, type 7 of Hyndman and Fan 1996).
    """
    times_ms = latencies_ms(calls, opening)
    p50, p95, p99, longest = (
        [float(q) for q in np.quantile(times_ms, [0.5, 0.95, 0.99, 1.0])] if len(times_ms) else [None] * 4
    )
    reasons = np.bincount(calls["reason"], minlength=len(Reason))
    return Figures(
        calls=len(calls),
        ok_calls=len(times_ms),
        failed_calls=int(np.count_nonzero(calls["outcome"] == Outcome.FAIL)),
        unknown_calls=int(np.count_nonzero(calls["outcome"] == Outcome.INFO)),
        hung_calls=int(reasons[Reason.TIMED_OUT]),
        rate_limited_calls=int(reasons[Reason.RATE_LIMITED]),
        sessions_lost=int(reasons[Reason.SESSION_LOST]),
        sessions_renewed=int(reasons[Reason.SESSION_RENEWED]),
        wrong_answers=int(reasons[Reason.WRONG_ANSWER] + reasons[Reason.WRONG_CONTENT]),
        success_fraction=len(times_ms) / served if (served := len(calls) - int(reasons[Reason.RATE_LIMITED])) else None,
        calls_per_s=len(calls) / seconds if seconds > 0 else None,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=longest,
        recovery_s=recovery_s,
    )

"""Pure: the figures of a set of calls, each with all that is known of it in one place.

The grammar of thresholds, the words of a missed one, tables, charts, exports, comparisons with earlier runs and the
table in ``docs/reference.md`` follow from what a figure says of itself.
"""

from typing import Any

from mcp_chaos.history.calls import Calls, Outcome, Reason
from mcp_chaos.verdict.figure import FIGURES as FIGURES
from mcp_chaos.verdict.figure import Figure, FigureValues, Measurable, OnlyIn, Regression, Shown

Value = float | None


def _latency(name: str, quantile: float, meaning: str, *, words: str, difference: str, **more: Any) -> Figure[Value]:
    return Figure(
        meaning,
        lambda made: made.quantile_ms(quantile),
        unit="ms",
        heading=f"{name} ms",
        words=words,
        difference=difference,
        quantile=quantile,
        **more,
    )


def _success_fraction(made: Measurable) -> Value:
    served = len(made.calls) - made.ended(Reason.RATE_LIMITED)
    return len(made.latencies_ms) / served if served else None


class Figures(FigureValues):
    """What a set of calls looked like, the most telling figures first; ``None`` for one that they do not give."""

    calls = Figure("calls that were made", lambda made: len(made.calls), shown=Shown.EVERYWHERE)
    success_fraction = Figure(
        "the part of the calls that succeeded, without those that a rate limit refused",
        _success_fraction,
        unit="fraction",
        heading="success",
        shown=Shown.EVERYWHERE,
        words="{} of the calls succeeded",
        regression=Regression(0.02, 0.005, counted="calls"),
    )
    hung_calls = Figure(
        "calls that had no answer before their deadline",
        lambda made: made.ended(Reason.TIMED_OUT),
        heading="hung",
        shown=Shown.PAGE | Shown.COMPARISON,
        words="{} of the calls hung until their deadline",
    )
    calls_per_s = Figure[Value](
        "calls that were made per second",
        lambda made: len(made.calls) / made.seconds if made.seconds > 0 else None,
        unit="calls/s",
        shown=Shown.COMPARISON,
    )
    p50_ms = _latency(
        "p50",
        0.5,
        "the latency that half of the successful calls were not above",
        words="half of the calls took longer than {}",
        difference="a call took typically",
        shown=Shown.EVERYWHERE,
        line=("solid", 2.5),
        regression=Regression(0.05, 0.015),
    )
    p95_ms = _latency(
        "p95",
        0.95,
        "the same of 95 % of them",
        words="one call in twenty took longer than {}",
        difference="the slowest call in twenty took",
        shown=Shown.EVERYWHERE,
        line=("dash", 1.75),
        regression=Regression(0.10, 0.03),
    )
    p99_ms = _latency(
        "p99",
        0.99,
        "the same of 99 % of them",
        words="one call in a hundred took longer than {}",
        difference="the slowest call in a hundred took",
        shown=Shown.EVERYWHERE,
        line=("dot", 1.5),
    )
    max_ms = _latency(
        "longest",
        1.0,
        "the longest latency of a successful call",
        words="the slowest call took {}",
        difference="the slowest call took",
        shown=Shown.PAGE,
    )
    recovery_s = Figure[Value](
        "from the first call after a heal until the service was steady again; of the slowest heal",
        lambda made: made.recovery_s,
        unit="s",
        shown=Shown.TERMINAL | Shown.COMPARISON,
        words="the service took {} to become steady again",
        only_in=OnlyIn("recovery", "a recovery comes after a heal"),
        regression=Regression(0.5, 0.1, added=0.25, on_control=False),
    )
    ok_calls = Figure("calls that succeeded", lambda made: made.with_outcome(Outcome.OK))
    failed_calls = Figure(
        "calls that surely did not happen, or were answered by an error",
        lambda made: made.with_outcome(Outcome.FAIL),
        words="{} of the calls failed",
    )
    unknown_calls = Figure(
        "calls that were sent and lost: nobody knows whether they happened",
        lambda made: made.with_outcome(Outcome.INFO),
        words="{} of the calls ended without anybody knowing whether they had happened",
    )
    rate_limited_calls = Figure(
        "calls that a rate limit refused (HTTP 429), which is a server's right",
        lambda made: made.ended(Reason.RATE_LIMITED),
        words="{} of the calls got HTTP 429",
    )
    sessions_lost = Figure(
        "sessions that ended and could not be opened anew at once",
        lambda made: made.ended(Reason.SESSION_LOST),
        words="{} of the calls found their session lost",
    )
    sessions_renewed = Figure(
        "sessions that were answered 404 and opened anew at once, as the specification says",
        lambda made: made.ended(Reason.SESSION_RENEWED),
        words="{} of the calls had to open a session anew",
    )
    wrong_answers = Figure(
        "answers to another request, or that are none of the protocol, or lack what the workload expects",
        lambda made: made.ended(Reason.WRONG_ANSWER, Reason.WRONG_CONTENT),
        words="{} of the calls got a wrong answer",
    )
    disturbed_calls = Figure[int | None](
        "calls that a fault met: in flight when it struck, not successful, or slower than before",
        lambda made: made.disturbed_calls,
        is_of_fault=True,
    )


def figures(calls: Calls, seconds: float, recovery_s: float | None = None) -> Figures:
    """The figures of some calls made in ``seconds`` of time."""
    return Figures.of(Measurable(calls, seconds, recovery_s))

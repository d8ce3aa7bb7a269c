"""Pure: does the server know how it is? What ``/health`` says, against what real calls find at the same time.

Health may lag behind what happens by as long as a recovery may take. Beyond that, and where no fault of the network
lies between the caller and the server, it is wrong when it says in all readings of some seconds that all is well while
every call fails, or that it is not while calls succeed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from mcp_chaos.history.calls import Calls, Outcome, Reason
from mcp_chaos.history.server_samples import SelfReport
from mcp_chaos.verdict.spans import FaultSpan, Segment

MIN_WRONG_S = 2.0
MIN_CALLS = 10

_LAGS = {"baseline": False, "fault": True, "recovery": True}
"""The windows, and whether health may lag behind from their beginning on."""

_SUCCEEDING = 0.99
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True)
class HealthLie:
    """A time in which a server's words were the opposite of what calls found.

    Args:
        window: that it lies in.
        span: from the first such reading to the last.
        said: the server's words.
        calls: that were made meanwhile.
        ok_calls: of these.
    """

    window: str
    span: Segment
    said: str
    calls: int
    ok_calls: int

    @property
    def sentence(self) -> str:
        """It in words."""
        found = f"{self.ok_calls} of {self.calls} calls succeeded" if self.ok_calls else f"none of {self.calls} did"
        return f"for {self.span.seconds:.1f} s /health said '{self.said}' while {found}"


def health_lies(
    reports: Sequence[SelfReport],
    calls: Calls,
    windows: Mapping[str, Sequence[Segment]],
    faults: Sequence[FaultSpan],
    allowed_s: float,
) -> list[HealthLie]:
    """When a server said the opposite of what calls found: those of the loads, and those made to compare at rest.

    A server that has never said that it is well is not judged: its words are about something else than calls.

    Args:
        reports: of the server.
        calls: of the judged loads, all lanes; what a rate limit refused says nothing.
        windows: their stretches of time.
        faults: of the run; while the network is faulted, calls say nothing of the server.
        allowed_s: the time after a heal, or after the coming of a fault, in which health may lag behind.
    """
    told = sorted(reports, key=lambda report: report.at_ns)
    well_ns = next((report.at_ns for report in told if report.healthy), None)
    if well_ns is None:
        return []
    counted = calls[calls["reason"] != Reason.RATE_LIMITED]
    found: list[HealthLie] = []
    for window, lags in _LAGS.items():
        for segment in windows.get(window, ()):
            if window == "fault" and any(_meet(segment, fault.span) for fault in faults if fault.on_network):
                continue  # calls may fail on their way to a server that is well
            begin_ns = max(well_ns, segment.start_ns + (round(allowed_s * _NS_PER_S) if lags else 0))
            inside = [report for report in told if begin_ns <= report.at_ns < segment.end_ns]
            lies = _lies_within(window, inside, counted)
            # Under a fault a server may say that it is not well, and serve as well as it can.
            found += [lie for lie in lies if window != "fault" or not lie.ok_calls]
    healed_ns = max((segment.start_ns for segment in windows.get("recovery", ())), default=0)
    begin_ns = max(well_ns, healed_ns + round(allowed_s * _NS_PER_S))
    return [*found, *_lies_at_rest([report for report in told if report.at_ns >= begin_ns])]


def _meet(one: Segment, other: Segment) -> bool:
    return one.start_ns < other.end_ns and other.start_ns < one.end_ns


def _lies_at_rest(reports: Sequence[SelfReport]) -> list[HealthLie]:
    """Of the readings that were compared with a call of their own, those of a server that is not well and serves it."""
    wrong = [report for report in reports if report.served and report.healthy is False]
    if not wrong or any(report.served is False for report in reports):
        return []
    span = Segment(wrong[0].at_ns, wrong[-1].at_ns)
    if span.seconds < MIN_WRONG_S:
        return []
    return [HealthLie("rest", span, wrong[0].said, len(wrong), len(wrong))]


def _lies_within(window: str, reports: Sequence[SelfReport], calls: Calls) -> list[HealthLie]:
    """Of some readings one after the other, those stretches that are long enough and have calls enough."""
    stretches = [_Stretch(first, second, calls) for first, second in pairwise(reports)]
    lies = []
    for wrong, group in groupby(stretches, key=lambda stretch: stretch.wrong):
        together = list(group)
        span = Segment(together[0].span.start_ns, together[-1].span.end_ns)
        made, ok = (sum(getattr(one, name) for one in together) for name in ("calls", "ok_calls"))
        if wrong and span.seconds >= MIN_WRONG_S and made >= MIN_CALLS:
            lies.append(HealthLie(window, span, together[0].said, made, ok))
    return lies


class _Stretch:
    """The time between two readings: what was said at both ends, and the calls that were due meanwhile."""

    def __init__(self, first: SelfReport, second: SelfReport, calls: Calls) -> None:
        self.span = Segment(first.at_ns, second.at_ns)
        self.said = first.said
        due = calls[(calls["intended_ns"] >= first.at_ns) & (calls["intended_ns"] < second.at_ns)]
        self.calls = len(due)
        self.ok_calls = int(np.count_nonzero(due["outcome"] == Outcome.OK))
        self.wrong = self._is_wrong(first.healthy) if first.healthy == second.healthy else ""

    def _is_wrong(self, healthy: bool | None) -> str:
        """Which way the server's words are wrong; empty where they are not, or calls do not tell."""
        if not self.calls or healthy is None:
            return ""
        if healthy:
            return "" if self.ok_calls else "well"
        return "unwell" if self.ok_calls >= _SUCCEEDING * self.calls else ""

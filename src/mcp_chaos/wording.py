"""A missed threshold as a sentence that a person understands who has never seen one."""

import re

from mcp_chaos.records import LANES
from mcp_chaos.thresholds import Judgement

_WHEN = {
    "baseline": "Before any fault",
    "fault": "While a fault was in place",
    "recovery": "After the faults were gone",
}
_COUNTS = {
    "hung_calls": "hung until their deadline",
    "sessions_lost": "found their session lost",
    "wrong_answers": "got a wrong answer",
    "rate_limited_calls": "were turned away with HTTP 429",
    "failed_calls": "failed",
    "unknown_calls": "ended without anybody knowing whether they had happened",
}
_TIMES = {
    "p50_ms": "half of the calls took longer than",
    "p95_ms": "one call in twenty took longer than",
    "p99_ms": "one call in a hundred took longer than",
    "max_ms": "the slowest call took",
}
_SLOW = {
    "p50_ms": "a call took typically",
    "p95_ms": "the slowest call in twenty took",
    "p99_ms": "the slowest call in a hundred took",
    "max_ms": "the slowest call took",
}
_OTHERS = "for clients that the faults did not touch"
_COMPARISON = re.compile(r"([\w.]+)\s*(<=|<|>=|>|==)\s*[^=]")
_DIFFERENCE = re.compile(r"(p50_ms|p95_ms|p99_ms|max_ms)\s*-\s*control\.\1\s*<=?\s*[^=]")


def plainly(judgement: Judgement) -> str:
    """What a missed threshold says, in plain words; its exact sentence where there are none for it."""
    said = _difference(judgement) or _comparison(judgement) if judgement.outcome == "missed" else ""
    return said or judgement.sentence()


def _difference(judgement: Judgement) -> str:
    """Of a threshold that takes the control lane's latency off."""
    found = _DIFFERENCE.match(judgement.text.removeprefix(f"{judgement.window}."))
    if found is None or judgement.left is None or judgement.right is None:
        return ""
    slower = f"{_SLOW[found[1]]} {judgement.left:.0f} ms longer than {_OTHERS}"
    return f"{_WHEN[judgement.window]}, {slower}, and {judgement.right:.0f} ms were allowed"


def _comparison(judgement: Judgement) -> str:
    """Of a threshold that has one figure on its left."""
    compared = _COMPARISON.match(judgement.text)
    if compared is None:
        return ""
    *prefixes, figure = compared[1].split(".")
    window = next((prefix for prefix in prefixes if prefix in _WHEN), judgement.window)
    aside = f", {_OTHERS}," if LANES.keys() & set(prefixes) == {"control"} else ","
    said = _said(figure, compared[2], judgement.left, judgement.right)
    return f"{_WHEN[window]}{aside} {said}" if said else ""


def _said(figure: str, operator: str, left: float | None, right: float | None) -> str:
    if figure == "recovery_s":
        return "the service never became steady again" if left is None else _recovery(left, right)
    if left is None or right is None:
        return ""
    if figure == "success_fraction":
        more = "more than " if operator == ">" else ""
        return f"{_percent(left)} of the calls succeeded, and {more}{_percent(right)} were asked for"
    if figure in _COUNTS:
        return f"{left:.0f} calls {_COUNTS[figure]}, and {'none' if right == 0 else f'{right:.0f}'} may"
    if figure in _TIMES:
        return f"{_TIMES[figure]} {left:.0f} ms, and {right:.0f} ms were allowed"
    return ""


def _recovery(left: float, right: float | None) -> str:
    allowed = "" if right is None else f", and {right:.3g} s were allowed"
    return f"the service took {left:.3g} s to become steady again{allowed}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"

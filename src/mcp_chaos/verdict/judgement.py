"""What became of a threshold, and its figures in words."""

import math
from dataclasses import dataclass

_WHOLE_FROM = 1000
_MAX_DIGITS = 17


@dataclass(frozen=True)
class Judgement:
    """What became of a threshold.

    Args:
        window: baseline, fault or recovery.
        text: the threshold as written.
        outcome: ``met``, ``missed``, ``no_data``, ``inconclusive`` (there are figures, and they do not decide it), or
            ``not_applicable``: it is about what cannot be seen of the server, and stands in the way of nothing.
        left, right: the two sides as numbers; ``None`` without data.
        missing: the figure that was not measured.
        why: what makes it inconclusive, or not applicable.
        shares: how many of the calls it is about succeeded.
        causes: why the others did not, or what else is behind it.
        assumption: whether it is about what the fault did, not about the server: missed, it leaves the question open.
    """

    window: str
    text: str
    outcome: str
    left: float | None
    right: float | None
    missing: str | None = None
    why: str | None = None
    shares: str | None = None
    causes: str | None = None
    assumption: bool = False

    @property
    def shown(self) -> str:
        """The text for a table."""
        return f"{self.text} (assumed)" if self.assumption else self.text

    @property
    def label(self) -> str:
        """Which threshold it is about."""
        return f"{self.window}: '{self.text}'"

    @property
    def sides(self) -> tuple[str, str]:
        """What was measured and what it was compared with, for people; see ``told_apart``."""
        return told_apart(self.left, self.right)

    def sentence(self) -> str:
        """The judgement in words, for the reasons of a verdict."""
        if self.outcome == "missed" and self.left is None:
            return f"{self.window}: '{self.text}' was missed: the service never became steady again"
        if self.outcome == "no_data":
            return f"{self.window}: '{self.text}' cannot be judged, {self.missing} was not measured"
        if self.outcome == "not_applicable":
            return f"{self.window}: '{self.text}' does not apply: {self.why}"
        if self.outcome == "inconclusive":
            return f"{self.window}: '{self.text}' cannot be judged: {self.why}"
        left, right = self.sides
        against = "" if self.text.endswith(f" {right}") else f" against {right}"
        because = "; " + ": ".join(filter(None, (self.shares, self.causes))) if self.causes else ""
        return f"{self.window}: '{self.text}' was {self.outcome}, at {left}{against}{because}"


def number(value: float | None) -> str:
    """A figure for people: a dash where there is none, *never* for a time that did not end, no power of ten."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "never"
    return f"{value:.4g}" if abs(value) < _WHOLE_FROM else f"{value:.0f}"


def told_apart(left: float | None, right: float | None) -> tuple[str, str]:
    """Two figures for people, with as many digits as it takes to tell them apart."""
    found = number(left), number(right)
    if found[0] != found[1] or left is None or right is None or left == right:
        return found
    for digits in range(5, _MAX_DIGITS + 1):
        found = f"{left:.{digits}g}", f"{right:.{digits}g}"
        if found[0] != found[1]:
            break
    return found

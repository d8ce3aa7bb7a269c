"""What came of a gate, as data; the formats are made from it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mcp_chaos import __version__
from mcp_chaos.errors import (
    EXIT_ABORTED,
    EXIT_FAIL,
    EXIT_INCONCLUSIVE,
    EXIT_INTERNAL,
    EXIT_PASS,
    EXIT_USAGE,
)
from mcp_chaos.gate.item import ExpectedFailure
from mcp_chaos.gate.plan import Plan
from mcp_chaos.verdict.judge import FAIL, INCONCLUSIVE, PASS

ABORTED = "aborted"
ERROR = "error"
NOT_RUN = "not run"
NOT_APPLICABLE = "not applicable"
EXPECTED = "expected failure"
STALE = "stale"
REGRESSED = "regressed"

SCHEMA = 1

_EXIT_CODES = {
    PASS: EXIT_PASS,
    EXPECTED: EXIT_PASS,
    NOT_APPLICABLE: EXIT_PASS,
    FAIL: EXIT_FAIL,
    STALE: EXIT_FAIL,
    REGRESSED: EXIT_FAIL,
    INCONCLUSIVE: EXIT_INCONCLUSIVE,
    NOT_RUN: EXIT_INCONCLUSIVE,
    ABORTED: EXIT_ABORTED,
    ERROR: EXIT_INTERNAL,
}
_GRAVEST_FIRST = (EXIT_INTERNAL, EXIT_ABORTED, EXIT_FAIL, EXIT_USAGE, EXIT_INCONCLUSIVE, EXIT_PASS)
_WORDS = {
    EXIT_INTERNAL: ERROR,
    EXIT_ABORTED: ABORTED,
    EXIT_FAIL: FAIL,
    EXIT_INCONCLUSIVE: INCONCLUSIVE,
    EXIT_PASS: PASS,
}


@dataclass(frozen=True)
class Attempt:
    """One run of an experiment.

    Args:
        verdict: pass, fail, inconclusive, aborted or error.
        reasons: why, the gravest first.
        seconds: how long it took.
        run: its folder; ``None`` when it did not start.
        headline: the gravest reason in plain words; empty for the reason itself.
    """

    verdict: str
    reasons: Sequence[str]
    seconds: float
    run: Path | None
    headline: str = ""


@dataclass(frozen=True)
class Comparison:
    """How a run compares with earlier ones.

    Args:
        regressions: what became worse, in words.
        doubts: why nothing can be said, in words.
        is_new: whether that is for want of earlier runs like it, which the run itself is the first of.
    """

    regressions: Sequence[str] = ()
    doubts: Sequence[str] = ()
    is_new: bool = False


@dataclass(frozen=True)
class ExperimentResult:
    """What came of one experiment.

    Args:
        title: of the experiment.
        path: of its file.
        attempts: its runs, the last of which counts; none when it was not run.
        reason: why it was not run.
        expected_failure: if it was known to fail.
        today: the day on which it was judged, for failures that are put up with for a time.
        compared: with the baseline.
        left_out: what the server lacks that it needs; empty when it applies.
    """

    title: str
    path: Path
    attempts: Sequence[Attempt]
    today: datetime
    reason: str = ""
    expected_failure: ExpectedFailure | None = None
    compared: Comparison = Comparison()
    left_out: str = ""

    @property
    def outcome(self) -> str:
        """Its verdict, in view of what was expected and of the baseline."""
        if self.left_out:
            return NOT_APPLICABLE
        if not self.attempts:
            return NOT_RUN
        verdict = self.attempts[-1].verdict
        if self.expected_failure is not None and verdict == PASS:
            return STALE
        if verdict == FAIL and self._is_put_up_with:
            return EXPECTED
        if verdict == PASS and self.compared.regressions:
            return REGRESSED
        return INCONCLUSIVE if verdict == PASS and self.compared.doubts else verdict

    @property
    def _is_put_up_with(self) -> bool:
        return self.expected_failure is not None and self.today.date() <= self.expected_failure.until

    @property
    def reasons(self) -> list[str]:
        """Why its outcome is what it is, the gravest first; never empty."""
        if not self.attempts:
            return [self.left_out or self.reason]
        found = list(self.attempts[-1].reasons)
        expected = self.expected_failure
        if self.outcome == STALE and expected is not None:
            return [
                f"it was expected to fail ({expected.reason}) and passes: take the expected failure out of the plan",
                *found,
            ]
        if self.outcome == EXPECTED and expected is not None:
            return [f"known until {expected.until}: {expected.reason}", *found]
        if self.outcome == FAIL and expected is not None:
            said = self.attempts[-1].headline or found[0]
            found.insert(0, f"{said}; it was put up with until {expected.until} ({expected.reason})")
        added = [*self.compared.regressions, *self.compared.doubts]
        return [*added, *found] if self.outcome in (REGRESSED, INCONCLUSIVE) else found

    @property
    def headline(self) -> str:
        """The gravest of them in plain words."""
        own = (
            self.attempts
            and self.outcome == self.attempts[-1].verdict
            and self.reasons[0] == self.attempts[-1].reasons[0]
        )
        return (self.attempts[-1].headline if own else "") or self.reasons[0]

    @property
    def seconds(self) -> float:
        """How long all its attempts took."""
        return sum(attempt.seconds for attempt in self.attempts)

    @property
    def exit_code(self) -> int:
        """What the gate would exit with if this were all."""
        return _EXIT_CODES[self.outcome]

    @property
    def run(self) -> Path | None:
        """The folder of the run that counts."""
        return self.attempts[-1].run if self.attempts else None

    def as_dict(self) -> dict[str, Any]:
        """As in the JSON file."""
        expected = self.expected_failure
        return {
            "title": self.title,
            "path": str(self.path),
            "outcome": self.outcome,
            "headline": self.headline,
            "reasons": self.reasons,
            "seconds": round(self.seconds, 3),
            "run": str(self.run) if self.run else None,
            "attempts": [{**asdict(a), "run": str(a.run) if a.run else None} for a in self.attempts],
            "expected_failure": {"reason": expected.reason, "until": str(expected.until)} if expected else None,
            "regressions": list(self.compared.regressions),
        }


@dataclass(frozen=True)
class GateResult:
    """The answer of a gate.

    Args:
        plan: what was asked for.
        experiments: what came of each, in order.
        began: when, UTC.
        seconds: how long all of it took.
    """

    plan: Plan
    experiments: Sequence[ExperimentResult]
    seconds: float
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def exit_code(self) -> int:
        """The gravest of its experiments' exit codes."""
        codes = {e.exit_code for e in self.experiments if e.outcome != NOT_APPLICABLE} or {EXIT_INCONCLUSIVE}
        return next(code for code in _GRAVEST_FIRST if code in codes)

    @property
    def outcome(self) -> str:
        """The answer in a word: pass, fail, inconclusive, aborted or error."""
        return _WORDS[self.exit_code]

    @property
    def sentence(self) -> str:
        """Why, in one sentence: the headline of the first experiment that is as grave as the whole."""
        if self.exit_code == EXIT_PASS:
            known = sum(experiment.outcome == EXPECTED for experiment in self.experiments)
            left_out = sum(experiment.outcome == NOT_APPLICABLE for experiment in self.experiments)
            applied = len(self.experiments) - left_out
            also = f", {known} failed as expected" if known else ""
            also += f", {left_out} not applicable" if left_out else ""
            return f"{applied - known} of {applied} experiments passed{also}"
        if all(experiment.outcome == NOT_APPLICABLE for experiment in self.experiments):
            return "no experiment applies to this server"
        gravest = next(experiment for experiment in self.experiments if experiment.exit_code == self.exit_code)
        return f"{gravest.title}: {gravest.headline}"

    def as_dict(self) -> dict[str, Any]:
        """The JSON file, as in ``result.schema.json``."""
        return {
            "schema": SCHEMA,
            "version": __version__,
            "plan": self.plan.title,
            "began": self.began.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "sentence": self.sentence,
            "experiments": [experiment.as_dict() for experiment in self.experiments],
        }

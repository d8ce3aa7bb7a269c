"""Runs a plan through chaoslib's API, one experiment after the other, in this process.

Each experiment has embedded parts of its own: what one leaves in them must not decide about the next. A server of the
user's own is the same for all.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaoslib.control import load_global_controls
from chaoslib.exceptions import ChaosException, InterruptExecution
from chaoslib.experiment import run_experiment
from chaoslib.settings import load_settings
from chaoslib.types import Schedule, Strategy

from mcp_chaos import control
from mcp_chaos.errors import EXIT_INTERNAL, McpChaosError
from mcp_chaos.gate.plan import Item, Plan
from mcp_chaos.gate.result import ABORTED, ERROR, Attempt, ExperimentResult, GateResult
from mcp_chaos.verdict import FAIL, INCONCLUSIVE, PASS

Comparison = tuple[list[str], list[str]]
"""Regressions, and doubts whether anything can be said of them, in words."""

NOTHING: Comparison = ([], [])

Judge = Callable[[str, Attempt], Comparison]
"""Compares an attempt that passed with a baseline, of the experiment of that title."""


def run_plan(plan: Plan, say: Callable[[str], None], judge: Judge) -> GateResult:
    """Run a checked plan to its end.

    Args:
        plan: to run.
        say: told what comes next, a line at a time.
        judge: compares an attempt that passed with a baseline.
    """
    began, began_s = datetime.now(UTC), time.monotonic()
    gate = _Gate(plan, say, judge)
    with _chaos_toolkit_speaks(), _a_signal_ends_it():
        results = gate.run()
    return GateResult(plan, results, time.monotonic() - began_s, began)


class _Gate:
    """One gate that is run."""

    def __init__(self, plan: Plan, say: Callable[[str], None], judge: Judge) -> None:
        self._plan = plan
        self._say = say
        self._judge = judge
        self._ends_s = time.monotonic() + plan.budget_s if plan.budget_s is not None else None
        self._stopped = ""  # why nothing more is begun

    def run(self) -> list[ExperimentResult]:
        """All experiments in order."""
        results = []
        titles = [item.title() for item in self._plan.items]
        for number, (item, title) in enumerate(zip(self._plan.items, titles, strict=True), 1):
            self._stopped = self._stopped or self._out_of_time()
            if not self._stopped:
                self._say(f"[{number}/{len(self._plan.items)}] {title} ({item.path})")
            attempts, (regressions, doubts) = ([], NOTHING) if self._stopped else self._attempts(item, title)
            result = ExperimentResult(
                title, item.path, attempts, datetime.now(), self._stopped, item.expected_failure, regressions, doubts
            )
            results.append(result)
            if attempts and result.exit_code and self._plan.stop_on_first and not self._stopped:
                self._stopped = f"'{title}' did not pass, and the plan stops on the first that does not"
        return results

    def _attempts(self, item: Item, title: str) -> tuple[list[Attempt], Comparison]:
        """Runs of an experiment until one says something, and how that compares with the baseline."""
        attempts: list[Attempt] = []
        compared = NOTHING
        while len(attempts) <= self._plan.retries:
            attempts.append(self._attempt(item))
            compared = self._judge(title, attempts[-1]) if attempts[-1].verdict == PASS else NOTHING
            if attempts[-1].verdict in (ABORTED, ERROR):
                self._stopped = f"the gate ended with '{attempts[-1].reasons[0]}'"
            unclear = attempts[-1].reasons if attempts[-1].verdict == INCONCLUSIVE else compared[1]
            if not unclear or self._out_of_time():
                break
            if len(attempts) <= self._plan.retries:
                self._say(f"Inconclusive, so it is run again: {unclear[0]}")
        return attempts, compared

    def _attempt(self, item: Item) -> Attempt:
        began_s = time.monotonic()
        control.forget()
        ended_by, broke = "", None
        with _Alarm(self._ends_s) as alarm:
            try:
                _run(item)
            except (KeyboardInterrupt, InterruptExecution):
                ended_by = "it was interrupted"
            except Exception as error:
                broke = error
        seconds = time.monotonic() - began_s
        if ended_by or control.was_signalled():
            ended_by = f"the budget of {self._plan.budget_s:g} s ended it" if alarm.rang else "it was interrupted"
        return self._judged(control.outcome(), ended_by, alarm.rang, broke, seconds)

    def _judged(
        self, outcome: dict[str, Any] | None, ended_by: str, by_budget: bool, broke: Exception | None, seconds: float
    ) -> Attempt:
        """What an attempt came to, from what its control said, and from what ended it or broke."""
        if outcome is not None and "verdict" in outcome:
            attempt = Attempt(
                outcome["verdict"], outcome["reasons"], seconds, Path(outcome["run"]), outcome["headline"]
            )
        elif outcome is not None:
            verdict = ERROR if outcome["exit_code"] == EXIT_INTERNAL else INCONCLUSIVE
            attempt = Attempt(verdict, [outcome["refused"]], seconds, None)
        elif isinstance(broke, McpChaosError | ChaosException) or ended_by:
            attempt = Attempt(INCONCLUSIVE, [str(broke or ended_by)], seconds, None)
        else:
            attempt = Attempt(ERROR, [f"Chaos Toolkit did not run it: {broke!r}"], seconds, None)
        if not ended_by or (by_budget and attempt.verdict in (PASS, FAIL)):
            return attempt
        reasons = [ended_by, *(reason for reason in attempt.reasons if reason != ended_by)]
        return replace(attempt, verdict=INCONCLUSIVE if by_budget else ABORTED, reasons=reasons, headline="")

    def _out_of_time(self) -> str:
        if self._ends_s is not None and time.monotonic() >= self._ends_s:
            return f"the budget of {self._plan.budget_s:g} s was used up"
        if self._plan.window is not None and not self._plan.window.is_open(datetime.now(UTC)):
            return f"it is not the time for it: the plan's window is {self._plan.window}"
        return ""


class _Alarm:
    """Ends the run that goes on when the budget is used up, as SIGTERM would: healed, judged and reported."""

    def __init__(self, ends_s: float | None) -> None:
        self.rang = False
        self._timer = threading.Timer(max(0.0, ends_s - time.monotonic()), self._ring) if ends_s is not None else None

    def __enter__(self) -> "_Alarm":
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self.rang = True
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _chaos_toolkit_speaks() -> Iterator[None]:
    """Its log on stderr, as ``chaos run`` has it."""
    logger = logging.getLogger("chaostoolkit")
    before = logger.level, logger.propagate
    handler = logging.StreamHandler()
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("[%(asctime)s %(levelname)s] %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _run(item: Item) -> dict[str, Any]:
    """One run of an experiment, as ``chaos run`` makes it; its journal."""
    experiment = item.load()
    settings = load_settings() or {}
    load_global_controls(settings)  # each run takes them down at its end
    own, runtime = experiment.get("runtime") or {}, settings.setdefault("runtime", {})
    for what in ("rollbacks", "hypothesis"):
        runtime[what] = {"strategy": "default", **(runtime.get(what) or {}), **(own.get(what) or {})}
    strategy = Strategy.from_string(runtime["hypothesis"]["strategy"])
    # chaoslib takes what it uses out of the mapping
    variables: tuple[dict[str, Any], dict[str, Any]] = (dict(item.configuration), {})
    return dict(run_experiment(experiment, settings, variables, strategy, Schedule()))


@contextmanager
def _a_signal_ends_it() -> Iterator[None]:
    """Between runs SIGTERM ends the gate as Ctrl-C does; in a run, Chaos Toolkit takes both."""

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

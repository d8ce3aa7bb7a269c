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
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaoslib.control import load_global_controls
from chaoslib.experiment import run_experiment
from chaoslib.settings import load_settings
from chaoslib.types import Schedule, Strategy

from mcp_chaos.control import OUTCOME
from mcp_chaos.errors import EXIT_ABORTED, EXIT_INTERNAL
from mcp_chaos.gate.plan import Item, Plan
from mcp_chaos.gate.result import ABORTED, ERROR, Attempt, ExperimentResult, GateResult
from mcp_chaos.verdict import INCONCLUSIVE, PASS

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
    load_global_controls(load_settings() or {})
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
        for number, item in enumerate(self._plan.items, 1):
            title = item.title()
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
            try:
                attempts.append(self._attempt(item))
                compared = self._judge(title, attempts[-1]) if attempts[-1].verdict == PASS else NOTHING
            except KeyboardInterrupt:  # between runs; in one, Chaos Toolkit takes it
                attempts.append(Attempt(ABORTED, ["it was interrupted"], 0.0, None))
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
        with _Alarm(self._ends_s) as alarm:
            journal = _run(item)
        seconds = time.monotonic() - began_s
        outcome = journal.get(OUTCOME) or {"refused": "Chaos Toolkit did not run it", "exit_code": EXIT_INTERNAL}
        if "refused" in outcome:
            code = outcome["exit_code"]
            verdict = {EXIT_INTERNAL: ERROR, EXIT_ABORTED: ABORTED}.get(code, INCONCLUSIVE)
            return Attempt(verdict, [outcome["refused"]], seconds, None)
        verdict, reasons = outcome["verdict"], list(outcome["reasons"])
        if alarm.rang:
            reasons.insert(0, f"the budget of {self._plan.budget_s:g} s ended it")
        elif outcome["hurried"]:
            verdict = ABORTED
        headline = outcome["headline"] if reasons == outcome["reasons"] else ""
        return Attempt(verdict, reasons, seconds, Path(outcome["run"]), headline)

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

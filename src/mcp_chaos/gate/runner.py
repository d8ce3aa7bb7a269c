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
from chaoslib.types import Dry, Schedule, Strategy

from mcp_chaos import control
from mcp_chaos.errors import EXIT_ABORTED, EXIT_INTERNAL, McpChaosError
from mcp_chaos.gate.item import Item
from mcp_chaos.gate.plan import Plan
from mcp_chaos.gate.result import ABORTED, ERROR, Attempt, Comparison, ExperimentResult, GateResult
from mcp_chaos.verdict.judge import FAIL, INCONCLUSIVE, PASS

_INTERRUPTED = "it was interrupted"

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
    with _chaos_toolkit_speaks(), _Signals() as signals:
        results = _Gate(plan, say, judge, signals).run()
    return GateResult(plan, results, time.monotonic() - began_s, began)


class _Gate:
    """One gate that is run."""

    def __init__(self, plan: Plan, say: Callable[[str], None], judge: Judge, signals: "_Signals") -> None:
        self._plan = plan
        self._say = say
        self._judge = judge
        self._signals = signals
        self._ends_s = time.monotonic() + plan.budget_s if plan.budget_s is not None else None
        self._stopped = ""  # why nothing more is begun

    def run(self) -> list[ExperimentResult]:
        """All experiments in order."""
        results = []
        titles = [item.title() for item in self._plan.items]
        for number, (item, title) in enumerate(zip(self._plan.items, titles, strict=True), 1):
            self._stopped = self._stopped or self._out_of_time()
            attempts: list[Attempt] = []
            compared = Comparison()
            left_out = "" if self._stopped or self._signals.came else self._plan.left_out(item)
            if left_out:
                self._say(f"[{number}/{len(self._plan.items)}] {title}: not applicable, {left_out}")
            elif not self._stopped and self._signals.came:
                attempts = [Attempt(ABORTED, [f"{_INTERRUPTED} before it began"], 0.0, None)]
                self._stop_after(attempts[0])
            elif not self._stopped:
                self._say(f"[{number}/{len(self._plan.items)}] {title} ({item.path})")
                attempts, compared = self._attempts(item, title)
            result = ExperimentResult(
                title, item.path, attempts, datetime.now(), self._stopped, item.expected_failure, compared, left_out
            )
            results.append(result)
            if attempts and result.exit_code and self._plan.stop_on_first and not self._stopped:
                self._stopped = f"'{title}' did not pass, and the plan stops on the first that does not"
        return results

    def _attempts(self, item: Item, title: str) -> tuple[list[Attempt], Comparison]:
        """Runs of an experiment until one says something, and how that compares with the baseline."""
        attempts: list[Attempt] = []
        compared = Comparison()
        while len(attempts) <= self._plan.retries:
            attempts.append(self._attempt(item))
            compared = self._compared(title, attempts[-1]) if attempts[-1].verdict == PASS else Comparison()
            if attempts[-1].verdict in (ABORTED, ERROR):
                self._stop_after(attempts[-1])
            unclear = attempts[-1].reasons if attempts[-1].verdict == INCONCLUSIVE else compared.doubts
            if not unclear or compared.is_new or self._out_of_time() or self._signals.came:
                break
            if len(attempts) <= self._plan.retries:
                self._say(f"Inconclusive, so it is run again: {unclear[0]}")
        return attempts, compared

    def _stop_after(self, attempt: Attempt) -> None:
        self._stopped = f"the gate ended with '{attempt.reasons[0]}'"

    def _compared(self, title: str, attempt: Attempt) -> Comparison:
        """How an attempt compares with the baseline; what goes wrong there must not cost the results of the gate."""
        try:
            return self._judge(title, attempt)
        except McpChaosError as error:
            return Comparison((), [f"it could not be compared with the baseline: {error}"])
        except Exception as error:
            return Comparison((), [f"it could not be compared with the baseline, a bug of mcp_chaos: {error!r}"])

    def _attempt(self, item: Item) -> Attempt:
        began_s = time.monotonic()
        control.forget()
        ended, broke = False, None
        with _Alarm(self._ends_s) as alarm:
            try:
                with self._signals.ending_a_run():
                    _run(item)
            except (KeyboardInterrupt, InterruptExecution):
                ended = True
            except Exception as error:
                broke = error
        seconds = time.monotonic() - began_s
        stopped = (control.outcome() or {}).get("exit_code") == EXIT_ABORTED  # while it was prepared
        ended = ended or stopped or control.was_signalled() or self._signals.came or alarm.rang
        if alarm.rang:
            self._signals.came = False  # it was ours
        by = f"the budget of {self._plan.budget_s:g} s ended it" if alarm.rang else _INTERRUPTED
        return self._judged(control.outcome(), by if ended else "", alarm.rang, broke, seconds)

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
        self._over = False
        self._lock = threading.Lock()  # it must not ring for a run that has ended
        self._timer = threading.Timer(max(0.0, ends_s - time.monotonic()), self._ring) if ends_s is not None else None

    def __enter__(self) -> "_Alarm":
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._over = True
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        with self._lock:
            if not self._over:
                self.rang = True
                os.kill(os.getpid(), signal.SIGTERM)


class _Signals:
    """SIGINT and SIGTERM: a run ends by them, where Chaos Toolkit has not taken them; between runs they are remembered.

    So what was found up to then is told, whenever they come.
    """

    def __init__(self) -> None:
        self.came = False
        self._in_a_run = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "_Signals":
        self._before = {number: signal.signal(number, self._take) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def ending_a_run(self) -> Iterator[None]:
        """In its block a signal is an exception."""
        try:
            self._in_a_run = True
            if self.came:  # a moment ago
                raise KeyboardInterrupt
            yield
        finally:
            self._in_a_run = False

    def _take(self, *_: object) -> None:
        self.came = True
        if self._in_a_run:
            raise KeyboardInterrupt


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
    own = [str(item.toolkit_settings)] if item.toolkit_settings is not None else []
    settings = load_settings(*own) or {}
    load_global_controls(settings)  # each run takes them down at its end
    experiment["dry"] = Dry.from_string(experiment.get("dry"))
    declared, runtime = experiment.get("runtime") or {}, settings.setdefault("runtime", {})
    for what in ("rollbacks", "hypothesis"):
        runtime[what] = {"strategy": "default", **(runtime.get(what) or {}), **(declared.get(what) or {})}
    strategy = Strategy.from_string(runtime["hypothesis"]["strategy"])
    # chaoslib takes what it uses out of the mapping
    variables: tuple[dict[str, Any], dict[str, Any]] = (dict(item.configuration), {})
    return dict(run_experiment(experiment, settings, variables, strategy, Schedule()))

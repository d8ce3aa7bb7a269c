"""The control of an experiment: starts the run, sees what Chaos Toolkit overlooks, and gives the verdict.

Chaos Toolkit exits 0 in seven cases that must fail a gate. This control sets the journal's ``deviated``, for which
``chaos run`` exits 1, whenever the verdict is not *pass*; and it raises ``InterruptExecution`` from its own hooks, the
only way to abort a run, when the run cannot start or was told to stop by a signal that an activity swallowed.
"""

import logging
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chaoslib.exceptions import InterruptExecution

from mcp_chaos import run as runs
from mcp_chaos.errors import McpChaosError
from mcp_chaos.history import History, RunFolder
from mcp_chaos.preflight import check, missing_controls
from mcp_chaos.report.terminal import render
from mcp_chaos.settings import resolve
from mcp_chaos.verdict import PASS, judge

logger = logging.getLogger("chaostoolkit")

_FAILED_CONTROL = re.compile(r"(Before|After)-control '(.*)' failed")
_FAILED_SETUP = re.compile(r"Control initialization '(.*)' failed")
_CLEAR_LINE = "\r\x1b[2K"


class _ControlWatch(logging.Handler):
    """Hears of controls that raised: Chaos Toolkit tells nobody but its debug log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.failed: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a control that failed."""
        message = record.getMessage()
        match = _FAILED_CONTROL.match(message) or _FAILED_SETUP.match(message)
        if match:
            error = record.exc_info[1] if record.exc_info else None
            self.failed.append((match[match.lastindex or 1], str(error or "no reason was given")))


class _CleanLine(logging.Handler):
    """Wipes the progress line off the terminal before a log line is written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Wipe."""
        sys.stderr.write(_CLEAR_LINE)


_watch: _ControlWatch | None = None
_level_before = logging.NOTSET


def configure_control(experiment: dict[str, Any]) -> None:
    """Chaos Toolkit is setting its controls up: listen for those that fail.

    Args:
        experiment: ignored.
    """
    global _watch, _level_before
    _watch = _ControlWatch()
    _level_before = logger.level
    # Its handlers keep levels of their own, so nothing more is shown or filed by this.
    logger.setLevel(logging.DEBUG)
    logger.addHandler(_watch)
    if sys.stderr.isatty():
        logger.handlers.insert(0, _CleanLine())


def before_experiment_control(
    context: dict[str, Any], configuration: dict[str, Any], experiment: dict[str, Any]
) -> None:
    """Check everything, then start the run.

    Raises:
        InterruptExecution: something is wrong; nothing was touched, nothing is left running.
    """
    try:
        settings = resolve(configuration)
        thresholds = check(experiment, configuration, settings)
        run = runs.Run(settings, str(experiment.get("title", "experiment")), thresholds, logger.info)
        runs.begin(run)
        for name in missing_controls(experiment):
            run.event("control_missing", name=name)
    except McpChaosError as error:
        raise InterruptExecution(str(error)) from None
    except InterruptExecution:
        raise
    except Exception as error:
        logger.debug("mcp_chaos could not start the run", exc_info=True)
        raise InterruptExecution(
            f"mcp_chaos has a bug: {error!r}. Nothing was left running; please report it."
        ) from error


def after_method_control(context: dict[str, Any], state: Any) -> None:
    """The method was played to its end, or was left."""
    runs.current().event("method_ended")


def after_activity_control(context: dict[str, Any], state: Any) -> None:
    """Stop for real when a signal was swallowed by the activity it hit.

    Raises:
        InterruptExecution: it was.
    """
    failed = isinstance(state, dict) and state.get("status") == "failed"
    if failed and "SIGTERM signal received" in "".join(state.get("exception") or []):
        raise InterruptExecution("SIGTERM came while an activity ran; the run stops here")


def after_experiment_control(context: dict[str, Any], state: dict[str, Any]) -> None:
    """Heal, judge, report. Sets ``deviated`` unless the verdict is *pass*."""
    with _undisturbed():
        state["deviated"] = True  # until proven otherwise
        try:
            run = runs.current()
        except McpChaosError:
            return  # it did not start; the reason has been told
        try:
            _record_journal(run, state)
            runs.end()
            state["deviated"] = not _give_verdict(run.folder, state)
        except McpChaosError as error:
            logger.error(str(error))
        except Exception as error:
            logger.error(
                f"mcp_chaos has a bug: {error!r}. The history of the run is in {run.folder.path}; please report it."
            )
            logger.debug("judging failed", exc_info=True)


def cleanup_control() -> None:
    """The last word of Chaos Toolkit: nothing may be left, whatever happened."""
    with _undisturbed():
        runs.end()
        if _watch is not None:
            logger.removeHandler(_watch)
            logger.setLevel(_level_before)
        for handler in [h for h in logger.handlers if isinstance(h, _CleanLine)]:
            logger.removeHandler(handler)


def _record_journal(run: runs.Run, journal: dict[str, Any]) -> None:
    """Put into the history what the journal knows and the verdict has to."""
    for name, error in _watch.failed if _watch else []:
        run.event("control_failed", name=name, error=error)
    states = journal.get("steady_states") or {}
    for when, checks in (
        ("before", [states.get("before")]),
        ("during", states.get("during") or []),
        ("after", [states.get("after")]),
    ):
        for state in checks:
            if state:
                _record_hypothesis(run, when, state)
    for entry in [*(journal.get("run") or []), *(journal.get("rollbacks") or [])]:
        if entry.get("status") == "failed":
            run.event("activity_failed", name=entry["activity"].get("name"), error=_last_line(entry.get("exception")))
    if journal.get("status") in ("interrupted", "aborted"):
        run.event("interrupted", why=f"Chaos Toolkit's status is '{journal['status']}'")


def _record_hypothesis(run: runs.Run, when: str, state: dict[str, Any]) -> None:
    run.event("hypothesis_checked", when=when)
    if not state.get("steady_state_met"):
        missed = (state.get("probes") or [{}])[-1]
        name = missed.get("activity", {}).get("name", "no probe")
        output = f", it gave {missed.get('output')!r}" if missed.get("status") == "succeeded" else ""
        run.event("hypothesis_missed", when=when, probe=f"'{name}'{output}")


def _last_line(exception: Any) -> str:
    lines = "".join(exception or []).strip().splitlines()
    return re.sub(r"^[\w.]*(Error|Failed|Execution|Exception): ", "", lines[-1]) if lines else "no reason was given"


def _give_verdict(folder: RunFolder, journal: dict[str, Any]) -> bool:
    """Judge the run from its files, write and print the verdict; whether it is *pass*."""
    verdict = judge(History.read(folder))
    folder.write("verdict.json", verdict.as_dict())
    (folder.path / "report.txt").write_text(render(verdict, colour=False), encoding="utf-8")
    folder.write("journal.json", {**journal, "deviated": verdict.verdict != PASS})
    width = shutil.get_terminal_size((120, 24)).columns
    sys.stdout.write(
        render(verdict, colour=sys.stdout.isatty(), width=max(80, width)) + f"\nThe run is kept in {folder.path}\n"
    )
    sys.stdout.flush()
    return verdict.verdict == PASS


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let healing and taking down finish: a signal in the middle of it waits until they are done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = {
        number: signal.signal(number, lambda n, _: waiting.append(n)) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if waiting:
        os.kill(os.getpid(), waiting[0])

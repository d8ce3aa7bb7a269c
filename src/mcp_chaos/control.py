"""The control of an experiment: starts the run, sees what Chaos Toolkit overlooks, and gives the verdict.

Chaos Toolkit exits 0 in seven cases that must fail a gate. This control sets the journal's ``deviated``, for which
``chaos run`` exits 1, whenever the verdict is not *pass*; and it raises ``InterruptExecution`` from its own hooks, the
only way to abort a run, when the run cannot start or was told to stop by a signal that an activity swallowed.
"""

import json
import logging
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import orjson
from chaoslib import substitute
from chaoslib.exceptions import InterruptExecution
from chaoslib.hypothesis import within_tolerance

from mcp_chaos import run as runs
from mcp_chaos.errors import EXIT_ABORTED, EXIT_INCONCLUSIVE, EXIT_INTERNAL, McpChaosError
from mcp_chaos.given import Given
from mcp_chaos.history import History, RunFolder
from mcp_chaos.journal_facts import failed_actions, left_out, stop_in
from mcp_chaos.preflight import check_run, missing_controls
from mcp_chaos.report.progress import CLEAR_LINE
from mcp_chaos.report.terminal import render
from mcp_chaos.settings import command_line
from mcp_chaos.verdict import PASS, Verdict, judge

logger = logging.getLogger("chaostoolkit")

OUTCOME = "mcp_chaos"
"""The journal's key for what came of a run: ``run``, ``verdict``, ``headline``, ``reasons``.

Where no run was made: ``refused``, the message, and ``exit_code``.
"""

_STOPPED_BEFORE = "it was stopped before it began, and nothing was touched: "
_BY_SOMEBODY = "another control did that, without a word"

_FAILED_CONTROL = re.compile(r"(Before|After)-control '(.*)' failed")
_FAILED_SETUP = re.compile(r"Control initialization '(.*)' failed")


class _LogWatch(logging.Handler):
    """Hears what Chaos Toolkit tells nobody but its log: controls that raised, and a SIGTERM that may be swallowed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.failed: list[tuple[str, str]] = []
        self.terminated = False
        self.stops: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take note."""
        message = record.getMessage()
        self.terminated = self.terminated or message.startswith("Caught SIGTERM signal")
        if stop := stop_in(record):
            self.stops.append(stop)
        match = _FAILED_CONTROL.match(message) or _FAILED_SETUP.match(message)
        if match:
            error = record.exc_info[1] if record.exc_info else None
            self.failed.append((match[match.lastindex or 1], str(error or "no reason was given")))


class _CleanLine(logging.Handler):
    """Wipes the progress line off the terminal before a log line is written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Wipe."""
        sys.stderr.write(CLEAR_LINE)


_watch: _LogWatch | None = None
_in_method = False
_outcome: dict[str, Any] | None = None
_signalled = False
_handlers_before: dict[int, Any] = {}
_level_before = logging.NOTSET


def configure_control() -> None:
    """Chaos Toolkit is setting its controls up: listen for those that fail."""
    global _watch, _level_before
    forget()
    _watch = _LogWatch()
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
        given = Given.to_chaos_run()
        unused = given.problems([str(key) for key in experiment.get("configuration") or {}])
        configuration = given.over(configuration)
        settings, thresholds = check_run(experiment, configuration, unused)
        missing = missing_controls(experiment)
        run = runs.Run(settings, str(experiment.get("title", "experiment")), thresholds, logger.info)
        numbers = {key: value for key, value in configuration.items() if isinstance(value, int | float)}
        run.describe(command=command_line(configuration), numbers=numbers)
        _hurry_on_signals(run)
        runs.begin(run)
        if left_out(experiment):
            run.event("dry_run", left_out=left_out(experiment))
        for name in missing:
            run.event("control_missing", name=name)
    except McpChaosError as error:
        _refuse(str(error), error.exit_code)
        raise InterruptExecution(str(error)) from None
    except InterruptExecution as error:
        _refuse(str(error), EXIT_ABORTED)
        raise
    except Exception as error:
        logger.debug("mcp_chaos could not start the run", exc_info=True)
        message = f"mcp_chaos has a bug: {error!r}. Nothing was left running; please report it."
        _refuse(message, EXIT_INTERNAL)
        raise InterruptExecution(message) from error


def before_method_control(context: dict[str, Any]) -> None:
    """The method begins; from here on a swallowed SIGTERM is acted upon."""
    global _in_method
    _in_method = True


def after_method_control(context: dict[str, Any], state: Any) -> None:
    """The method was played to its end, or was left."""
    global _in_method
    _in_method = False
    runs.current().event("method_ended")


def before_rollback_control(context: dict[str, Any]) -> None:
    """Rollbacks are played also where another control stopped the experiment before the run could begin."""
    try:
        runs.current()
    except McpChaosError:
        runs.refuse()


def before_activity_control(context: dict[str, Any]) -> None:
    """Stop for real when a signal was swallowed by what it hit.

    Raises:
        InterruptExecution: it was. Rollbacks are still played.
    """
    on_main_thread = threading.current_thread() is threading.main_thread()
    if _in_method and on_main_thread and _watch is not None and _watch.terminated:
        raise InterruptExecution("SIGTERM came while an activity ran, which swallowed it; the run stops here")


def after_activity_control(context: dict[str, Any], state: Any) -> None:
    """As before an activity; so a signal does not wait for the next one.

    Raises:
        InterruptExecution: a signal was swallowed.
    """
    before_activity_control(context)
    with suppress(McpChaosError):
        runs.current().note_reason(str(context.get("name")))


def after_experiment_control(
    context: dict[str, Any], state: dict[str, Any], configuration: dict[str, Any] | None = None
) -> None:
    """Heal, judge, report. Sets ``deviated`` unless the verdict is *pass*."""
    with undisturbed():
        state["deviated"] = True  # until proven otherwise
        try:
            run = runs.current()
        except McpChaosError:
            if _outcome is None:
                stopped = _STOPPED_BEFORE + _why_stopped(_BY_SOMEBODY)
                logger.error(f"The verdict is 'inconclusive': {stopped}")
                _end_in(state, refused=stopped, exit_code=EXIT_INCONCLUSIVE)
            else:
                _end_in(state, **_outcome)
            return  # it did not start; the reason has been told
        try:
            _record_journal(run, state)
            _record_judged_probes(run, state, configuration or {})
            runs.end()
            verdict = judge(History.read(run.folder))
            state["deviated"] = verdict.verdict != PASS
            _end_in(
                state,
                run=str(run.folder.path),
                verdict=verdict.verdict,
                headline=verdict.headline,
                reasons=verdict.reasons,
            )
            _tell(run.folder, verdict, state)
        except McpChaosError as error:
            _end_in(state, refused=str(error), exit_code=error.exit_code)
            logger.error(str(error))
        except Exception as error:
            state["deviated"] = True
            message = f"mcp_chaos has a bug: {error!r}. The run is kept in {run.folder.path}; please report it."
            _end_in(state, refused=message, exit_code=EXIT_INTERNAL)
            logger.error(message)
            logger.debug("judging failed", exc_info=True)


def cleanup_control() -> None:
    """The last word of Chaos Toolkit: nothing may be left, whatever happened."""
    with undisturbed():
        runs.end()
        if _watch is not None:
            logger.removeHandler(_watch)
            logger.setLevel(_level_before)
        for line in [h for h in logger.handlers if isinstance(h, _CleanLine)]:
            logger.removeHandler(line)
    for number, handler in _handlers_before.items():
        signal.signal(number, handler)
    _handlers_before.clear()


def forget() -> None:
    """Forget what came of the last experiment of this process."""
    global _outcome, _signalled
    _outcome, _signalled = None, False


def outcome() -> dict[str, Any] | None:
    """What came of the last experiment, as in the journal; ``None`` where this control was never asked."""
    return _outcome


def was_signalled() -> bool:
    """Whether a signal told the last experiment to end, if only while it was healed or judged."""
    return _signalled


def _refuse(message: str, exit_code: int) -> None:
    global _outcome
    runs.refuse()
    _outcome = {"refused": message, "exit_code": exit_code}


def _end_in(journal: dict[str, Any], **outcome: Any) -> None:
    global _outcome
    journal[OUTCOME] = _outcome = outcome


def _hurry_on_signals(run: runs.Run) -> None:
    """Chaos Toolkit waits for background activities before it rolls back: on a signal they are told to end."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number) or signal.SIG_DFL
        _handlers_before[number] = before

        def hurry(n: int, frame: Any, before: Any = before) -> None:
            global _signalled
            _signalled = True
            run.hurry()
            if callable(before):
                before(n, frame)

        signal.signal(number, hurry)


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
            run.event(
                "activity_failed", name=str(entry["activity"].get("name")), error=_last_line(entry.get("exception"))
            )
    for name, error in failed_actions(journal):
        run.event("activity_failed", name=name, error=error)
    if journal.get("status") in ("interrupted", "aborted"):
        run.event("interrupted", why=_why_stopped(f"Chaos Toolkit's status is '{journal['status']}'"))
    elif _watch is not None and _watch.terminated:
        run.event("interrupted", why="SIGTERM came and was swallowed")


def _why_stopped(otherwise: str) -> str:
    """Who or what stopped the run first."""
    return _watch.stops[0] if _watch is not None and _watch.stops else otherwise


def _record_judged_probes(run: runs.Run, journal: dict[str, Any], configuration: dict[str, Any]) -> None:
    """A probe of the method that has a tolerance is judged by it, which Chaos Toolkit leaves out."""
    for entry in journal.get("run") or []:
        activity = entry.get("activity") or {}
        if activity.get("tolerance") is None or entry.get("status") != "succeeded":
            continue
        if entry.get("output") is None and left_out(journal.get("experiment") or {}):
            continue  # it was not made
        tolerance = activity["tolerance"]
        if isinstance(tolerance, str):
            tolerance = substitute(tolerance, configuration, {})
        if not within_tolerance(tolerance, entry.get("output"), configuration, {}):
            name = str(activity.get("name"))
            why = run.reasons.get(name) or f"it gave {entry.get('output')!r}"
            run.event("probe_missed", name=name, why=why)


def _record_hypothesis(run: runs.Run, when: str, state: dict[str, Any]) -> None:
    run.event("hypothesis_checked", when=when)
    if not state.get("steady_state_met"):
        missed = (state.get("probes") or [{}])[-1]
        name = missed.get("activity", {}).get("name", "no probe")
        output = f", it gave {missed.get('output')!r}" if missed.get("status") == "succeeded" else ""
        if when == "after" and run.reasons.get(str(name)):
            output = f": {run.reasons[name]}"
        run.event("hypothesis_missed", when=when, probe=f"'{name}'{output}")


def _last_line(exception: Any) -> str:
    """What an activity's exception says, without the names of the classes it went through."""
    text = str(exception[-1]).strip() if isinstance(exception, list) and exception else ""
    return re.sub(r"^(\w+\.[\w.]+: )+", "", text) or "no reason was given"


def _tell(folder: RunFolder, verdict: Verdict, journal: dict[str, Any]) -> None:
    """Keep the verdict and the journal, and print the report; the verdict stands, whatever becomes of that."""
    for act in (partial(_report, folder, verdict), partial(_keep_journal, folder, journal)):
        try:
            act()
        except Exception as error:  # a disk that is full, or whatever an activity returned
            logger.error(f"The verdict is '{verdict.verdict}'; its report could not be written everywhere ({error!r}).")


def _report(folder: RunFolder, verdict: Verdict) -> None:
    """Write and print the verdict."""
    folder.write("verdict.json", verdict.as_dict())
    (folder.path / "report.txt").write_text(render(verdict, colour=False), encoding="utf-8", errors="replace")
    width = max(80, shutil.get_terminal_size((120, 24)).columns)
    text = render(verdict, colour=sys.stdout.isatty(), width=width)
    text += f"\nThe run is kept in {folder.path} (mcp-chaos report makes a page of it)\n"
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _keep_journal(folder: RunFolder, journal: dict[str, Any]) -> None:
    """Keep Chaos Toolkit's journal with the run; what activities returned may be anything."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    try:
        text = orjson.dumps(journal, default=str, option=options)
    except TypeError:  # an integer of more than 64 bits, half a character: JSON has them, orjson does not
        text = json.dumps(journal, default=str, indent=2, skipkeys=True).encode()
    (folder.path / "journal.json").write_bytes(text)


@contextmanager
def undisturbed() -> Iterator[None]:
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

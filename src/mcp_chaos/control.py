"""The control of an experiment: starts the run, sees what Chaos Toolkit overlooks, and gives the verdict.

Chaos Toolkit exits 0 in seven cases that must fail a gate. This control sets the journal's ``deviated``, for which
``chaos run`` exits 1, whenever the verdict is not *pass*; and it raises ``InterruptExecution`` from its own hooks, the
only way to abort a run, when the run cannot start or was told to stop by a signal that an activity swallowed.
"""

import json
import logging
import os
import signal
import threading
from contextlib import suppress
from functools import partial
from typing import Any

import orjson
from chaoslib.exceptions import InterruptExecution

from mcp_chaos.config.command_line import command_line
from mcp_chaos.errors import EXIT_ABORTED, EXIT_INCONCLUSIVE, EXIT_INTERNAL, McpChaosError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History
from mcp_chaos.machine.printable import printable
from mcp_chaos.machine.signals import undisturbed
from mcp_chaos.machine.streams import has_colours, is_terminal, repair_streams, tell, width
from mcp_chaos.report.terminal import render
from mcp_chaos.run import current as runs
from mcp_chaos.run.run import Run
from mcp_chaos.toolkit.given import Given
from mcp_chaos.toolkit.journal import record_journal, record_judged_probes
from mcp_chaos.toolkit.journal_facts import left_out
from mcp_chaos.toolkit.log import CleanLine, LogWatch, Printable
from mcp_chaos.toolkit.preflight import advice, assumptions, check_run, missing_controls
from mcp_chaos.verdict.judge import FAIL, INCONCLUSIVE, PASS, Verdict, judge

logger = logging.getLogger("chaostoolkit")

OUTCOME = "mcp_chaos"
"""The journal's key for what came of a run: ``run``, ``verdict``, ``headline``, ``reasons``.

Where no run was made: ``refused``, the message, and ``exit_code``.
"""

_STOPPED_BEFORE = "it was stopped before it began, and nothing was touched: "
_BY_SOMEBODY = "another control did that, without a word"

_REPEAT_AFTER_S = 1.5
_POLL_S = 0.25

_LEVELS = {PASS: logging.INFO, INCONCLUSIVE: logging.WARNING, FAIL: logging.ERROR}
_PRINTABLE = Printable()
_watch: LogWatch | None = None
_in_method = False
_outcome: dict[str, Any] | None = None
_signalled = False
_over = threading.Event()
_handlers_before: dict[int, Any] = {}
_level_before = logging.NOTSET


def configure_control() -> None:
    """Chaos Toolkit is setting its controls up: listen for those that fail."""
    global _watch, _level_before
    forget()
    repair_streams()
    _watch = LogWatch()
    _level_before = logger.level
    # Its handlers keep levels of their own, so nothing more is shown or filed by this.
    logger.setLevel(logging.DEBUG)
    logger.addHandler(_watch)
    logger.addFilter(_PRINTABLE)
    if is_terminal(err=True):
        logger.handlers.insert(0, CleanLine())


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
        run = Run(settings, str(experiment.get("title", "experiment")), thresholds, logger.info)
        numbers = {key: value for key, value in configuration.items() if isinstance(value, int | float)}
        told = {"assumptions": assumptions(experiment, configuration), "advice": advice(experiment)}
        run.describe(command=command_line(configuration), numbers=numbers, **told)
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
    with undisturbed() as signals:
        state["deviated"] = True  # until proven otherwise
        try:
            run = runs.current()
        except McpChaosError:
            if _outcome is None:
                stopped = _STOPPED_BEFORE + (_watch.why_stopped(_BY_SOMEBODY) if _watch is not None else _BY_SOMEBODY)
                logger.error(f"The verdict is 'inconclusive': {stopped}")
                _end_in(state, refused=stopped, exit_code=EXIT_INCONCLUSIVE)
            else:
                _end_in(state, **_outcome)
            return  # it did not start; the reason has been told
        try:
            try:
                record_journal(run, state, _watch)
                record_judged_probes(run, state, configuration or {})
                run.rest(lambda: bool(signals))
            finally:
                runs.end()
            run.folder.check_written()
            verdict = judge(History.read(run.folder))
            _pass_on(state, verdict)
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
        logger.removeFilter(_PRINTABLE)
        for line in [h for h in logger.handlers if isinstance(h, CleanLine)]:
            logger.removeHandler(line)
    _over.set()
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


def _hurry_on_signals(run: Run) -> None:
    """Chaos Toolkit waits for background activities before it rolls back: on a signal they are told to end."""
    if threading.current_thread() is not threading.main_thread():
        return
    _over.clear()
    # Not from a signal handler: that may have interrupted the start of another thread.
    threading.Thread(target=_insist, args=(_over,), name="insist", daemon=True).start()
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as it is under nohup
        _handlers_before[signal.SIGHUP] = signal.getsignal(signal.SIGHUP) or signal.SIG_DFL
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
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


def _insist(over: threading.Event) -> None:
    """Send the signal again while the method goes on: an activity may have swallowed it, and a long pause follows.

    Each time later than before, as it may meet the same activity, which has something to take back.
    """
    waited_s, after_s = 0.0, _REPEAT_AFTER_S
    while not over.wait(_POLL_S):
        waited_s = waited_s + _POLL_S if _signalled and _in_method else 0.0
        if waited_s >= after_s:
            os.kill(os.getpid(), signal.SIGTERM)
            waited_s, after_s = 0.0, 2 * after_s


def _pass_on(journal: dict[str, Any], verdict: Verdict) -> None:
    """Give the verdict to what reads Chaos Toolkit's own output: its journal, its reports, its log.

    Its exit code follows ``deviated``; its reports show ``status`` only, of which there are four: an experiment that
    was played to its end and did not pass is *failed*. A log in JSON has the verdict and its reasons as fields.
    """
    journal["deviated"] = verdict.verdict != PASS
    if journal["deviated"] and journal.get("status") == "completed":
        journal["status"] = "failed"
    fields = {"verdict": verdict.verdict, "headline": verdict.headline, "reasons": verdict.reasons}
    said = printable(f"The verdict is '{verdict.verdict}': {verdict.headline}")
    logger.log(_LEVELS[verdict.verdict], said, extra={OUTCOME: fields})


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
    text = render(verdict, colour=has_colours(), width=width())
    text += f"\nThe run is kept in {folder.path} (mcp-chaos report makes a page of it)\n"
    tell(text, nl=False)


def _keep_journal(folder: RunFolder, journal: dict[str, Any]) -> None:
    """Keep Chaos Toolkit's journal with the run; what activities returned may be anything."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    try:
        text = orjson.dumps(journal, default=str, option=options)
    except TypeError:  # an integer of more than 64 bits, half a character: JSON has them, orjson does not
        text = json.dumps(journal, default=str, indent=2, skipkeys=True).encode()
    (folder.path / "journal.json").write_bytes(text)

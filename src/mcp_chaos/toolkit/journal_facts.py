"""Pure: what Chaos Toolkit's journal, log and options say of a run that its verdict has to know, in words."""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

from chaoslib.types import Dry

from mcp_chaos.machine.printable import printable

_STOPS = (
    (re.compile(r"Safeguard '(.*?)' triggered the end"), "the safeguard '{0}' ended it"),
    (re.compile(r"(?:Before|After)-control '(.*)' interrupted the execution"), "the control '{0}' ended it: {error}"),
    (re.compile(r"Caught SIGTERM signal"), "SIGTERM ended it"),
    (re.compile(r"Received a termination signal"), "Ctrl-C, or SIGINT, ended it"),
    (re.compile(r"Received the exit signal: (\d+)"), "an activity or another control asked for its end (signal {0})"),
    (re.compile(r"Experiment ran into an un expected fatal error"), "Chaos Toolkit ran into an error: {error}"),
)
"""Lines of its log that tell who stopped a run; its journal says only that somebody did."""

_LEFT_OUT = {
    Dry.PROBES: "its probes",
    Dry.ACTIONS: "its actions",
    Dry.ACTIVITIES: "its activities",
    Dry.PAUSE: "its pauses",
}
_LONGEST_LINE = 200
_FIRST_HTTP_ERROR = 400


def stop_in(record: logging.LogRecord) -> str:
    """Who or what stopped the run, from a line of Chaos Toolkit's log; empty where the line is about something else."""
    message = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    for pattern, words in _STOPS:
        if match := pattern.match(message):
            return printable(words.format(*match.groups(), error=error or "no reason was given"))
    return ""


def left_out(experiment: Mapping[str, Any]) -> str:
    """What a dry run leaves out; empty where it is none."""
    dry = experiment.get("dry")
    return _LEFT_OUT[dry] if isinstance(dry, Dry) else ""


def failed_actions(journal: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Actions that call a program or a page and failed, which Chaos Toolkit takes for done: name, and how it failed.

    One with a tolerance is judged by that instead.
    """
    for entry in [*(journal.get("run") or []), *(journal.get("rollbacks") or [])]:
        activity, output = entry.get("activity") or {}, entry.get("output")
        if activity.get("type") == "action" and activity.get("tolerance") is None and isinstance(output, dict):
            failure = _failure((activity.get("provider") or {}).get("type"), output)
            if failure:
                yield str(activity.get("name")), failure


def _failure(provider: Any, output: Mapping[str, Any]) -> str:
    status = output.get("status")
    if not isinstance(status, int):
        return ""
    if provider == "http" and status >= _FIRST_HTTP_ERROR:
        return f"its request was answered with HTTP {status}"
    if provider != "process" or status == 0:
        return ""
    said = str(output.get("stderr") or "").strip().splitlines()
    how = f"its program was ended by signal {-status}" if status < 0 else f"its program ended with exit code {status}"
    return f"{how}: {printable(said[-1][:_LONGEST_LINE])}" if said else how

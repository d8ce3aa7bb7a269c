"""What Chaos Toolkit's log is listened to for, and how it shares the terminal with the progress line."""

import logging
import re

from mcp_chaos.machine.printable import printable_lines
from mcp_chaos.machine.streams import tell
from mcp_chaos.run.progress import CLEAR_LINE
from mcp_chaos.toolkit.journal_facts import stop_in

_FAILED_CONTROL = re.compile(r"(Before|After)-control '(.*)' failed")
_FAILED_SETUP = re.compile(r"Control initialization '(.*)' failed")


class LogWatch(logging.Handler):
    """Hears what Chaos Toolkit tells nobody but its log: controls that raised, and a SIGTERM that may be swallowed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.failed: list[tuple[str, str]] = []
        self.terminated = False
        self.stops: list[str] = []

    def why_stopped(self, otherwise: str) -> str:
        """Who or what stopped the run first."""
        return self.stops[0] if self.stops else otherwise

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


class Printable(logging.Filter):
    """Makes what others said printable in every record: Chaos Toolkit logs errors as they are."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; none is left out."""
        record.msg, record.args = printable_lines(record.getMessage()), None
        return True


class CleanLine(logging.Handler):
    """Wipes the progress line off the terminal before a log line is written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Wipe."""
        tell(CLEAR_LINE, err=True, nl=False)

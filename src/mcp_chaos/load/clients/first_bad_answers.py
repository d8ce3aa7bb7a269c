"""Keeps the first bad answers of a load in the run folder: a few of each reason in each second, as they come.

Which window of the verdict an answer belongs to is not known yet, so that no window may take the places of another.
"""

import contextlib
from collections import Counter

from mcp_chaos.config.credentials import redacted
from mcp_chaos.history.bad_answers import MAX_TEXT_BYTES, BadAnswer
from mcp_chaos.history.calls import Lane, Reason
from mcp_chaos.history.json_lines import JsonLines
from mcp_chaos.machine.printable import printable
from mcp_chaos.mcp.message import Message, text_of

_MOST_PER_SECOND = 3
_MOST_PER_REASON = 100
_MOST_READ = 64 * 1024
_NS_PER_S = 1_000_000_000


class FirstBadAnswers:
    """The first bad answers that one process of a load was given.

    Args:
        file: of the load.
        lane: of the load.
    """

    def __init__(self, file: JsonLines, lane: Lane) -> None:
        self._file = file
        self._lane = lane
        self._kept: Counter[Reason] = Counter()
        self._second = 0
        self._in_second: Counter[Reason] = Counter()

    def keep(
        self,
        times_ns: tuple[int, int],
        reason: Reason,
        operation: str,
        status: int | None,
        body: bytes,
        message: Message | None = None,
    ) -> None:
        """Keep an answer, where it is one of the first.

        Args:
            times_ns: when its call was due, and when it came.
            reason: what its call is classed as.
            operation: the name of what was called.
            status: of HTTP.
            body: as it came.
            message: what it is in JSON-RPC.
        """
        second = times_ns[1] // _NS_PER_S
        if second != self._second:
            self._second = second
            self._in_second.clear()
        if self._in_second[reason] >= _MOST_PER_SECOND or self._kept[reason] >= _MOST_PER_REASON:
            return
        self._in_second[reason] += 1
        self._kept[reason] += 1
        code, text = _said(body, message)
        answer = BadAnswer(*times_ns, self._lane, reason, operation, status, code, shortened(text))
        with contextlib.suppress(OSError):  # a disk that is full fails the calls' own file
            self._file.append(answer.to_json())


def shortened(text: str) -> str:
    """A text of a server's, fit to be kept and shown."""
    said = redacted(printable(text[:_MOST_READ])).strip()
    return said.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")


def _said(body: bytes, message: Message | None) -> tuple[int | None, str]:
    """The JSON-RPC error code of an answer, and its text."""
    error = (message or {}).get("error")
    if isinstance(error, dict):
        code = error.get("code")
        return code if type(code) is int else None, str(error.get("message", ""))
    if message is not None and "result" in message:
        return None, text_of(message["result"])
    return None, body[:_MOST_READ].decode(errors="replace")

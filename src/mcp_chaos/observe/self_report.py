"""What a server says of itself: ``/health`` every second, and the numbers of ``/status`` when asked.

A page counts as ``/health`` only where it is one: JSON with a ``status``, or a short text; and not where any other path
is answered the same, as by servers that lead all pages to one.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import httpx

from mcp_chaos.config.credentials import redacted
from mcp_chaos.history.server_samples import SelfReport
from mcp_chaos.machine.background import Background
from mcp_chaos.machine.printable import printable

INTERVAL_S = 1.0

_WELL = frozenset({"ok", "healthy", "pass", "passing", "up", "alive", "ready", "running", "serving", "green", "good"})
_UNWELL = frozenset({"unhealthy", "fail", "failing", "failed", "down", "error", "critical", "red", "not ready", "bad"})
_NO_PAGE = "/mcp-chaos-asks-whether-this-page-exists"
_COMPARED_S = 6.0
_COMPARE_EVERY_S = 0.5
_MAX_WORDS = 80
_MAX_COUNTERS = 40
_MAX_COUNT = 1e15

Get = Callable[[str], httpx.Response]
"""Gets a page of the server by its path, within a deadline.

Raises:
    httpx.HTTPError: it did not answer in time.
"""


def words_of(answer: httpx.Response) -> tuple[bool | None, str] | None:
    """Whether a server says that it is well, and its words; ``None`` where its page is no answer to that."""
    body = _json_of(answer)
    words: object = body.get("status") if isinstance(body, Mapping) else None
    if "json" not in answer.headers.get("content-type", "") and len(answer.text) <= _MAX_WORDS:
        words = None if "<" in answer.text else answer.text
    if not isinstance(words, str | bool) or answer.status_code not in (200, 500, 503):
        return None
    said = printable(redacted(str(words))).strip()[:_MAX_WORDS]
    if answer.status_code != 200:
        return False, said or f"HTTP {answer.status_code}"
    lower = said.lower()
    healthy = True if lower in _WELL or words is True else False if lower in _UNWELL or words is False else None
    return healthy, said


def counters_of(answer: httpx.Response) -> dict[str, float]:
    """The numbers of a page of JSON, those one level down by both names."""
    body = _json_of(answer)
    if answer.status_code != 200 or not isinstance(body, Mapping):
        return {}
    flat = dict(body)
    for name, inner in body.items():
        if isinstance(inner, Mapping):
            flat |= {f"{name}.{below}": value for below, value in inner.items()}
    numbers = {
        printable(redacted(str(name)))[:_MAX_WORDS]: value
        for name, value in flat.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_COUNT
    }
    return dict(list(numbers.items())[:_MAX_COUNTERS])


def _json_of(answer: httpx.Response) -> Any:
    try:
        return answer.json() if "json" in answer.headers.get("content-type", "") else None
    except ValueError:
        return None


class SelfReports(Background):
    """A thread that asks a server how it is; it ends at once where the server has no page that says so.

    Args:
        get: a page of the server itself, past all faults.
        now_ns: the run's clock.
        keep: told each report.
    """

    def __init__(self, get: Get, now_ns: Callable[[], int], keep: Callable[[SelfReport], None]) -> None:
        super().__init__("self reports")
        self._get = get
        self._now_ns = now_ns
        self._keep = keep
        self._has_page = False

    def count(self) -> None:
        """Keep the numbers of ``/status`` as they are now, where there are any."""
        at_ns = self._now_ns()
        try:
            counters = counters_of(self._get("/status"))
        except (httpx.HTTPError, ValueError):
            return
        if counters:
            self._keep(SelfReport(at_ns, None, "", counters))

    def compare(self, served: Callable[[], bool], told_to_end: Callable[[], bool]) -> None:
        """While the server says that it is not well, make real calls, for some seconds or until one is not served.

        That calls fail while all is said to be well is seen by loads; one call may be refused for other reasons.

        Args:
            served: makes a call; whether it was answered well.
            told_to_end: whether to ask no more, asked all the time.
        """
        until = time.monotonic() + _COMPARED_S
        while self._has_page and not told_to_end() and time.monotonic() < until:
            report = self._ask()
            if report is None or report.healthy is not False:
                return
            compared = replace(report, served=served())
            self._keep(compared)
            if not compared.served:
                return
            time.sleep(_COMPARE_EVERY_S)

    def _go_on(self) -> None:
        self._has_page = self._is_there()
        while self._has_page and not self._stopped.wait(INTERVAL_S):
            report = self._ask()
            if report is not None:
                self._keep(report)

    def _ask(self) -> SelfReport | None:
        """What the server says now; ``None`` where that is no answer to the question."""
        at_ns = self._now_ns()
        try:
            found = words_of(self._get("/health"))
        except (httpx.HTTPError, ValueError):
            found = None, "no answer"
        return None if found is None else SelfReport(at_ns, *found)

    def _is_there(self) -> bool:
        try:
            return words_of(self._get("/health")) is not None and words_of(self._get(_NO_PAGE)) is None
        except (httpx.HTTPError, ValueError):
            return False

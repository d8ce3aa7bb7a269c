"""Progress while loads run: one line that renews itself on a terminal, else a plain line now and then."""

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from mcp_chaos.machine.streams import is_terminal, tell
from mcp_chaos.verdict.measure import Figures

_TERMINAL_EVERY_S = 0.5
_PLAIN_EVERY_S = 5.0
_WINDOW_S = 2.0
CLEAR_LINE = "\r\x1b[2K"


class _Spec(Protocol):
    @property
    def name(self) -> str: ...


class RunningLoad(Protocol):
    """What progress needs to know of a load."""

    @property
    def spec(self) -> _Spec:
        """What it was told; its name."""

    def recent(self, seconds: float) -> Figures:
        """Its figures of the last seconds."""

    def users_now(self) -> int:
        """How many users call now."""


def line(load: RunningLoad) -> str:
    """One load in one line: users, calls/s, success, p95."""
    figures = load.recent(_WINDOW_S)
    success = "–" if figures.success_fraction is None else f"{figures.success_fraction:.0%}"
    p95 = "–" if figures.p95_ms is None else f"{figures.p95_ms:.0f} ms"
    rate = figures.calls_per_s or 0.0
    return f"{load.spec.name}: {load.users_now()} users, {rate:.0f} calls/s, success {success}, p95 {p95}"


class Progress:
    """A thread that shows how the loads are doing.

    Args:
        loads: says which loads run now.
        say: takes a plain line.
    """

    def __init__(self, loads: Callable[[], Sequence[RunningLoad]], say: Callable[[str], None]) -> None:
        self._loads = loads
        self._say = say
        self._terminal = is_terminal(err=True)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._show, name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Show no more. May be repeated."""
        self._stopped.set()
        self._thread.join()

    def _show(self) -> None:
        while not self._stopped.wait(_TERMINAL_EVERY_S if self._terminal else _PLAIN_EVERY_S):
            lines = [line(load) for load in self._loads()]
            if not lines:
                continue
            if self._terminal:
                tell(CLEAR_LINE + " | ".join(lines), err=True, nl=False)
            else:
                for text in lines:
                    self._say(text)
        if self._terminal:
            tell(CLEAR_LINE, err=True, nl=False)

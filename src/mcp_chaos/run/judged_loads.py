"""Whether the loads that are to be judged carry calls: a fault that none of them meets would show nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mcp_chaos.errors import McpChaosError
from mcp_chaos.history.calls import CALL
from mcp_chaos.load.process import LoadProcess

_FIRST_CALL_S = 5.0
_POLL_S = 0.02


@dataclass(frozen=True)
class Idle:
    """A load that carries nothing.

    Args:
        load: its name.
        why: a sentence without a full stop.
    """

    load: str
    why: str


class JudgedLoads:
    """The judged loads of one run, those that did not start too."""

    def __init__(self) -> None:
        self._started: dict[str, LoadProcess] = {}
        self._failed: dict[str, str] = {}

    @contextmanager
    def starting(self, name: str) -> Iterator[None]:
        """Note why a load did not start, if it does not; the error goes on."""
        try:
            yield
        except McpChaosError as error:
            if name not in self._started:
                self._failed[name] = str(error)
            raise

    def started(self, load: LoadProcess) -> None:
        """Note a load that was started."""
        self._started[load.spec.name] = load

    def idle(self, stop: Callable[[], bool] = lambda: False) -> Idle | None:
        """The first load that did not start or has made no call; ``None`` when all carry calls, or there is none.

        Waits for the first call of a load that was just started: until its deadline, and 5 s longer.

        Args:
            stop: whether to wait no longer, asked all the time.
        """
        for name, error in self._failed.items():
            return Idle(name, f"the load '{name}' did not start: {error}")
        for name, load in self._started.items():
            until = time.monotonic() + load.spec.deadline_s + _FIRST_CALL_S
            while not _has_called(load) and load.running and time.monotonic() < until and not stop():
                time.sleep(_POLL_S)
            if not _has_called(load):
                how = "has made no call yet" if load.running else "ended without a call"
                return Idle(name, f"the load '{name}' {how}")
        return None


def _has_called(load: LoadProcess) -> bool:
    paths = load.folder.calls_paths(load.spec.name)
    return any(path.stat().st_size >= CALL.itemsize for path in paths)

"""A load as seen from the run: started, read while it runs, waited for, stopped."""

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mcp_chaos.errors import PartError
from mcp_chaos.history.calls import CALL, Calls, read_calls
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.main import STARTED
from mcp_chaos.load.shapes import Locust
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.processes import Child, is_suspended, last_lines
from mcp_chaos.mcp import TransportKind, dialects_over
from mcp_chaos.verdict.measure import Figures, figures

_START_TIMEOUT_S = 15.0
_NS_PER_S = 1_000_000_000
_POLL_S = 0.05
_AT_A_TIME = 4096


class _LoadChild(Child):
    """The process that leads a load, whose calls carry the credentials."""

    needs_secrets = True


class LoadProcess:
    """One load in a process of its own.

    Args:
        spec: what it does.
        folder: of the run.
    """

    def __init__(self, spec: LoadSpec, folder: RunFolder) -> None:
        self.spec = spec
        self.folder = folder
        self._clock = Clock(spec.clock_offset_ns)
        self._child: Child | None = None
        self._suspended_since_s: float | None = None

    def start(self) -> None:
        """Start it and wait until it is about to make its first call.

        Raises:
            PartError: the process did not start, or Locust is needed and not installed.
        """
        self.begin()
        self.wait_for_start()

    def begin(self) -> None:
        """Start it, and do not wait: what is started beside it begins at the same time.

        Raises:
            PartError: Locust is needed and not installed.
        """
        if isinstance(self.spec.shape, Locust):
            _check_locust(self.spec.target)
        name = f"load-{self.spec.name}.json"
        self.folder.write(name, self.spec.to_json())
        module = "mcp_chaos.load.locust.process" if isinstance(self.spec.shape, Locust) else "mcp_chaos.load.main"
        argv = [sys.executable, "-m", module, str(self.folder.path / name), str(self.folder.path)]
        # numpy's linear algebra is not used, and its threads spin when they start.
        env = {"OPENBLAS_NUM_THREADS": "1"}
        self._child = _LoadChild(f"load '{self.spec.name}'", argv, self._log, str(self.folder.path), env)
        self._child.start()

    def wait_for_start(self) -> None:
        """Wait until it is about to make its first call.

        Raises:
            PartError: the process did not start.
        """
        assert self._child is not None
        self._child.wait_for_line(STARTED, _START_TIMEOUT_S)

    @property
    def _log(self) -> Path:
        return self.folder.path / f"load-{self.spec.name}.log"

    @property
    def pid(self) -> int | None:
        """Of the process that leads it; ``None`` before the start."""
        return self._child.pid if self._child else None

    @property
    def running(self) -> bool:
        """Whether it still makes calls."""
        return self._child is not None and self._child.alive

    def why_it_stands_still(self) -> str:
        """That its process has been suspended for longer than a call may take, in words; empty while it goes on."""
        if not self.running or self.pid is None or not is_suspended(self.pid):
            self._suspended_since_s = None
            return ""
        self._suspended_since_s = self._suspended_since_s or time.monotonic()
        if time.monotonic() - self._suspended_since_s < self.spec.deadline_s:
            return ""
        return f"its process {self.pid} was suspended for {self.spec.deadline_s:g} s, the deadline of a call"

    def wait(self, timeout_s: float, hurried: Callable[[], bool] = lambda: False) -> dict[str, Any]:
        """Wait for its end and return its result.

        Args:
            timeout_s: how long at the most.
            hurried: whether to wait no longer, asked all the time.

        Raises:
            PartError: it did not end in time (it runs on), stands still, or died.
        """
        assert self._child is not None
        until = time.monotonic() + timeout_s
        while not self._child.wait(_POLL_S):
            if hurried():
                raise PartError(f"The run was told to stop while the load '{self.spec.name}' was waited for.")
            if why := self.why_it_stands_still():
                raise PartError(f"The load '{self.spec.name}' stands still: {why}.")
            if time.monotonic() < until:
                continue
            raise PartError(
                f"The load '{self.spec.name}' did not end within {timeout_s:g} s. It runs on; stop_load ends it."
            )
        return self.result()

    def stop(self) -> dict[str, Any]:
        """End it early: no new call, those under way until their deadline. May be repeated.

        Raises:
            PartError: it died.
        """
        assert self._child is not None
        self._child.stop(grace_s=self.spec.deadline_s + 3.0)
        return self.result()

    def result(self) -> dict[str, Any]:
        """The result of a load that ended.

        Raises:
            PartError: it died; its calls up to then are kept.
        """
        name = f"result-{self.spec.name}.json"
        code = self._child.exit_code if self._child else None
        # Its result is the last thing it writes; a signal that comes after that kills it, and takes nothing away.
        if not (self.folder.path / name).exists() or (code or 0) > 0:
            raise PartError(
                f"The load '{self.spec.name}' died (exit code {code}); its calls up to then are kept. "
                f"Its last words:\n{last_lines(self._log)}"
            )
        return dict(self.folder.read(name))

    def users_now(self) -> int:
        """How many users its current step has; 0 before the first."""
        steps = [e for e in self.folder.events() if e.kind == "load_step" and e.data["load"] == self.spec.name]
        return int(steps[-1].data["users"]) if steps else 0

    def recent(self, seconds: float) -> Figures:
        """The figures of the calls that ended in the last ``seconds``."""
        since_ns = self._clock.now_ns() - int(seconds * _NS_PER_S)
        slack_ns = int(self.spec.deadline_s * _NS_PER_S)
        parts = [_ended_since(path, since_ns, slack_ns) for path in self.folder.calls_paths(self.spec.name)]
        return figures(np.concatenate(parts) if parts else np.empty(0, dtype=CALL), seconds)


def _check_locust(target: Target) -> None:
    """Check that Locust is there, and can reach such a target.

    Raises:
        PartError: it is not, or cannot.
    """
    if find_spec("locust") is None:
        raise PartError("Locust is not installed: pip install 'chaostoolkit-mcp[locust]'. No load was started.")
    if target.tls:
        raise PartError(
            "Locust reaches a server over TLS by its own name only, not through a proxy. Use another load, "
            "or locust -f by itself. No load was started."
        )
    spoken = dialects_over(TransportKind.POST)
    if target.dialect not in spoken:
        raise PartError(
            f"Locust's users do not speak the dialect '{target.dialect}', only {', '.join(spoken)}. "
            "Use another load. No load was started."
        )


def _ended_since(path: Path, since_ns: int, slack_ns: int) -> Calls:
    """The calls of a file that ended since a moment, read from its end.

    A call on a stream is done when its answer came, and written when its stream ended: up to ``slack_ns`` out of order.
    """
    parts: list[Calls] = []
    first = path.stat().st_size // CALL.itemsize
    while first > 0:
        until, first = first, max(0, first - _AT_A_TIME)
        part = read_calls(path, first, until - first)
        parts.append(part[part["done_ns"] >= since_ns])
        if part["done_ns"].min() < since_ns - slack_ns:
            break
    return np.concatenate(parts) if parts else np.empty(0, dtype=CALL)

"""Look at the server's process twice a second, and keep what it holds.

Memory, threads and the number of descriptors are looked at each time; connections every second, and children every few.
A look takes longer the more processes there are, so that the monitor spaces its looks by what they cost: it never uses
more than one per cent of a core.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import psutil

from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.machine.background import Background
from mcp_chaos.observe.connections import Connections, connections_of
from mcp_chaos.observe.server_process import children_of, holdings, summed

INTERVAL_S = 0.5
MAX_CPU_FRACTION = 0.008

_CHILDREN_EVERY_S = 4.0
_CONNECTIONS_EVERY_S = 1.0
"""These cost most: to find them, the tables of the whole system are read."""


class ServerMonitor(Background):
    """A thread that samples a server's process, however often that is started again.

    Args:
        find: the process; asked again after it has gone.
        port: that it listens on.
        now_ns: the run's clock.
        keep: told each sample.
    """

    def __init__(
        self,
        find: Callable[[], psutil.Process | None],
        port: int,
        now_ns: Callable[[], int],
        keep: Callable[[ProcessSample], None],
    ) -> None:
        super().__init__("server monitor")
        self._find = find
        self._port = port
        self._now_ns = now_ns
        self._keep = keep
        self.samples: list[ProcessSample] = []
        self._process: psutil.Process | None = None
        self._children: list[psutil.Process] = []
        self._children_at = 0.0
        self._connections: dict[int, Connections] = {}
        self._connections_at = 0.0
        self._cpu_s: dict[int, float] = {}
        self._used_s = 0.0
        self._looking = threading.Lock()

    def start(self) -> None:
        """Take the first sample and go on in the background."""
        self.look()
        super().start()

    def look(self) -> ProcessSample | None:
        """Take a sample now, with all of it looked up anew; ``None`` where no process can be seen."""
        return self._look(is_fresh=True)

    def _look(self, *, is_fresh: bool) -> ProcessSample | None:
        with self._looking:
            found = self._sample(is_fresh=is_fresh)
            if found is not None:
                self.samples.append(found)
                self._keep(found)
            return found

    def _go_on(self) -> None:
        due_s = INTERVAL_S
        while not self._stopped.wait(due_s):
            began_s, used_s = time.monotonic(), time.thread_time()
            self._look(is_fresh=False)
            cost_s = time.thread_time() - used_s
            due_s = max(INTERVAL_S, cost_s / MAX_CPU_FRACTION) - (time.monotonic() - began_s)

    def _sample(self, *, is_fresh: bool) -> ProcessSample | None:
        if self._process is None:
            self._process, self._cpu_s, is_fresh = self._find(), {}, True
        if self._process is None:
            return None
        now_s = time.monotonic()
        if is_fresh or now_s >= self._children_at + _CHILDREN_EVERY_S:
            self._children, self._children_at = children_of(self._process), now_s
        everyone = [self._process, *self._children]
        if is_fresh or now_s >= self._connections_at + _CONNECTIONS_EVERY_S:
            self._connections, self._connections_at = connections_of(everyone, self._port), now_s
        found = holdings(everyone, self._connections)
        if not found:
            self._process = None
            return None
        return replace(summed(found), at_ns=self._now_ns(), cpu_s=self._used({one.pid: one.cpu_s for one in found}))

    def _used(self, cpu_s: dict[int, float]) -> float:
        """CPU time used so far: what a child has used does not go away with it."""
        self._used_s += sum(max(0.0, used_s - self._cpu_s.get(pid, 0.0)) for pid, used_s in cpu_s.items())
        self._cpu_s |= cpu_s
        return self._used_s

"""The machine's own pulse while a run goes on: a busy machine slows servers and generators, and is neither's fault."""

import hashlib
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

OBSERVATION = "machine"
LATE_P95_MS = 100.0
"""Above this, a load cannot come in time."""

CROWDED = 4.0
"""Tasks ready to run for each processor, on average; above this, a server of this machine is slow for want of one.

Whoever sleeps most of the time, as the pulse does, is served at once all the same, so its lateness does not show it.
"""

_EVERY_S = 0.1
_WORK = bytes(1 << 20)
_TASKS = re.compile(r"^procs_running (\d+)$", re.MULTILINE)
_MS_PER_S = 1e3


class Pulse:
    """A thread that sleeps and does a little work, over and over, and sees how long both really take."""

    def __init__(self) -> None:
        self._late_ms: list[float] = []
        self._work_ms: list[float] = []
        self._tasks: list[int] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """End it.

        Returns:
            ``beats``, how many there were to be; quantiles in milliseconds of how late it woke (``late_p50_ms``,
            ``late_p95_ms``) and of the same little work (``work_p50_ms``); ``tasks_per_core``, how many were ready to
            run on average. ``None`` without a beat, and where the machine does not say (it does on Linux).
        """
        self._stopped.set()
        self._thread.join()
        late = [float(q) for q in np.quantile(self._late_ms, [0.5, 0.95])] if self._late_ms else [None, None]
        work = float(np.median(self._work_ms)) if self._work_ms else None
        tasks = float(np.mean(self._tasks)) / (os.cpu_count() or 1) if self._tasks else None
        return {
            "beats": len(self._late_ms),
            "late_p50_ms": late[0],
            "late_p95_ms": late[1],
            "work_p50_ms": work,
            "tasks_per_core": tasks,
        }

    def _beat(self) -> None:
        due_s = time.monotonic() + _EVERY_S
        while not self._stopped.wait(max(0.0, due_s - time.monotonic())):
            woken_s = time.monotonic()
            hashlib.sha256(_WORK).digest()
            self._note(woken_s - due_s, time.monotonic() - woken_s)
            self._note_tasks()
            due_s = max(due_s, woken_s) + _EVERY_S

    def _note(self, late_s: float, work_s: float) -> None:
        """A beat, and those that a stall left out, which would be one late beat, however long it lasted."""
        self._late_ms += [(late_s - n * _EVERY_S) * _MS_PER_S for n in range(1 + int(late_s / _EVERY_S))]
        self._work_ms.append(work_s * _MS_PER_S)

    def _note_tasks(self) -> None:
        """How many tasks are ready to run now, without this one."""
        with suppress(OSError):
            found = _TASKS.search(Path("/proc/stat").read_text(encoding="ascii"))
            if found:
                self._tasks.append(int(found[1]) - 1)

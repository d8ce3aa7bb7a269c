"""One process of a load at work: an engine, its calls file, and a record of how well the process did."""

import asyncio
import contextlib
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator

import numpy as np

from mcp_chaos.history.calls import CALL
from mcp_chaos.history.calls_file import CallsFile
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.clients.first_bad_answers import FirstBadAnswers
from mcp_chaos.load.engine import Engine
from mcp_chaos.load.health import Health
from mcp_chaos.load.shape import Step
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock

_FLUSH_S = 0.1
_US_PER_S = 1e6
_RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024


class Member:
    """An engine that writes to the run folder.

    Args:
        spec: the load.
        folder: of the run.
        worker: which of the load's processes this is, from 0.
    """

    def __init__(self, spec: LoadSpec, folder: RunFolder, worker: int = 0) -> None:
        self._file = CallsFile(folder.calls_path(spec.name, worker))
        self._written = 0
        self._health = Health(worker)
        self._lags_s: list[float] = []
        self._failure: BaseException | None = None
        bad_answers = FirstBadAnswers(folder.bad_answers_file(spec.name), spec.lane)
        self.engine = Engine(spec, Clock(spec.clock_offset_ns), self._write, worker, bad_answers)

    def _write(self, record: bytes) -> None:
        self._written += len(record)
        self._file.write(record)

    def fail(self, error: BaseException) -> None:
        """Note that something in the engine went wrong, which ends it."""
        self._failure = self._failure or error
        self.engine.stop()

    def stop(self) -> None:
        """Start no more calls."""
        self.engine.stop()

    async def warm_up(self, step: Step, shares: int = 1) -> None:
        """Get ready for a step; see ``Engine.warm_up``."""
        await self.engine.warm_up(step, shares)

    async def run_step(self, step: Step, number: int, start_ns: int = 0, share: int = 0, shares: int = 1) -> None:
        """Make the calls of a step; when this returns, all of them are on disk. See ``Engine.run_step``."""
        began_s, cpu_began_s = time.monotonic(), time.process_time()
        async with self._flushing():
            await self.engine.run_step(step, number, start_ns, share, shares)
        self._health.busy_s += time.monotonic() - began_s
        self._health.cpu_s += time.process_time() - cpu_began_s
        if self._failure is not None:
            raise RuntimeError(f"the engine failed: {self._failure!r}") from self._failure

    async def close(self) -> Health:
        """End all sessions, and tell how it went."""
        self._file.close()
        await self.engine.close()
        health = self._health
        health.calls = self._written // CALL.itemsize
        health.dropped = self.engine.dropped
        health.peak_memory_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT_BYTES
        values, counts = np.unique(np.frombuffer(self.engine.lags_us, dtype=np.uint32), return_counts=True)
        health.send_errors_us = dict(zip(values.tolist(), counts.tolist(), strict=True))
        health.lags_us = dict(Counter(round(lag_s * _US_PER_S) for lag_s in self._lags_s))
        return health

    @contextlib.asynccontextmanager
    async def _flushing(self) -> AsyncIterator[None]:
        flushing = asyncio.create_task(self._keep_flushing())
        try:
            yield
        finally:
            if not flushing.cancel():
                flushing.result()  # the disk is full, most likely
            self._file.flush()

    async def _keep_flushing(self) -> None:
        try:
            while True:
                slept_from = time.monotonic()
                await asyncio.sleep(_FLUSH_S)
                self._lags_s.append(max(0.0, time.monotonic() - slept_from - _FLUSH_S))
                self._file.flush()
        except OSError as error:
            self.fail(error)
            raise

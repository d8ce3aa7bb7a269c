"""The process that makes the calls of one load: ``python -m mcp_chaos.load.worker SPEC RUN_FOLDER``.

It writes its calls to the run folder as they end, an event per step, and the result in the specification's fields at
the end. SIGTERM and SIGINT end it properly: no new call, those under way until their deadline.
"""

import asyncio
import gc
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from mcp_chaos.history import RunFolder
from mcp_chaos.load.engine import Engine
from mcp_chaos.load.results import burst_result, ramp_result, sustained_result
from mcp_chaos.load.shape import Burst, Ramp, Step, Sustained
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.records import CALL, Calls, Clock, Outcome

STARTED = "started"
_FLUSH_S = 0.1


class CallsFile:
    """Calls on their way to disk: gathered in memory, written every tenth of a second.

    Args:
        path: the file, made anew.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._pending = bytearray()
        self._of_step: list[bytes] = []

    def write(self, record: bytes) -> None:
        """Take a packed call."""
        self._pending += record

    def flush(self) -> None:
        """Write what is pending."""
        if self._pending:
            chunk = bytes(self._pending)
            self._pending.clear()
            self._of_step.append(chunk)
            self._file.write(chunk)
            self._file.flush()

    def take_step(self) -> Calls:
        """The calls since this was last asked."""
        self.flush()
        taken, self._of_step = b"".join(self._of_step), []
        return np.frombuffer(taken, dtype=CALL)

    def close(self) -> None:
        """Write the rest."""
        self.flush()
        self._file.close()


class Conductor:
    """Leads an engine through the steps of a shape.

    Args:
        spec: the load.
        folder: of the run.
    """

    def __init__(self, spec: LoadSpec, folder: RunFolder) -> None:
        self.spec = spec
        self.folder = folder
        self.clock = Clock(spec.clock_offset_ns)
        self.calls = CallsFile(folder.calls_path(spec.name))
        self.engine = Engine(spec, self.clock, self.calls.write)
        self.results: list[dict[str, Any]] = []
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End the load early and properly."""
        self.engine.stop()
        self._stop.set()

    async def conduct(self) -> None:
        """Run the load to its end."""
        told = {"load": self.spec.name, "lane": self.spec.lane.name.lower(), "judged": self.spec.judged}
        self.folder.event(self.clock.now_ns(), "load_started", **told)
        flushing = asyncio.create_task(self._keep_flushing())
        began = time.monotonic()
        step: Step | None = self.spec.shape.first()
        while step is not None and not self._stop.is_set():
            step = await self._step(step, began)
        if not flushing.cancel():
            flushing.result()  # the disk is full, most likely
        self._finish(time.monotonic() - began)
        await self.engine.close()

    async def _step(self, step: Step, began: float) -> Step | None:
        number = len(self.results) + 1
        self.folder.event(self.clock.now_ns(), "load_step", load=self.spec.name, step=number, users=step.users)
        step_began = time.monotonic()
        await self.engine.run_step(step.users, step.total_requests)
        took_s = time.monotonic() - step_began
        calls = self.calls.take_step()
        self.results.append({"concurrent_users": step.users, **burst_result(calls, step.users, took_s)})
        ok = int(np.count_nonzero(calls["outcome"] == Outcome.OK))
        fraction = ok / len(calls) if len(calls) else 0.0
        following = self.spec.shape.following(number, time.monotonic() - began, took_s, fraction)
        if following is None:
            return None
        wait_s, next_step = following
        try:
            async with asyncio.timeout(wait_s):
                await self._stop.wait()
        except TimeoutError:
            pass
        return next_step

    async def _keep_flushing(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            self.calls.flush()

    def _finish(self, seconds: float) -> None:
        self.calls.close()
        self.folder.write(
            f"result-{self.spec.name}.json", {**self._result(seconds), "stopped_early": self._stop.is_set()}
        )
        self.folder.event(self.clock.now_ns(), "load_ended", load=self.spec.name)

    def _result(self, seconds: float) -> dict[str, Any]:
        shape = self.spec.shape
        if isinstance(shape, Ramp):
            return ramp_result(self.results, shape.stop_below_fraction)
        if isinstance(shape, Sustained):
            return sustained_result(self.results, shape.users, seconds)
        assert isinstance(shape, Burst)
        return self.results[0] if self.results else burst_result(np.empty(0, CALL), shape.concurrency, seconds)


async def run(spec: LoadSpec, folder: RunFolder) -> None:
    """Run one load in this process."""
    loop = asyncio.get_running_loop()
    conductor = Conductor(spec, folder)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, conductor.stop)
    failures: list[dict[str, Any]] = []

    def give_up(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        failures.append(context)
        conductor.stop()

    loop.set_exception_handler(give_up)
    gc.freeze()
    print(STARTED, flush=True)
    await conductor.conduct()
    if failures:
        raise RuntimeError(failures[0]["message"]) from failures[0].get("exception")


def main() -> None:
    """The worker's command line."""
    spec_path, folder = Path(sys.argv[1]), RunFolder.open(Path(sys.argv[2]))
    spec = LoadSpec.from_json(json.loads(spec_path.read_text(encoding="utf-8")))
    uvloop.run(run(spec, folder))


if __name__ == "__main__":
    main()

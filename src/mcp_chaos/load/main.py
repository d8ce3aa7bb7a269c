"""The process that makes the calls of one load: ``python -m mcp_chaos.load.main SPEC RUN_FOLDER``.

It leads the load through its steps, writes an event per step, and the result at the end. Calls are made in this
process, or, where the load has several workers, in as many more, started with their number as a last argument.
SIGTERM and SIGINT end the load properly: no new call, those under way until their deadline.
"""

import asyncio
import gc
import json
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from mcp_chaos.history.calls_file import StepReader
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.crew import Alone, Crew, Team, serve
from mcp_chaos.load.health import generator
from mcp_chaos.load.member import Member
from mcp_chaos.load.results import Tally, burst_result, summary
from mcp_chaos.load.shape import Step
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock

STARTED = "started"
_LONGEST_LINE_BYTES = 1024 * 1024


class Conductor:
    """Leads a crew through the steps of a shape.

    Args:
        spec: the load.
        folder: of the run.
    """

    def __init__(self, spec: LoadSpec, folder: RunFolder) -> None:
        self.spec = spec
        self.folder = folder
        self.clock = Clock(spec.clock_offset_ns)
        self._steps: list[dict[str, Any]] = []
        self._reader = StepReader(folder, spec.name)
        self._stop = asyncio.Event()
        self._crew: Crew | None = None
        self._busy_s = 0.0

    def event(self, kind: str, **data: Any) -> None:
        """Append an event of this load to the history."""
        self.folder.event(self.clock.now_ns(), kind, load=self.spec.name, **data)

    def lost(self, worker: int, exit_code: int | None) -> None:
        """Put on record that a process of the load died."""
        self.event("worker_died", worker=worker, exit_code=exit_code)

    def stop(self) -> None:
        """End the load early and properly."""
        self._stop.set()
        if self._crew is not None:
            self._crew.stop()

    async def conduct(self, crew: Crew) -> None:
        """Run the load to its end."""
        self._crew = crew
        self.event("load_started", lane=self.spec.lane.name.lower(), judged=self.spec.judged)
        began = time.monotonic()
        step: Step | None = self.spec.shape.first()
        while step is not None and not self._stop.is_set():
            step = await self._step(crew, step, began)
        seconds = time.monotonic() - began
        self.event("load_ended")
        healths, lost = await crew.close()
        everything = Tally(StepReader(self.folder, self.spec.name).take())
        usual_ms = everything.latency_ms()["from_actual_send"]["p50"]
        self._finish(seconds, everything, generator(healths, lost, usual_ms))

    async def _step(self, crew: Crew, step: Step, began: float) -> Step | None:
        number = len(self._steps)
        self.event("load_step", step=number + 1, users=step.users)
        step_began = time.monotonic()
        await crew.run_step(step, number)
        took_s = time.monotonic() - step_began
        self._busy_s += took_s
        tally = Tally(self._reader.take())
        self._steps.append({"concurrent_users": step.users, **burst_result(tally, step.users, took_s)})
        fraction = tally.ok_calls / tally.calls if tally.calls else 0.0
        following = self.spec.shape.following(number + 1, time.monotonic() - began, took_s, fraction)
        if following is None:
            return None
        wait_s, next_step = following
        try:
            async with asyncio.timeout(wait_s):
                await self._stop.wait()
        except TimeoutError:
            pass
        return next_step

    def _finish(self, seconds: float, everything: Tally, health: dict[str, Any]) -> None:
        if not health["kept_up"] and not health["lost_workers"]:
            self.event("generator_overloaded", why=health["why_not"], by_itself=health["by_itself"])
        result = {
            **self.spec.shape.result(self._steps, everything, seconds),
            "stopped_early": self._stop.is_set(),
            "summary": summary(everything, self._busy_s, health),
        }
        self.folder.write(f"result-{self.spec.name}.json", result)


async def lead(spec: LoadSpec, spec_path: Path, folder: RunFolder) -> None:
    """Run one load."""
    conductor = Conductor(spec, folder)
    _on_signals(conductor.stop)
    if spec.workers == 1:
        member = _member(spec, folder, 0)
        crew: Crew = Alone(member)
    else:
        crew = team = Team(spec_path, spec, folder, conductor.lost)
        await team.start()
    print(STARTED, flush=True)
    await conductor.conduct(crew)


async def follow(spec: LoadSpec, folder: RunFolder, worker: int) -> None:
    """Be one process of a load."""
    loop = asyncio.get_running_loop()
    _on_signals(lambda: None)  # the conductor hears of them too, and says what to do
    lines = asyncio.StreamReader(limit=_LONGEST_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await serve(_member(spec, folder, worker), lines)


def _member(spec: LoadSpec, folder: RunFolder, worker: int) -> Member:
    member = Member(spec, folder, worker)

    def failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        member.fail(context.get("exception") or RuntimeError(context["message"]))

    asyncio.get_running_loop().set_exception_handler(failed)
    gc.freeze()
    return member


def _on_signals(stop: Any) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


def main() -> None:
    """The worker's command line."""
    spec_path, folder = Path(sys.argv[1]), RunFolder.open(Path(sys.argv[2]))
    spec = LoadSpec.from_json(json.loads(spec_path.read_text(encoding="utf-8")))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a connection is a file; 1024 are not enough for all
    uvloop.run(follow(spec, folder, int(sys.argv[3])) if len(sys.argv) > 3 else lead(spec, spec_path, folder))


if __name__ == "__main__":
    main()

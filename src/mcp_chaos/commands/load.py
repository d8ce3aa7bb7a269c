"""``mcp-chaos load``: a load by itself, with or without faults, on the user's server or the embedded one."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mcp_chaos.commands.load_plan import SPEC, Plan
from mcp_chaos.commands.load_report import KIND, Report
from mcp_chaos.config.command_line import command_line
from mcp_chaos.config.settings import Settings
from mcp_chaos.load.checks import make_shape
from mcp_chaos.load.shape import Shape
from mcp_chaos.run.run import Run

_HELD_FRACTION = 0.95
_POLL_S = 0.05


def make_load(plan: Plan, settings: Settings, say: Callable[[str], None]) -> Report:
    """Run a plan to its end and report; a signal ends it early and properly.

    Args:
        plan: checked.
        settings: checked.
        say: told what goes on, a line at a time.

    Raises:
        McpChaosError: it could not be started; nothing is left running.
    """
    run = Run(settings, f"load {plan.shape}", {}, say, direct=not plan.faults)
    run.describe(kind=KIND, shape=plan.shape, numbers=plan.numbers, command=command_line({}))
    with _interruptible() as interrupted:
        run.start()
        try:
            _Player(run, plan, interrupted).play()
        finally:
            if interrupted.is_set():
                run.event("interrupted", why="a signal ended the load before its time")
            run.close()
    run.folder.check_written()
    return Report.read(run.folder)


class _Player:
    """Plays the loads of a plan, and its faults at their times."""

    def __init__(self, run: Run, plan: Plan, interrupted: threading.Event) -> None:
        self._run = run
        self._plan = plan
        self._interrupted = interrupted
        self._began: float | None = None
        self._to_come = sorted(plan.faults, key=lambda planned: planned.from_s)
        self._to_heal: list[tuple[float, str]] = []

    def play(self) -> None:
        """Play all of it, and put on record what faults there was no time for."""
        if self._plan.shape == SPEC:
            self._play_script()
        else:
            self._play_load(self._plan.shape)
        if not self._interrupted.is_set():
            for planned in self._to_come:
                self._run.event("fault_skipped", name=planned.fault.title(), from_s=planned.from_s)

    def _play_script(self) -> None:
        self._play_load("basic")
        steps = self._play_load("ramp").get("steps")
        if not steps or self._interrupted.is_set():
            return
        last = steps[-1]
        if last["successful_requests"] < _HELD_FRACTION * last["total_requests"]:
            self._run.say(
                f"No sustained load: the last step of the ramp, {last['concurrent_users']} users, did not hold"
            )
            return
        self._play_load("sustained", users=last["concurrent_users"])

    def _play_load(self, name: str, **numbers: Any) -> dict[str, Any]:
        if self._interrupted.is_set():
            return {}
        shape, given = self._plan.load(name)
        self._start(name, make_shape(shape, **{**given, **numbers}))
        load = self._run.loads.get(name)
        self._began = self._began or time.monotonic()
        while load.running and not self._interrupted.wait(_POLL_S):
            self._keep_time()
            if why := load.why_it_stands_still():
                self._run.event("load_failed", load=name, error=why)
                break
        return load.stop()  # one that has ended stays as it is

    def _start(self, name: str, shape: Shape) -> None:
        plan = self._plan
        self._run.start_loads([self._run.loads.spec(name, shape, "faulted", plan.deadline_s, workers=plan.workers)])

    def _keep_time(self) -> None:
        assert self._began is not None
        elapsed_s = time.monotonic() - self._began
        for moment in [moment for moment in self._to_heal if moment[0] <= elapsed_s]:
            self._to_heal.remove(moment)
            self._run.heal(moment[1])
        while self._to_come and self._to_come[0].from_s <= elapsed_s:
            planned = self._to_come.pop(0)
            self._run.inject(planned.fault)
            self._to_heal.append((planned.from_s + planned.for_s, planned.fault.proxy))


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that SIGINT, SIGTERM and SIGHUP set, instead of what they do otherwise."""
    interrupted = threading.Event()
    before = {n: signal.signal(n, lambda *_: interrupted.set()) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

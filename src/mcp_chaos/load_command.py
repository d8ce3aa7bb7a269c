"""``mcp-chaos load``: a load by itself, with or without faults, on the user's server or the embedded one."""

import json
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from mcp_chaos.actions import FAULTS
from mcp_chaos.errors import HistoryError, UsageError
from mcp_chaos.faults.fault import Fault, make_fault
from mcp_chaos.history import History, RunFolder
from mcp_chaos.load.health import generator
from mcp_chaos.load.results import Tally, has_summary, summary
from mcp_chaos.load.shape import AnyShape, check_load, make_shape, number_problems
from mcp_chaos.metrics import Measured, end_of, measure
from mcp_chaos.proxies import CONTROL_PROXY
from mcp_chaos.run import Run
from mcp_chaos.settings import Settings, command_line
from mcp_chaos.spans import load_spans
from mcp_chaos.spelling import hint, unknown_keys
from mcp_chaos.verdict import INCONCLUSIVE, Verdict, lost_calls, troubles

KIND = "load"
COMPLETE = "complete"
SPEC = "spec"
_HELD_FRACTION = 0.95
_SPEC_SUSTAINED_S = 300.0
_SPEC_NUMBERS = {
    "burst": ("requests", "concurrency"),
    "ramp": ("max_users", "step_users", "requests_per_user", "pause_s"),
    "sustained": ("duration_s", "cycle_s"),
}
"""Which numbers can be given to the specification's script, and to which of its loads they go."""
_POLL_S = 0.05
_LONGEST_S = 24 * 3600.0
_TIMES = ("from_s", "for_s")


@dataclass(frozen=True)
class PlannedFault:
    """A fault and its time.

    Args:
        fault: what is injected.
        from_s: when, in seconds from the start of the load.
        for_s: how long it stays.
    """

    fault: Fault
    from_s: float
    for_s: float

    @classmethod
    def parse(cls, text: str) -> "PlannedFault":
        """A fault as written on a command line: ``add_latency latency_ms=200 from_s=3 for_s=5``.

        Raises:
            UsageError: with every problem at once.
        """
        try:
            name, *pairs = shlex.split(text)
        except ValueError:
            raise UsageError(f"--fault {text!r}: a fault such as 'partition from_s=3 for_s=2' is needed") from None
        if name not in FAULTS:
            raise UsageError(f"--fault {text!r}: there is no fault {name!r}{hint(name, list(FAULTS))}")
        given = {key: _value(value) for key, _, value in (pair.partition("=") for pair in pairs)}
        known = [field.name for field in fields(FAULTS[name])]
        problems = unknown_keys("", name, given, [*known, *_TIMES])
        if len(given) < len(pairs):
            problems.append("a number is given twice")
        times = {key: given.pop(key, default) for key, default in zip(_TIMES, (3.0, 3.0), strict=True)}
        problems += [p for key, value in times.items() for p in number_problems(key, value, 0, _LONGEST_S)]
        try:
            fault = make_fault(FAULTS[name], **{key: value for key, value in given.items() if key in known})
        except TypeError as error:  # a number that it needs is not there
            problems.append(str(error).partition("() ")[2] or str(error))
        except UsageError as error:
            problems += error.problems
        if not problems and fault.proxy == CONTROL_PROXY:
            problems.append(f"proxy: '{CONTROL_PROXY}' is never poisoned")
        if problems:
            raise UsageError([f"--fault {text!r}: {problem}" for problem in problems])
        return cls(fault, float(times["from_s"]), float(times["for_s"]))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True)
class Plan:
    """What ``mcp-chaos load`` is asked for.

    Args:
        shape: a name from ``load.shape.SHAPES``, or ``spec``.
        numbers: of the shape; those of ``spec`` are of all its three loads.
        faults: while it runs.
        deadline_s: of each call.
        workers: how many processes share each load.
    """

    shape: str
    numbers: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[PlannedFault] = ()
    deadline_s: float = 10.0
    workers: int = 1

    def check(self) -> None:
        """Check all of it.

        Raises:
            UsageError: with every problem at once; nothing was started.
        """
        problems = _overlaps(self.faults)
        if self.shape == SPEC:
            known = [number for numbers in _SPEC_NUMBERS.values() for number in numbers]
            unknown = [name for name in self.numbers if name not in known]
            problems += [f"{SPEC} has no '{name}'{hint(name, known)}" for name in unknown]
        for name, shape, numbers in self._loads():
            try:
                check_load(name, shape, "faulted", self.deadline_s, None, numbers, self.workers)
            except UsageError as error:
                problems += [problem for problem in error.problems if problem not in problems]
        if problems:
            raise UsageError(problems, "The load cannot be started, and nothing was changed")

    def _loads(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        if self.shape != SPEC:
            yield self.shape, self.shape, self.numbers
            return
        for name, shape in (("basic", "burst"), ("ramp", "ramp"), ("sustained", "sustained")):
            given = {number: self.numbers[number] for number in _SPEC_NUMBERS[shape] if number in self.numbers}
            yield name, shape, {"duration_s": _SPEC_SUSTAINED_S, **given} if shape == "sustained" else given

    def load(self, name: str) -> tuple[str, dict[str, Any]]:
        """The shape and the numbers of one of its loads."""
        return next((shape, numbers) for found, shape, numbers in self._loads() if found == name)


def _overlaps(faults: Sequence[PlannedFault]) -> list[str]:
    """A proxy is healed as a whole, so its faults have to come one after the other."""
    problems = []
    for first, second in ((a, b) for a in faults for b in faults if a is not b):
        if first.fault.proxy == second.fault.proxy and first.from_s <= second.from_s < first.from_s + first.for_s:
            problems.append(
                f"--fault: {second.fault.title()} comes while {first.fault.title()} is in place on the same proxy"
            )
    return problems


@dataclass(frozen=True)
class Report:
    """What came of a load.

    Args:
        folder: of the run.
        results: by load, in the order they ran.
        measured: for windows and faults.
        doubts: why the result says little; empty when all is well.
        interrupted: whether a person or a signal ended it.
    """

    folder: RunFolder
    results: dict[str, dict[str, Any]]
    measured: Measured
    doubts: list[str]
    interrupted: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        manifest = self.folder.manifest()
        return {
            **{key: manifest.get(key) for key in ("run_id", "target", "dialect", "seed", "shape")},
            "conclusive": not self.doubts,
            "doubts": self.doubts,
            "interrupted": self.interrupted,
            "loads": self.results,
            "faults": [asdict(fault) for fault in self.measured.faults],
            "windows": {
                window: {lane: figures.as_dict() for lane, figures in lanes.items() if figures.calls}
                for window, lanes in self.measured.figures.items()
                if self.measured.faults
            },
        }

    def answer(self) -> Verdict:
        """What a page says of it: no threshold judges a load, so it is complete, or says little."""
        summaries = [result["summary"] for result in self.results.values()]
        calls, ok = sum(s["calls"] for s in summaries), sum(s["outcomes"]["ok"] for s in summaries)
        said = f"{calls:,} calls were made, {ok:,} of them were answered well"
        return Verdict(INCONCLUSIVE if self.doubts else COMPLETE, [*self.doubts, said], self.measured, [])

    @classmethod
    def read(cls, folder: RunFolder) -> "Report":
        """The report of a run, made from its files.

        Raises:
            HistoryError: the files are not those of a run.
        """
        history = History.read(folder)
        whole = history.expected_calls
        results = {name: _result(folder, name) if name in whole else _counted(history, name) for name in history.calls}
        doubts = [*troubles(history.events), *lost_calls(history)]
        doubts += [
            f"the result of the load '{name}' is missing; its calls were counted instead"
            for name in results
            if name not in whole
        ]
        measured = measure(history)
        doubts += [
            f"the fault '{fault.name}' was not felt: {fault.doubt or 'no proof was made'}"
            for fault in measured.faults
            if fault.proof is None
        ]
        if not any(result["summary"]["calls"] for result in results.values()):
            doubts.append("no call was made")
        interrupted = any(event.kind == "interrupted" for event in history.events)
        return cls(folder, results, measured, doubts, interrupted)


def _result(folder: RunFolder, name: str) -> dict[str, Any]:
    result: dict[str, Any] = folder.read(f"result-{name}.json")
    if not has_summary(result):
        raise HistoryError(f"{folder.path / f'result-{name}.json'} is not the result of a load. It was left as it is.")
    return result


def _counted(history: History, name: str) -> dict[str, Any]:
    """What the calls of a load tell that was killed before it wrote its result."""
    span = load_spans(history.events, end_of(history)).get(name)
    unmeasured = {**generator([]), "kept_up": None}
    return {"summary": summary(Tally([history.calls[name]]), span.seconds if span else 0.0, unmeasured)}


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
        load = self._run.load(name)
        self._began = self._began or time.monotonic()
        while load.running and not self._interrupted.wait(_POLL_S):
            self._keep_time()
        return load.stop()  # one that has ended stays as it is

    def _start(self, name: str, shape: AnyShape) -> None:
        self._run.start_load(self._run.spec(name, shape, "faulted", self._plan.deadline_s, workers=self._plan.workers))

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
    """An event that SIGINT and SIGTERM set, instead of what they do otherwise."""
    interrupted = threading.Event()
    before = {n: signal.signal(n, lambda *_: interrupted.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

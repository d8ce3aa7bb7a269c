"""One run: its folder, its environment, its faults, its loads, and the end of all of them."""

import atexit
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

from mcp_chaos.clients.exchange import Wire
from mcp_chaos.clients.fault import ClientFaults, check_dialect
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import McpChaosError, PartError, ToxiproxyError, UsageError
from mcp_chaos.faults.fault import Fault
from mcp_chaos.faults.injection import Injector
from mcp_chaos.faults.kinds import Flap
from mcp_chaos.faults.ledger import leftovers
from mcp_chaos.faults.process import ProcessFaults
from mcp_chaos.faults.watchdog import Watchdog
from mcp_chaos.history.calls import LANES
from mcp_chaos.history.folder import SCHEMA, RunFolder
from mcp_chaos.load.process import LoadProcess
from mcp_chaos.load.shape import AnyShape
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.loopback import is_loopback
from mcp_chaos.machine.printable import printable_lines
from mcp_chaos.machine.processes import end_children, identity
from mcp_chaos.machine.pulse import LATE_P95_MS, OBSERVATION, Pulse
from mcp_chaos.observe.server_process import ProcessSample, listening_process, sample
from mcp_chaos.run.environment import Environment
from mcp_chaos.run.judged_loads import JudgedLoads
from mcp_chaos.run.progress import Progress
from mcp_chaos.run.proxies import CONTROL_PROXY
from mcp_chaos.workload.workload import Workload

Say = Callable[[str], None]


class Run:
    """A run from its first started part to its last ended one.

    Args:
        settings: checked.
        experiment: the title, which names the folder.
        thresholds: as written in the experiment; kept in the manifest.
        say: told what goes on, a line at a time.
        direct: whether the load goes to the server itself; there are no faults then, and no Toxiproxy.
        loaded: whether there will be loads; without any, no call is chosen.
    """

    def __init__(
        self,
        settings: Settings,
        experiment: str,
        thresholds: dict[str, Any],
        say: Say,
        *,
        direct: bool = False,
        loaded: bool = True,
    ) -> None:
        self.clock = Clock.start()
        self.folder = RunFolder.create(settings.runs, experiment)
        self._say = say
        self.environment = Environment(settings, self.folder, self.clock, self.say, direct, loaded)
        self._manifest = {"schema": SCHEMA, "experiment": experiment, "thresholds": thresholds, "process": identity()}
        self._loads: dict[str, LoadProcess] = {}
        self.judged_loads = JudgedLoads()
        self._seen_ended: set[str] = set()
        self._watchdog: Watchdog | None = None
        self._injector: Injector | None = None
        self._process_faults: ProcessFaults | None = None
        self.client_faults = ClientFaults(self.folder, self.clock)
        self.reasons: dict[str, str] = {}
        self._reason = ""
        self.server_before: ProcessSample | None = None
        self._progress: Progress | None = None
        self._pulse: Pulse | None = None
        self._closing = threading.Lock()
        self._closed = False
        self._hurried = False

    def say(self, text: str) -> None:
        """Tell whoever started the run; that they cannot be told any more stands in the way of nothing."""
        with suppress(OSError, ValueError):
            self._say(printable_lines(text))

    def start(self) -> None:
        """Start what is missing and keep watch over it.

        Raises:
            McpChaosError: something is missing or does not answer; nothing is left running.
        """
        began_ns = self.clock.now_ns()
        atexit.register(self.close)
        try:
            self._write_manifest({})
            self._watchdog = Watchdog(self.folder, self.clock)
            self.event("run_started")
            self.environment.start()
            self._write_manifest(self.environment.describe())
        except OSError as error:  # the log of a part or of the watchdog
            self.close()
            raise PartError(f"The run could not be started ({error}). Nothing was left running.") from None
        except BaseException:
            self.close()
            raise
        if not self.environment.direct:
            env = self.environment
            self._injector = Injector(env.toxiproxy, env.ways, self.folder, self.clock, env.restart_toxiproxy)
            self._injector.start()
            self._process_faults = ProcessFaults(self.environment.victims(), self.folder, self.clock)
        self._progress = Progress(self.running_loads, self.say)
        self._pulse = Pulse()
        took_s = (self.clock.now_ns() - began_ns) / 1e9
        self.event("parts_ready", took_s=took_s)
        self.say(f"All parts answer after {took_s:.1f} s; this run is kept in {self.folder.path}")

    def describe(self, **facts: Any) -> None:
        """Add to the manifest, before the run is started."""
        self._manifest |= facts

    def event(self, kind: str, **data: Any) -> None:
        """Append an event to the history."""
        self.folder.event(self.clock.now_ns(), kind, **data)

    def observe(self, probe: str, reading: Any) -> Any:
        """Append the reading of a probe to the history and return it."""
        self.folder.observation(self.clock.now_ns(), probe, reading)
        self._reason = str(reading.get("why") or "") if isinstance(reading, dict) else ""
        return reading

    def note_reason(self, activity: str) -> None:
        """Keep why the probe that was just made gave what it gave, under the name of its activity."""
        self.reasons[activity], self._reason = self._reason, ""

    def server_sample(self) -> ProcessSample | None:
        """What the server's process holds now; ``None`` where it cannot be seen from here."""
        target = self.environment.own_target
        if not is_loopback(target.connect_host):
            return None
        process = listening_process(target.connect_port, target.connect_host)
        return sample(process, target.connect_port) if process is not None else None

    def wire(self, deadline_s: float) -> Wire:
        """The way to the server itself for clients whose exchanges may each take ``deadline_s``."""
        check_dialect(self.environment.settings.dialect)
        return Wire(self.environment.own_target, deadline_s)

    def inject(self, fault: Fault) -> dict[str, Any]:
        """Inject a network fault; see ``Injector.inject``."""
        if fault.proxy == CONTROL_PROXY:
            raise UsageError(f"'{CONTROL_PROXY}' is never poisoned: the verdict compares with it. Nothing was changed.")
        self.require_calls(fault.title())
        return self.injector.flap(fault) if isinstance(fault, Flap) else self.injector.inject(fault)

    def require_calls(self, fault: str) -> None:
        """Refuse a fault that none of the calls to be judged would meet; a run without judged loads needs none.

        Raises:
            PartError: a load that is to be judged did not start, or makes no calls; nothing was changed.
        """
        idle = self.judged_loads.idle(lambda: self._hurried)
        if idle is not None:
            self.event("fault_withheld", name=fault, load=idle.load, why=idle.why)
            raise PartError(f"'{fault}' was not injected, and nothing was changed: {idle.why}")

    def heal(self, where: str | None = None) -> list[str]:
        """Take back the faults that this run put in place, of one proxy or part, or all. May be repeated.

        Raises:
            UsageError: there is no such proxy or part.
            ToxiproxyError, PartError: what could not be healed; all was tried.
        """
        known = [*self.environment.ways, *self.environment.parts]
        if where is not None and where not in known:
            raise UsageError(f"There is no proxy or part '{where}' to heal; there are {', '.join(known)}.")
        healed: list[str] = []
        errors: list[McpChaosError] = []
        for faults in (self.injector, self.process_faults):  # a Toxiproxy that is dead keeps no process paused
            try:
                healed += faults.heal(where)
            except McpChaosError as error:
                errors.append(error)
        if errors:
            raise type(errors[0])("\n".join(map(str, errors)))
        return healed

    @property
    def injector(self) -> Injector:
        """The network faults."""
        assert self._injector is not None
        return self._injector

    @property
    def process_faults(self) -> ProcessFaults:
        """The process faults."""
        assert self._process_faults is not None
        return self._process_faults

    def spec(
        self,
        name: str,
        shape: AnyShape,
        lane: str,
        deadline_s: float,
        workload: Workload | None = None,
        workers: int = 1,
    ) -> LoadSpec:
        """The record of a load of this run, from what ``load.shape.check_load`` let pass; the run's own workload."""
        return LoadSpec(
            name=name,
            target=self.environment.target(LANES[lane]),
            shape=shape,
            workload=workload or self.environment.workload,
            deadline_s=float(deadline_s),
            seed=self.environment.settings.seed,
            lane=LANES[lane],
            clock_offset_ns=self.clock.offset_ns,
            workers=int(workers),
        )

    def capacity_of(self, ramp: str) -> int:
        """How many users a ramp that ended could hold.

        Raises:
            UsageError: there is no such ramp.
            PartError: it has not ended, it died, or it held at no step.
        """
        result = self.load(ramp).result()
        if "capacity_users" not in result:
            raise UsageError(f"users_from: the load '{ramp}' is no ramp, so it has no capacity.")
        if not result["capacity_users"]:
            raise PartError(f"The ramp '{ramp}' held at no step: the server cannot carry even its smallest load.")
        return int(result["capacity_users"])

    def start_load(self, spec: LoadSpec) -> None:
        """Start a load and wait until it makes calls.

        Raises:
            UsageError: there is one of that name already.
            PartError: it does not start.
        """
        if spec.judged and self.server_before is None:
            self.server_before = self.server_sample()
        if spec.name in self._loads:
            raise UsageError(f"There is a load '{spec.name}' in this run already; give this one another name.")
        load = LoadProcess(spec, self.folder)
        self._loads[spec.name] = load
        load.start()
        if spec.judged:
            self.judged_loads.started(load)

    def load(self, name: str) -> LoadProcess:
        """A load by its name.

        Raises:
            UsageError: there is none.
        """
        if name not in self._loads:
            raise UsageError(
                f"There is no load '{name}' in this run; there are {', '.join(self._loads) or 'none yet'}."
            )
        return self._loads[name]

    def new_load_name(self, stem: str) -> str:
        """A name that no load of this run has."""
        return next(name for name in (f"{stem}-{n}" for n in count(1)) if name not in self._loads)

    def run_load(self, spec: LoadSpec) -> dict[str, Any]:
        """Run a load to its end and return its result.

        Raises:
            PartError: it does not start, died, or took longer than its calls may.
        """
        self.start_load(spec)
        longest_s = spec.deadline_s * (spec.shape.first().total_requests + 1)
        return self.load(spec.name).wait(longest_s)

    def running_loads(self) -> list[LoadProcess]:
        """The loads that still make calls."""
        return [load for load in list(self._loads.values()) if load.running]  # others may start one meanwhile

    def wait_for_load(self, name: str, timeout_s: float) -> dict[str, Any]:
        """Wait for a load's end and return its result; a signal to the run ends the waiting.

        Raises:
            UsageError: there is none of that name.
            PartError: it did not end in time, or it died.
        """
        return self.load(name).wait(timeout_s, lambda: self._hurried)

    def hurry(self) -> None:
        """End what goes on in background activities; only sets flags, so a signal handler may call it."""
        self._hurried = True
        if self._injector is not None:
            self._injector.stop_flapping()
        self.client_faults.stop()

    def stop_loads(self) -> None:
        """End all loads properly; one that died is put on record."""
        for name, load in self._loads.items():
            if name in self._seen_ended:
                continue
            self._seen_ended.add(name)
            try:
                load.stop()
            except McpChaosError as error:
                self.event("load_failed", load=name, error=str(error))

    def close(self) -> None:
        """End the run: faults, loads, parts, watchdog, in this order, whatever becomes of one of them. May be repeated.

        Nothing of it needs a disk: what cannot be written is told by ``folder.check_written``.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        for end in (self._heal_at_the_end, self._stop_watching, self.stop_loads, self._end_parts):
            try:
                end()
            except Exception as error:
                self.event("control_failed", name=end.__name__, error=repr(error))
        self.event("run_ended")
        self._let_the_watchdog_go()

    def _let_the_watchdog_go(self) -> None:
        left = leftovers(self.folder.recorded)
        if self._watchdog is not None and not (left.faults or left.proxies or left.missing):
            self._watchdog.dismiss()
        elif self._watchdog is not None:
            self._watchdog.let_it_clean_up()
            self.say(f"Something may still be in place. To remove it later: mcp-chaos heal {self.folder.path}")

    def _stop_watching(self) -> None:
        if self._progress is not None:
            self._progress.stop()
        if self._pulse is not None:
            self._note_pulse(self._pulse.stop())

    def _end_parts(self) -> None:
        for trouble in self.environment.stop():
            self.event("heal_failed", error=trouble)
        # A signal between the start of a child and its being noted leaves one that nobody knows of but by its marker.
        end_children(str(self.folder.path))

    def _note_pulse(self, pulse: dict[str, Any]) -> None:
        self.observe(OBSERVATION, pulse)
        late_ms = pulse["late_p95_ms"]
        if late_ms is not None and late_ms > LATE_P95_MS:
            self.event("machine_overloaded", late_ms=late_ms)

    def _heal_at_the_end(self) -> None:
        if self._injector is None:
            return
        for part in self.environment.dead_parts():
            if part not in self.process_faults.hurt_parts:
                self.event("part_died", part=part)
        try:
            self.injector.heal()
        except ToxiproxyError as error:
            self.say(str(error))
        finally:
            # A part that is paused or killed is ended now, which is an end of its fault as well.
            self.process_faults.settle()
            self._injector.close()

    def _write_manifest(self, description: dict[str, Any]) -> None:
        self._manifest |= {"run_id": self.folder.run_id, "clock_offset_ns": self.clock.offset_ns, **description}
        self.folder.write("manifest.json", self._manifest)

"""One run: its folder, its environment, its faults, its loads, and the end of all of them."""

import asyncio
import atexit
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mcp_chaos.clients.exchange import Wire
from mcp_chaos.clients.fault import ClientFaults, check_dialect
from mcp_chaos.clients.versions import wires_of
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import McpChaosError, PartError, ToxiproxyError, UsageError
from mcp_chaos.faults.fault import Fault
from mcp_chaos.faults.injection import Injector
from mcp_chaos.faults.kinds import Flap
from mcp_chaos.faults.ledger import leftovers
from mcp_chaos.faults.leftover_runs import clean_up_earlier
from mcp_chaos.faults.process import ProcessFaults
from mcp_chaos.faults.watchdog import Watchdog
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.printable import printable_lines
from mcp_chaos.machine.processes import end_children, identity
from mcp_chaos.machine.pulse import CROWDED, LATE_P95_MS, OBSERVATION, Pulse
from mcp_chaos.machine.register import check_allowed
from mcp_chaos.run.environment import Environment
from mcp_chaos.run.judged_loads import JudgedLoads
from mcp_chaos.run.loads import Loads
from mcp_chaos.run.progress import Progress
from mcp_chaos.run.proxies import CONTROL_PROXY
from mcp_chaos.run.server_watch import ServerWatch

Say = Callable[[str], None]

_POLL_S = 0.05


class Run:
    """A run from its first started part to its last ended one.

    Args:
        settings: checked.
        experiment: the title, which names the folder.
        thresholds: as written in the experiment; kept in the manifest.
        say: told what goes on, a line at a time.
        direct: whether the load goes to the server itself; there are no faults then, and no Toxiproxy.
        loaded: whether there will be loads; without any, no call is chosen.

    Raises:
        StoppedError: runs are forbidden on this machine.
        HistoryError: its folder cannot be made.
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
        check_allowed()
        self.clock = Clock.start()
        self.folder = RunFolder.create(settings.runs, experiment)
        self._say = say
        self.environment = Environment(settings, self.folder, self.clock, self.say, direct, loaded)
        self._thresholds = thresholds
        self._manifest: dict[str, Any] = {"experiment": experiment, "thresholds": thresholds, "process": identity()}
        self.loads = Loads(self.environment, self.folder, self.clock)
        self.judged_loads = JudgedLoads()
        self._watchdog: Watchdog | None = None
        self._injector: Injector | None = None
        self._process_faults: ProcessFaults | None = None
        self.client_faults = ClientFaults(self.folder, self.clock)
        self.reasons: dict[str, str] = {}
        self._reason = ""
        self._server_watch: ServerWatch | None = None
        self._progress: Progress | None = None
        self._pulse: Pulse | None = None
        self._wires: tuple[Wire, ...] | None = None
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
            self._start_all()
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
        self._progress = Progress(self.loads.running, self.say)
        self._pulse = Pulse()
        self._server_watch = ServerWatch(self.environment, self.folder, self.clock, self.event)
        self._server_watch.start()
        took_s = (self.clock.now_ns() - began_ns) / 1e9
        self.event("parts_ready", took_s=took_s)
        self.say(f"All parts answer after {took_s:.1f} s; this run is kept in {self.folder.path}")

    def _start_all(self) -> None:
        """Be found by others, see to what an earlier run left, and start what is missing."""
        self._write_manifest({})
        targets = self.environment.lock_names
        self._watchdog = Watchdog(self.folder, self.clock, targets)
        check_allowed()  # again, now that whoever forbids runs finds this one
        self.event("run_started")
        for sentence in clean_up_earlier(targets):
            self.event("earlier_run_healed", told=sentence)
            self.say(sentence)
        self.environment.start()
        self._write_manifest(self.environment.describe())

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
        return self._server_watch.look() if self._server_watch is not None else None

    def wire(self, deadline_s: float) -> Wire:
        """The way to the server itself for clients whose exchanges may each take ``deadline_s``."""
        check_dialect(self.environment.settings.dialect)
        return Wire(self.environment.addresses.own_target, deadline_s)

    def wires(self, deadline_s: float) -> tuple[Wire, ...]:
        """As :meth:`wire`, in each protocol version that has to be asked; which ones is found out once."""
        if self._wires is None:
            self._wires = asyncio.run(wires_of(self.wire(deadline_s)))
            if len(self._wires) > 1:
                versions = [wire.version for wire in self._wires]
                self.folder.observation(self.clock.now_ns(), "protocol_versions", versions)
                self.say(f"The server is asked in the protocol versions {' and '.join(versions)}")
        return tuple(replace(wire, deadline_s=deadline_s) for wire in self._wires)

    def inject(self, fault: Fault, for_s: float | None = None) -> dict[str, Any]:
        """Inject a network fault, for a time or to stay; see ``Injector.inject``."""
        if fault.proxy == CONTROL_PROXY:
            raise UsageError(f"'{CONTROL_PROXY}' is never poisoned: the verdict compares with it. Nothing was changed.")
        self.require_calls(fault.title())
        return self.injector.flap(fault) if isinstance(fault, Flap) else self.injector.inject(fault, for_s)

    def hold(self, seconds: float) -> None:
        """Let what was done to a process last; a signal to the run ends the waiting."""
        until = time.monotonic() + seconds
        while not self._hurried and (left_s := until - time.monotonic()) > 0:
            time.sleep(min(left_s, _POLL_S))

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

    def start_loads(self, specs: Sequence[LoadSpec]) -> None:
        """Start loads at the same time and wait until they make calls.

        Raises:
            UsageError: there is one of that name already.
            PartError: one does not start.
        """
        judged = any(spec.judged for spec in specs)
        if judged and self._server_watch is not None:
            self._server_watch.before_load()
        for load in self.loads.start(*specs):
            if load.spec.judged:
                self.judged_loads.started(load)

    def wait_for_load(self, name: str, timeout_s: float) -> dict[str, Any]:
        """Wait for a load's end and return its result; a signal to the run ends the waiting.

        Raises:
            UsageError: there is none of that name.
            PartError: it did not end in time, or it died.
        """
        return self.loads.get(name).wait(timeout_s, lambda: self._hurried)

    def hurry(self) -> None:
        """End what goes on in background activities; only sets flags, so a signal handler may call it."""
        self._hurried = True
        if self._injector is not None:
            self._injector.hurry()
        self.client_faults.stop()

    def rest(self, told_to_end: Callable[[], bool]) -> None:
        """End the loads and let the server come to rest, unless the run was told to end, or a part of it is hurt.

        Args:
            told_to_end: whether to wait no longer, asked all the time.
        """
        is_hurt = self._process_faults is not None and bool(self._process_faults.hurt_parts)
        if self._server_watch is None or self._hurried or told_to_end() or is_hurt:
            return
        self.loads.stop_all()
        self._server_watch.rest(self._thresholds, told_to_end)

    def close(self) -> None:
        """End the run: faults, loads, parts, watchdog, in this order, whatever becomes of one of them. May be repeated.

        Nothing of it needs a disk: what cannot be written is told by ``folder.check_written``.
        """
        with self._closing:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self.close)
        for end in (self._heal_at_the_end, self._stop_watching, self.loads.stop_all, self._end_parts):
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
        if self._server_watch is not None:
            self._server_watch.stop()
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
        tasks_per_core = pulse["tasks_per_core"]
        if tasks_per_core is not None and tasks_per_core > CROWDED:
            self.event("machine_crowded", tasks_per_core=tasks_per_core)

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
        self.folder.write_manifest(self._manifest)

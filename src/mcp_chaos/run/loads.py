"""The loads of a run."""

from itertools import count
from typing import Any

from mcp_chaos.errors import McpChaosError, PartError, UsageError
from mcp_chaos.history.calls import LANES
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.process import LoadProcess
from mcp_chaos.load.shape import Shape
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock
from mcp_chaos.run.environment import Environment
from mcp_chaos.workload.workload import Workload


class Loads:
    """The loads of a run, each in a process of its own.

    Args:
        environment: of the run.
        folder: of the run.
        clock: of the run.
    """

    def __init__(self, environment: Environment, folder: RunFolder, clock: Clock) -> None:
        self._environment = environment
        self._folder = folder
        self._clock = clock
        self._loads: dict[str, LoadProcess] = {}
        self._seen_ended: set[str] = set()

    def spec(
        self,
        name: str,
        shape: Shape,
        lane: str,
        deadline_s: float,
        workload: Workload | None = None,
        workers: int = 1,
    ) -> LoadSpec:
        """The record of a load of this run, from what ``load.checks.check_load`` let pass; the run's own workload."""
        return LoadSpec(
            name=name,
            target=self._environment.addresses.target(LANES[lane]),
            shape=shape,
            workload=workload or self._environment.workload,
            deadline_s=float(deadline_s),
            seed=self._environment.settings.seed,
            lane=LANES[lane],
            clock_offset_ns=self._clock.offset_ns,
            workers=int(workers),
        )

    def ramp(self, ramp: str) -> dict[str, Any]:
        """The result of a ramp that ended, which held at one step at least.

        Raises:
            UsageError: there is no such ramp.
            PartError: it has not ended, it died, or it held at no step.
        """
        result = self.get(ramp).result()
        if "capacity_users" not in result:
            raise UsageError(f"users_from: the load '{ramp}' is no ramp, so it has no capacity.")
        if not result["capacity_users"]:
            raise PartError(f"The ramp '{ramp}' held at no step: the server cannot carry even its smallest load.")
        return result

    def start(self, *specs: LoadSpec) -> list[LoadProcess]:
        """Start loads at the same time and wait until they make calls.

        Raises:
            UsageError: there is one of that name already.
            PartError: one does not start.
        """
        for spec in specs:
            if spec.name in self._loads:
                raise UsageError(f"There is a load '{spec.name}' in this run already; give this one another name.")
        loads = [LoadProcess(spec, self._folder) for spec in specs]
        for load in loads:
            self._loads[load.spec.name] = load
            load.begin()
        for load in loads:
            load.wait_for_start()
        return loads

    def get(self, name: str) -> LoadProcess:
        """A load by its name.

        Raises:
            UsageError: there is none.
        """
        if name not in self._loads:
            raise UsageError(
                f"There is no load '{name}' in this run; there are {', '.join(self._loads) or 'none yet'}."
            )
        return self._loads[name]

    def new_name(self, stem: str) -> str:
        """A name that no load of this run has."""
        return next(name for name in (f"{stem}-{n}" for n in count(1)) if name not in self._loads)

    def run(self, spec: LoadSpec) -> dict[str, Any]:
        """Run a load to its end and return its result.

        Raises:
            PartError: it does not start, died, or took longer than its calls may.
        """
        (load,) = self.start(spec)
        longest_s = spec.deadline_s * (spec.shape.first().total_requests + 1)
        return load.wait(longest_s)

    def running(self) -> list[LoadProcess]:
        """The loads that still make calls."""
        return [load for load in list(self._loads.values()) if load.running]  # others may start one meanwhile

    def stop_all(self) -> None:
        """End all loads properly; one that died is put on record."""
        for name, load in self._loads.items():
            if name in self._seen_ended:
                continue
            self._seen_ended.add(name)
            try:
                load.stop()
            except McpChaosError as error:
                self._folder.event(self._clock.now_ns(), "load_failed", load=name, error=str(error))

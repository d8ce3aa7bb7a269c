"""Process faults: pause, kill and restart of a server that the run owns or was given, beside network faults.

A process that was given by its id is somebody else's: the run can end it, and whoever keeps it running has to start it
again.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import psutil

from mcp_chaos.errors import PartError, UsageError
from mcp_chaos.faults.asking import ask
from mcp_chaos.faults.comparison import CLEAN_TIMEOUT_S
from mcp_chaos.faults.route import Route
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.processes import identity, is_alive

PAUSE = "pause"
KILL = "kill"

_BACK_S = 30.0
_ASK_S = 0.5
_WAIT_POLL_S = 0.01
_POLL_S = 0.05


class Process(Protocol):
    """What a process fault needs of a process."""

    @property
    def pid(self) -> int | None:
        """Its id."""

    @property
    def alive(self) -> bool:
        """Whether it runs; a paused one does."""

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended."""

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came in time."""

    def stop(self) -> None:
        """End it."""

    def start(self) -> None:
        """Start it."""


class GivenProcess:
    """A process that somebody else started.

    Args:
        pid: of it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.identity = identity(pid)

    @property
    def alive(self) -> bool:
        """Whether it runs, and no later process has its id."""
        try:
            return is_alive(self.identity) and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has ended.

        Raises:
            PartError: it is another user's.
        """
        try:
            if is_alive(self.identity):
                os.kill(self.pid, number)
        except ProcessLookupError:
            pass
        except PermissionError:
            raise PartError(f"The process {self.pid} belongs to another user. Nothing was changed.") from None

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; whether it came in time."""
        until = time.monotonic() + timeout_s
        while self.alive and time.monotonic() < until:
            time.sleep(_WAIT_POLL_S)
        return not self.alive

    def stop(self, grace_s: float = 3.0) -> None:
        """End it: SIGTERM, and SIGKILL when it has not gone."""
        for number in (signal.SIGCONT, signal.SIGTERM):
            self.signal(number)
        if not self.wait(grace_s):
            self.signal(signal.SIGKILL)
            self.wait(grace_s)

    def start(self) -> None:
        """Nothing: that is for whoever keeps it running."""

    def wait_until_it_is_back(self, way: Route) -> None:
        """Wait until a server answers where it was.

        Raises:
            PartError: none does.
        """
        until = time.monotonic() + _BACK_S
        while ask(way.direct, way, _ASK_S).ended != "answered":
            if time.monotonic() > until:
                raise PartError(
                    f"No server came back in the place of the process {self.pid} within {_BACK_S:g} s. The run cannot "
                    "start it; whoever keeps it running has to."
                )
            time.sleep(_POLL_S)


@dataclass(frozen=True)
class Victim:
    """A process that may be hurt.

    Args:
        child: the process.
        wait_until_it_answers: called after a restart.
        way: how the canary reaches it.
    """

    child: Process
    wait_until_it_answers: Callable[[], None]
    way: Route


class ProcessFaults:
    """Process faults of one run.

    Args:
        victims: by part name; only what the run started is among them.
        folder: where the history goes.
        clock: of the run.
    """

    def __init__(self, victims: dict[str, Victim], folder: RunFolder, clock: Clock) -> None:
        self._victims = victims
        self._folder = folder
        self._clock = clock
        self._active: dict[str, dict[str, Any]] = {}
        self._ids = count(1)

    def hurt(self, part: str, kind: str) -> dict[str, Any]:
        """Pause or kill a part and prove it. The same again changes nothing and returns the first receipt.

        Raises:
            UsageError: the run owns no such part.
            PartError: it is not running.
        """
        victim = self._victim(part)
        if part in self._active:
            if self._active[part]["name"] == kind:
                return {**self._active[part], "already": True}
            raise PartError(f"The {part} is under '{self._active[part]['name']}' already; heal or restart it first.")
        if not victim.child.alive:
            raise PartError(f"The {part} is not running, so it cannot be hit by '{kind}'. Nothing was changed.")
        receipt: dict[str, Any] = {
            "fault_id": f"process-{next(self._ids)}",
            "proxy": part,
            "name": kind,
            "toxics": [],
            "pid": victim.child.pid,
        }
        # Whoever cleans up after this run has to know it from any later process with its id.
        given = {"process": victim.child.identity} if isinstance(victim.child, GivenProcess) else {}
        self._event("fault_injecting", **receipt, **given)
        self._active[part] = receipt
        victim.child.signal(signal.SIGSTOP if kind == PAUSE else signal.SIGKILL)
        if kind == KILL:
            victim.child.wait(CLEAN_TIMEOUT_S)
        self._event("fault_injected", fault_id=receipt["fault_id"])
        self._prove(receipt, victim.way, kind)
        return receipt

    def restart(self, part: str) -> dict[str, Any]:
        """End a part and start it again on its port; waits until it answers. A paused or killed one is healed by it.

        Raises:
            UsageError: the run owns no such part.
            PartError: it does not come back.
        """
        victim = self._victim(part)
        receipt = self._active.get(part)
        if receipt is None:
            receipt = {"fault_id": f"process-{next(self._ids)}", "proxy": part, "name": "restart", "toxics": []}
            self._event("fault_injecting", **receipt)
            victim.child.stop()
            self._event("fault_injected", fault_id=receipt["fault_id"])
            self._prove(receipt, victim.way, KILL)
        self._bring_back(victim)
        self._heal(part, receipt)
        return receipt

    def heal(self, part: str | None = None) -> list[str]:
        """Continue what is paused, start again what is killed. May be repeated.

        Returns:
            The names of what was healed.

        Raises:
            PartError: after trying all; says which do not come back.
        """
        healed, troubles = [], []
        for name, receipt in list(self._active.items()):
            if part not in (None, name):
                continue
            victim = self._victim(name)
            try:
                if receipt["name"] == PAUSE:
                    victim.child.signal(signal.SIGCONT)
                else:
                    self._bring_back(victim)
            except PartError as error:
                troubles.append(str(error))
                continue
            self._heal(name, receipt)
            healed.append(f"{receipt['name']} of the {name}")
        if troubles:
            raise PartError("\n".join(troubles))
        return healed

    @property
    def hurt_parts(self) -> list[str]:
        """The parts that are paused or killed now."""
        return list(self._active)

    def settle(self) -> None:
        """The run ends and its parts with it: nothing is left to be healed but a paused process of somebody else's."""
        for part, receipt in self._active.items():
            victim = self._victims[part]
            if isinstance(victim.child, GivenProcess):
                victim.child.signal(signal.SIGCONT)
            self._event("fault_ended", fault_id=receipt["fault_id"])
        self._active.clear()

    def _victim(self, part: str) -> Victim:
        if part not in self._victims:
            there = ", ".join(self._victims) or "none, as the target is your own"
            raise UsageError(f"The run has no process '{part}'; it has {there}. Nothing was changed.")
        return self._victims[part]

    def _bring_back(self, victim: Victim) -> None:
        victim.child.stop()
        victim.child.start()
        victim.wait_until_it_answers()

    def _heal(self, part: str, receipt: dict[str, Any]) -> None:
        self._active.pop(part, None)
        self._event("fault_healed", fault_id=receipt["fault_id"])

    def _prove(self, receipt: dict[str, Any], way: Route, kind: str) -> None:
        reading = ask(way.direct, way, _ASK_S)
        expected = ("silent",) if kind == PAUSE else ("refused", "reset", "closed")
        if reading.ended in expected:
            receipt["proof"] = f"a request was {reading.ended}"
            self._event("fault_proven", fault_id=receipt["fault_id"], proof=receipt["proof"])
        else:
            receipt["doubt"] = f"a request was {reading.ended}"
            self._event("fault_unproven", fault_id=receipt["fault_id"], doubt=receipt["doubt"])

    def _event(self, kind: str, **data: Any) -> None:
        self._folder.event(self._clock.now_ns(), kind, **data)

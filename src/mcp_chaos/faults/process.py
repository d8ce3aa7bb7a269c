"""Process faults: pause, kill and restart of a server that the run owns, in the same history as network faults."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from mcp_chaos.child import Child
from mcp_chaos.errors import PartError, UsageError
from mcp_chaos.faults.canary import CLEAN_TIMEOUT_S, Lane, ask
from mcp_chaos.history import RunFolder
from mcp_chaos.records import Clock

PAUSE = "pause"
KILL = "kill"


@dataclass(frozen=True)
class Victim:
    """A process that may be hurt.

    Args:
        child: the process.
        wait_until_it_answers: called after a restart.
        way: how the canary reaches it.
    """

    child: Child
    wait_until_it_answers: Callable[[], None]
    way: Lane


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
        self._event("fault_injecting", **receipt)
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
            PartError: a part does not come back.
        """
        healed = []
        for name, receipt in list(self._active.items()):
            if part not in (None, name):
                continue
            victim = self._victim(name)
            if receipt["name"] == PAUSE:
                victim.child.signal(signal.SIGCONT)
            else:
                self._bring_back(victim)
            self._heal(name, receipt)
            healed.append(f"{receipt['name']} of the {name}")
        return healed

    @property
    def hurt_parts(self) -> list[str]:
        """The parts that are paused or killed now."""
        return list(self._active)

    def settle(self) -> None:
        """The run ends and its parts with it: nothing is left to be healed."""
        for receipt in self._active.values():
            self._event("fault_ended", fault_id=receipt["fault_id"])
        self._active.clear()

    def _victim(self, part: str) -> Victim:
        if part not in self._victims:
            there = ", ".join(self._victims) or "none, as the target is your own"
            raise UsageError(f"The run owns no process '{part}'; it owns {there}. Nothing was changed.")
        return self._victims[part]

    def _bring_back(self, victim: Victim) -> None:
        victim.child.stop()
        victim.child.start()
        victim.wait_until_it_answers()

    def _heal(self, part: str, receipt: dict[str, Any]) -> None:
        self._active.pop(part, None)
        self._event("fault_healed", fault_id=receipt["fault_id"])

    def _prove(self, receipt: dict[str, Any], way: Lane, kind: str) -> None:
        reading = ask(way.clean, way, 0.5)
        expected = ("silent",) if kind == PAUSE else ("refused", "reset", "closed")
        if reading.ended in expected:
            receipt["proof"] = f"a request was {reading.ended}"
            self._event("fault_proven", fault_id=receipt["fault_id"], proof=receipt["proof"])
        else:
            receipt["doubt"] = f"a request was {reading.ended}"
            self._event("fault_unproven", fault_id=receipt["fault_id"], doubt=receipt["doubt"])

    def _event(self, kind: str, **data: Any) -> None:
        self._folder.event(self._clock.now_ns(), kind, **data)

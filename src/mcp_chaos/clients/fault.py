"""Misbehaving clients in the history of a run: when they came, how many calls they left, when they had gone."""

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

from mcp_chaos.clients.behaviours import BEHAVIOURS
from mcp_chaos.clients.exchange import Wire
from mcp_chaos.clients.storm import MIN_IN_FLIGHT, Storm, StormResult
from mcp_chaos.errors import UsageError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.mcp import McpCall, TransportKind, dialects_over

ALL = "all"


def behaviour_names(text: str) -> tuple[str, ...]:
    """The behaviours that a person names, with commas; ``all`` for every one.

    Raises:
        UsageError: there is no such behaviour.
    """
    names = (
        tuple(BEHAVIOURS) if text.strip() == ALL else tuple(name.strip() for name in text.split(",") if name.strip())
    )
    unknown = [name for name in names if name not in BEHAVIOURS]
    if unknown or not names:
        raise UsageError(f"behaviours: there is no {', '.join(unknown) or 'name'}; there are {', '.join(BEHAVIOURS)}")
    return names


def check_dialect(dialect: str) -> None:
    """Check that the clients speak a dialect.

    Raises:
        UsageError: they do not.
    """
    spoken = dialects_over(TransportKind.POST)
    if dialect not in spoken:
        raise UsageError(
            f"These clients speak {', '.join(spoken)}, and the server is spoken to in '{dialect}'. Nothing was changed."
        )


class ClientFaults:
    """The misbehaving clients of one run.

    Args:
        folder: where the history goes.
        clock: of the run.
    """

    def __init__(self, folder: RunFolder, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._ids = count(1)
        self._storm: Storm | None = None
        self.last: StormResult | None = None

    def run(
        self,
        wires: Sequence[Wire],
        operation: McpCall,
        names: tuple[str, ...],
        clients: int,
        for_s: float,
        seed: int,
    ) -> Any:
        """Let clients misbehave for ``for_s`` seconds; returns a receipt when they have gone.

        Raises:
            UsageError: they do not speak the server's dialect.
        """
        for wire in wires:
            check_dialect(wire.target.dialect)
        fault_id = f"clients-{next(self._ids)}"
        receipt: dict[str, Any] = {
            "fault_id": fault_id,
            "proxy": "server",
            "name": f"misbehaving clients, {clients} at a time",
            "toxics": [],
        }
        self._event("fault_injecting", **receipt)
        self._storm = Storm(wires, operation, names, seed)
        try:
            self.last = asyncio.run(self._storm.run(clients, for_s))
        finally:
            self._prove(fault_id, self._storm.result)
            self._event("fault_healed", fault_id=fault_id)
        result = self._storm.result
        return {**receipt, "proof": result.proof, "in_flight": dict(result.in_flight), "made": dict(result.made)}

    def stop(self) -> None:
        """Let them go at once; only sets a flag, so a signal handler may call it."""
        if self._storm is not None:
            self._storm.stopping = True

    def _prove(self, fault_id: str, result: StormResult) -> None:
        if result.bit:
            self._event("fault_proven", fault_id=fault_id, proof=result.proof)
        else:
            doubt = f"{result.proof}, at least {MIN_IN_FLIGHT} needed"
            self._event("fault_unproven", fault_id=fault_id, doubt=doubt)

    def _event(self, kind: str, **data: Any) -> None:
        self._folder.event(self._clock.now_ns(), kind, **data)

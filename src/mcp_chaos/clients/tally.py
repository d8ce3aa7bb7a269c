"""How sessions fared that were opened, or used again, while others misbehaved or after they had gone."""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mcp_chaos.clients.exchange import FAILURES, Answer, Client, Wire, is_rate_limit, why_failed
from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import ListCall, McpCall

_EVERY_S = 0.5
_TRIALS = 3
_AT_ONCE = 12
_LEAST_PER_S = 2.0
_USUAL_S = 0.02
_RATE_LIMIT_S = 65.0
"""Most servers count calls by the minute."""


@dataclass
class SessionTally:
    """How sessions fared.

    Args:
        served: how long each took that was served, in seconds.
        failures: what went wrong with each other one.
        rate_limited: how many were answered 429, which is the server's right.
    """

    served: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    rate_limited: int = 0

    @property
    def why(self) -> str:
        """What went wrong, most frequent first; empty when nothing did."""
        return self.told("fresh sessions were not served")

    def told(self, what: str) -> str:
        """What went wrong, under the name of what it is."""
        if not self.failures:
            return ""
        texts = "; ".join(f"{text} ({n})" for text, n in Counter(self.failures).most_common(3))
        return f"{len(self.failures)} of {len(self.failures) + len(self.served)} {what}: {texts}"

    @property
    def served_fraction(self) -> float:
        """The fraction that was served; 1 where none was opened."""
        made = len(self.served) + len(self.failures)
        return len(self.served) / made if made else 1.0

    async def one(self, wire: Wire, name: str, operation: McpCall, *, ends_properly: bool = True) -> bool:
        """Open a session, list the tools, make a call; whether the server refused it by its rate limit (429)."""
        refused_before = self.rate_limited
        await self._one(wire, name, operation, ends_properly=ends_properly)
        return self.rate_limited > refused_before

    async def _one(self, wire: Wire, name: str, operation: McpCall, *, ends_properly: bool) -> None:
        client = Client(wire, name)

        async def use() -> tuple[Reason, Answer]:
            await client.open()
            if wire.target.lists_tools:
                await client.call(ListCall())
            return await client.call(operation)

        await self._note(use(), wire)
        if ends_properly:
            with suppress(*FAILURES):
                await client.close()

    async def again(self, client: Client, operation: McpCall) -> bool:
        """Make a call on a session that was used before (404: opened anew); whether it was served, or rate limited."""
        failed_before = len(self.failures)
        await self._note(client.call_renewed(operation), client.wire)
        return len(self.failures) == failed_before

    async def _note(self, use: Coroutine[Any, Any, tuple[Reason, Answer]], wire: Wire) -> None:
        """Use a session and keep how that went."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(wire.deadline_s):
                reason, answer = await use
        except FAILURES as error:
            if is_rate_limit(error):
                self.rate_limited += 1
            else:
                self.failures.append(wire.told(why_failed(error, wire.deadline_s)))
            return
        if reason is Reason.RATE_LIMITED:
            self.rate_limited += 1
        elif reason is not Reason.OK:
            self.failures.append(wire.told(f"{answer}: {reason.name.lower().replace('_', ' ')}"))
        else:
            self.served.append(time.monotonic() - began)


async def usual_s(wire: Wire, operation: McpCall) -> float:
    """The median time of a few calls one by one, in seconds; a small guess where none is answered."""
    client, times = Client(wire, "mcp_chaos-trial"), []
    with suppress(*FAILURES):
        await client.open()
        for _ in range(_TRIALS):
            began = time.monotonic()
            await client.call(operation)
            times.append(time.monotonic() - began)
        await client.close()
    return sorted(times)[len(times) // 2] if times else _USUAL_S


@dataclass(frozen=True)
class Pace:
    """How a server answers a few calls that are made at once.

    Args:
        usual_s: how long the quickest took; a small guess where none was answered.
        capacity_per_s: about how many calls it answers per second.
    """

    usual_s: float = _USUAL_S
    capacity_per_s: float = _LEAST_PER_S


async def pace_of(wire: Wire, operation: McpCall) -> Pace:
    """Make a few calls at once and see how a server answers them."""
    client = Client(wire, "mcp_chaos-trial")
    times_s: list[float] = []
    began = time.monotonic()

    async def call() -> None:
        with suppress(*FAILURES):
            await client.call(operation)
            times_s.append(time.monotonic() - began)

    with suppress(*FAILURES):
        await client.open()
        began = time.monotonic()
        await asyncio.gather(*(call() for _ in range(_AT_ONCE)))
        await client.close()
    return Pace(min(times_s), max(_LEAST_PER_S, len(times_s) / max(times_s))) if times_s else Pace()


async def fresh_sessions(wires: Sequence[Wire], operation: McpCall, sessions: int) -> SessionTally:
    """Open sessions one after the other, as new clients after a disturbance do; a rate limit is waited for.

    Args:
        wires: to the server, in each of its protocol versions; taken in turn.
        operation: that each session calls.
        sessions: in all; at least one in each version.
    """
    found = SessionTally()
    until = time.monotonic() + _RATE_LIMIT_S
    for number in range(max(sessions, len(wires))):
        while await found.one(wires[number % len(wires)], f"mcp_chaos-after-{number}", operation):
            if time.monotonic() > until:
                found.failures.append(f"still refused by the rate limit (HTTP 429) after {_RATE_LIMIT_S:g} s")
                break
            await asyncio.sleep(_EVERY_S)
    return found

"""A storm of misbehaving clients as a fault of a run: its window, its proof, and how fresh sessions fared meanwhile.

The proof is counted: how many calls were in flight when their client left. Meanwhile, two fresh sessions a second do
what every new agent does (handshake, list of tools, one call); half of them end without DELETE.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any

from mcp_chaos.clients.behaviours import BEHAVIOURS, Chance, never_finish_the_request, never_read
from mcp_chaos.clients.exchange import FAILURES, Answer, Client, Wire, why_failed
from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import Operation

MIN_IN_FLIGHT = 10
"""Fewer calls in flight when their clients left prove nothing."""

_PAUSE_S = 0.2
_COMES_BACK = 2
_FRESH_EVERY_S = 0.5
_HALF_REQUESTS = 20
_SILENT_READERS = 2
_TRIALS = 3
_USUAL_S = 0.02
_RATE_LIMIT_S = 10.0


@dataclass
class FreshSessions:
    """How sessions fared that were opened meanwhile.

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

    async def one(self, wire: Wire, name: str, operation: Operation, *, ends_properly: bool = True) -> bool:
        """Open a session, list the tools, make a call; whether the server refused it by its rate limit (429)."""
        refused_before = self.rate_limited
        await self._one(wire, name, operation, ends_properly=ends_properly)
        return self.rate_limited > refused_before

    async def _one(self, wire: Wire, name: str, operation: Operation, *, ends_properly: bool) -> None:
        client = Client(wire, name)

        async def use() -> tuple[Reason, Answer]:
            await client.open()
            if wire.target.dialect != "jsonrpc":
                await client.call(Operation("", method="tools/list"))
            return await client.call(operation)

        await self._note(use(), wire.deadline_s)
        if ends_properly:
            with suppress(*FAILURES):
                await client.close()

    async def again(self, client: Client, operation: Operation) -> None:
        """Make a call on a session that was used before; one that has ended (404) is opened anew."""

        async def use() -> tuple[Reason, Answer]:
            reason, answer = await client.call(operation)
            if answer.status != 404:
                return reason, answer
            client.dialect.forget()
            await client.open()
            return await client.call(operation)

        await self._note(use(), client.wire.deadline_s)

    async def _note(self, use: Coroutine[Any, Any, tuple[Reason, Answer]], deadline_s: float) -> None:
        """Use a session and keep how that went."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(deadline_s):
                reason, answer = await use
        except FAILURES as error:
            if getattr(error, "reason", None) is Reason.RATE_LIMITED:
                self.rate_limited += 1
            else:
                self.failures.append(why_failed(error, deadline_s))
            return
        if reason is Reason.RATE_LIMITED:
            self.rate_limited += 1
        elif reason is not Reason.OK:
            self.failures.append(f"{answer}: {reason.name.lower().replace('_', ' ')}")
        else:
            self.served.append(time.monotonic() - began)


@dataclass
class StormResult:
    """What a storm did.

    Args:
        in_flight: by behaviour, how many calls were in flight when their client misbehaved.
        made: by behaviour, how often it was tried.
        fresh: sessions opened meanwhile.
        returned: sessions whose client misbehaved and came back.
    """

    in_flight: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    fresh: FreshSessions = field(default_factory=FreshSessions)
    returned: FreshSessions = field(default_factory=FreshSessions)

    @property
    def bit(self) -> bool:
        """Whether enough calls were left in flight; fewer suffice where a server served nobody any more after them."""
        in_flight = self.in_flight.total()
        return in_flight >= MIN_IN_FLIGHT or (in_flight > 0 and len(self.fresh.failures) > len(self.fresh.served))

    @property
    def proof(self) -> str:
        """In words, what was done."""
        return f"{self.in_flight.total()} of {self.made.total()} clients misbehaved while their call was in flight"


async def usual_s(wire: Wire, operation: Operation) -> float:
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


class Storm:
    """Misbehaving clients at work.

    Args:
        wire: to the server itself.
        operation: what they call.
        names: of their behaviours.
        seed: of their choices.
    """

    def __init__(self, wire: Wire, operation: Operation, names: tuple[str, ...], seed: int) -> None:
        self._wire = wire
        self._operation = operation
        self._names = names
        self._seed = seed
        self.stopping = False
        self.result = StormResult()

    async def run(self, clients: int, for_s: float) -> StormResult:
        """Let them misbehave for ``for_s`` seconds."""
        usual = await usual_s(self._wire, self._operation)
        until = time.monotonic() + for_s
        tasks = [asyncio.create_task(self._misbehave(n, usual, until)) for n in range(clients)]
        tasks.append(asyncio.create_task(self._open_fresh_sessions(until)))
        tasks += [asyncio.create_task(self._hold(n, for_s)) for n in range(_HALF_REQUESTS + _SILENT_READERS)]
        await asyncio.gather(*tasks)
        return self.result

    async def _misbehave(self, number: int, usual: float, until: float) -> None:
        """One place: a client at a time, each with the next behaviour."""
        chance = Chance(self._operation, random.Random(self._seed * 1000 + number), usual)
        client = Client(self._wire, f"mcp_chaos-{number}")
        for index in cycle(range(len(self._names))):
            if self.stopping or time.monotonic() >= until:
                return
            name = self._names[(index + number) % len(self._names)]
            self.result.made[name] += 1
            with suppress(*FAILURES):
                async with asyncio.timeout(self._wire.deadline_s):
                    if client.dialect.opening() is not None:
                        await client.open()
                    in_flight = await BEHAVIOURS[name](client, chance)
                    self.result.in_flight[name] += in_flight
            if client.session_id is not None and self.result.made.total() % _COMES_BACK == 0:
                await self.result.returned.again(client, self._operation)
                if self.result.returned.failures:
                    client.dialect.forget()
            await asyncio.sleep(_PAUSE_S)

    async def _hold(self, number: int, for_s: float) -> None:
        """Keep a connection that sends no whole request, or reads no answer."""
        client = Client(self._wire, f"mcp_chaos-holds-{number}")
        with suppress(*FAILURES):
            async with asyncio.timeout(for_s):
                if number < _HALF_REQUESTS:
                    await never_finish_the_request(client, for_s)
                elif self._wire.target.dialect != "jsonrpc":
                    await client.open()
                    await never_read(client, for_s)

    async def _open_fresh_sessions(self, until: float) -> None:
        started: list[asyncio.Task[bool]] = []
        for number in count():
            if self.stopping or time.monotonic() >= until:
                break
            session = self.result.fresh.one(
                self._wire, f"mcp_chaos-fresh-{number}", self._operation, ends_properly=number % 2 == 0
            )
            started.append(asyncio.create_task(session))
            await asyncio.sleep(_FRESH_EVERY_S)
        await asyncio.gather(*started)


async def fresh_sessions(wire: Wire, operation: Operation, sessions: int) -> FreshSessions:
    """Open sessions one after the other, as new clients after a disturbance do; a rate limit is waited for."""
    found = FreshSessions()
    until = time.monotonic() + _RATE_LIMIT_S
    for number in range(sessions):
        while await found.one(wire, f"mcp_chaos-after-{number}", operation):
            if time.monotonic() > until:
                found.failures.append(f"still refused by the rate limit (HTTP 429) after {_RATE_LIMIT_S:g} s")
                break
            await asyncio.sleep(_FRESH_EVERY_S)
    return found

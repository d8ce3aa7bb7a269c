"""A storm of misbehaving clients as a fault of a run: its window, its proof, and how fresh sessions fared meanwhile.

The proof is counted: how many calls were in flight when their client left. Meanwhile, two fresh sessions a second do
what every new agent does (handshake, list of tools, one call); half of them end without DELETE.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, cycle

from mcp_chaos.clients.behaviours import BEHAVIOURS, Chance, never_finish_the_request, never_read
from mcp_chaos.clients.exchange import FAILURES, Client, Wire
from mcp_chaos.clients.tally import SessionTally, pace_of
from mcp_chaos.load.clients.http_connection import HttpConnection
from mcp_chaos.mcp import ListCall, McpCall

MIN_IN_FLIGHT = 10
"""Fewer calls in flight when their clients left prove nothing."""

_PAUSE_S = 0.2
_CAPACITY_SHARE = 0.4
_COMES_BACK = 2
_FRESH_EVERY_S = 0.5
_HALF_REQUESTS = 40
_SILENT_READERS = 2
_UNREAD_REQUESTS = 150


@dataclass
class StormResult:
    """What a storm did.

    Args:
        in_flight: by behaviour, how many calls were in flight when their client misbehaved.
        made: by behaviour, how often it was tried.
        held: connections that were kept with a request unfinished or answers unread.
        fresh: sessions opened meanwhile.
        returned: sessions whose client misbehaved and came back.
    """

    in_flight: Counter[str] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    held: int = 0
    fresh: SessionTally = field(default_factory=SessionTally)
    returned: SessionTally = field(default_factory=SessionTally)

    @property
    def bit(self) -> bool:
        """Whether enough clients misbehaved; fewer suffice where a server served nobody any more after them."""
        in_flight = self.in_flight.total()
        if in_flight + self.held >= MIN_IN_FLIGHT:
            return True
        return in_flight > 0 and len(self.fresh.failures) > len(self.fresh.served)

    @property
    def proof(self) -> str:
        """In words, what was done."""
        in_flight = f"{self.in_flight.total()} of {self.made.total()} clients misbehaved while their call was in flight"
        return f"{in_flight}, {self.held} kept a request unfinished or answers unread"


class Storm:
    """Misbehaving clients at work.

    Args:
        wires: to the server itself, in each of its protocol versions; clients take them in turn.
        operation: what they call.
        names: of their behaviours.
        seed: of their choices.
    """

    def __init__(self, wires: Sequence[Wire], operation: McpCall, names: tuple[str, ...], seed: int) -> None:
        self._wires = wires
        self._operation = operation
        self._names = names
        self._seed = seed
        self.stopping = False
        self.result = StormResult()

    async def run(self, clients: int, for_s: float) -> StormResult:
        """Let them misbehave for ``for_s`` seconds."""
        pace = await pace_of(self._wires[0], self._operation)
        # What is left unanswered must not be what a server has no capacity for: that would be an overload, not a storm.
        pause_s = max(_PAUSE_S, clients / (_CAPACITY_SHARE * pace.capacity_per_s))
        until = time.monotonic() + for_s
        tasks = [asyncio.create_task(self._misbehave(n, pace.usual_s, pause_s, until)) for n in range(clients)]
        tasks.append(asyncio.create_task(self._open_fresh_sessions(until)))
        tasks += [asyncio.create_task(self._hold(n, for_s)) for n in range(_HALF_REQUESTS + _SILENT_READERS)]
        await asyncio.gather(*tasks)
        return self.result

    def _wire(self, number: int) -> Wire:
        return self._wires[number % len(self._wires)]

    async def _misbehave(self, number: int, usual: float, pause_s: float, until: float) -> None:
        """One place: a client at a time, each with the next behaviour."""
        wire = self._wire(number)
        chance = Chance(self._operation, random.Random(self._seed * 1000 + number), usual)
        client = Client(wire, f"mcp_chaos-{number}")
        for index in cycle(range(len(self._names))):
            if self.stopping or time.monotonic() >= until:
                return
            name = self._names[(index + number) % len(self._names)]
            self.result.made[name] += 1
            with suppress(*FAILURES):
                async with asyncio.timeout(wire.deadline_s):
                    if client.dialect.opening() is not None:
                        await client.open()
                    in_flight = await BEHAVIOURS[name](client, chance)
                    self.result.in_flight[name] += in_flight
            comes_back = client.session_id is not None and self.result.made.total() % _COMES_BACK == 0
            if comes_back and not await self.result.returned.again(client, self._operation):
                client.dialect.forget()
            await asyncio.sleep(min(pause_s, max(0.0, until - time.monotonic())))

    async def _hold(self, number: int, for_s: float) -> None:
        """Keep a connection that sends no whole request, or reads no answer."""
        client = Client(self._wire(number), f"mcp_chaos-holds-{number}")
        connection: HttpConnection | None = None
        try:
            async with asyncio.timeout(for_s):
                if number < _HALF_REQUESTS:
                    connection = await never_finish_the_request(client, in_body=number % 2 == 0)
                elif client.wire.target.lists_tools:
                    await client.open()
                    connection = await never_read(client, ListCall(), _UNREAD_REQUESTS)
                self.result.held += connection is not None
                await asyncio.sleep(for_s)
        except FAILURES:
            pass
        finally:
            if connection is not None:
                connection.abandon()

    async def _open_fresh_sessions(self, until: float) -> None:
        started: list[asyncio.Task[bool]] = []
        for number in count():
            if self.stopping or time.monotonic() >= until:
                break
            session = self.result.fresh.one(
                self._wire(number // 2), f"mcp_chaos-fresh-{number}", self._operation, ends_properly=number % 2 == 0
            )
            started.append(asyncio.create_task(session))
            await asyncio.sleep(_FRESH_EVERY_S)
        await asyncio.gather(*started)

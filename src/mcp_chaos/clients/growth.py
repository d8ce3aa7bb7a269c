"""Whether sessions leave something behind: what a server's process holds after rounds of them.

Memory that grows to a bound is every runtime's habit, so a leak is growth in each of several equal rounds, beyond what
an equal time without any session adds. There are rounds of sessions that were ended, and of sessions whose client went
without a word. A server may remember those for as long as it likes, but needs no descriptor, thread or process for it.
Source: python-sdk 1283, 3300, 756.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from mcp_chaos.clients.exchange import FAILURES, Client, Wire
from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.mcp import McpCall

_ROUNDS = 4
_ROUNDS_ABANDONED = 3
_SHARE_ABANDONED = 3
_AT_ONCE = 6
_QUIET_S = 0.5
_NOTICEABLE_S = 0.05

Take = Callable[[], ProcessSample | None]


@dataclass(frozen=True)
class _Kept:
    """Something that a session may leave behind.

    Args:
        of: its amount in a sample.
        least: of it, left by each session, that is a leak.
        words: a sentence's end.
        when_abandoned: whether sessions whose client went without a word may leave none of it either.
    """

    of: Callable[[ProcessSample], float]
    least: float
    words: str
    when_abandoned: bool = True


_KEPT = (
    _Kept(lambda sample: sample.fds, 0.5, "{:.1f} file descriptors open"),
    _Kept(lambda sample: sample.threads, 0.5, "{:.1f} threads"),
    _Kept(lambda sample: sample.children, 0.2, "{:.1f} child processes"),
    _Kept(lambda sample: sample.close_wait, 0.2, "{:.1f} connections in CLOSE_WAIT"),
    _Kept(lambda sample: sample.rss_bytes / 1e3, 20.0, "{:.0f} kB of memory in use", when_abandoned=False),
)


async def growth_in_versions(
    wires: Sequence[Wire], operation: McpCall, take: Take, sessions: int, limit_s: float
) -> str:
    """As :func:`growth_per_session`, in each protocol version until something is found; each has ``limit_s``."""
    for wire in wires:
        found = await growth_per_session(wire, operation, take, sessions, limit_s)
        if found:
            return wire.told(found)
    return ""


async def growth_per_session(wire: Wire, operation: McpCall, take: Take, sessions: int, limit_s: float) -> str:
    """Open and leave sessions in rounds; what each of them left behind in every round, in words; empty for nothing.

    Args:
        wire: to the server.
        operation: that each calls once.
        take: a sample of the server's process.
        sessions: of a round; of those whose client goes without a word, a third as many. Where ``limit_s`` is over
            first, nothing is said.
        limit_s: of all rounds together.
    """
    until = time.monotonic() + limit_s
    rounds = _Rounds(wire, operation, take, sessions)
    ended = await rounds.play(_ROUNDS, until, is_ended=True)
    if rounds.slower:
        return rounds.slower
    quiet = await rounds.rest() if _left(ended, sessions, None, is_ended=True) else None
    found = _left(ended, sessions, quiet, is_ended=True)
    if found:
        return f"each session that was opened and ended leaves {found}"
    rounds.sessions = sessions = max(_AT_ONCE, sessions // _SHARE_ABANDONED)
    abandoned = await rounds.play(_ROUNDS_ABANDONED, until, is_ended=False)
    quiet = await rounds.rest() if _left(abandoned, sessions, None, is_ended=False) else None
    found = _left(abandoned, sessions, quiet, is_ended=False)
    return f"each session that was opened and left without a word leaves {found}" if found else ""


class _Rounds:
    """Rounds of sessions against a server, and as long a time without any."""

    def __init__(self, wire: Wire, operation: McpCall, take: Take, sessions: int) -> None:
        self._wire = wire
        self._operation = operation
        self._take = take
        self.sessions = sessions
        self._round_s = 0.0
        self.slower = ""

    async def play(self, rounds: int, until: float, *, is_ended: bool) -> list[ProcessSample]:
        """Samples after each round; none where time was over first, or the process went."""
        samples, times_s = [], []
        for _ in range(rounds):
            began = time.monotonic()
            places = asyncio.Semaphore(_AT_ONCE)
            took_s = await asyncio.gather(*(self._one(places, is_ended=is_ended) for _ in range(self.sessions)))
            times_s.append(min(took_s))
            if is_ended and _slower_each_round(times_s):
                self.slower = f"sessions get slower by those that were opened and ended before them ({_in_ms(times_s)})"
                return []
            await asyncio.sleep(_QUIET_S)
            now = self._take()
            if now is None or time.monotonic() > until:
                return []
            self._round_s = time.monotonic() - began
            samples.append(now)
        return samples

    async def rest(self) -> tuple[ProcessSample, ProcessSample] | None:
        """Samples before and after the time of a round in which no session is opened."""
        first = self._take()
        await asyncio.sleep(self._round_s)
        second = self._take()
        return (first, second) if first is not None and second is not None else None

    async def _one(self, places: asyncio.Semaphore, *, is_ended: bool) -> float:
        """Open, use and leave a session; how long that took, in seconds."""
        async with places:
            client = Client(self._wire, "mcp_chaos-passes-by")
            began = time.monotonic()
            with suppress(*FAILURES):
                await client.open()
                await client.call(self._operation)
                if is_ended:
                    await client.close()
            return time.monotonic() - began


def _left(
    samples: Sequence[ProcessSample],
    sessions: int,
    quiet: tuple[ProcessSample, ProcessSample] | None,
    *,
    is_ended: bool,
) -> str:
    """What each session left behind in every round, beyond what a quiet time adds, in words."""
    if not samples:
        return ""
    for kept in _KEPT:
        if not (is_ended or kept.when_abandoned):
            continue
        grown = min(kept.of(later) - kept.of(earlier) for earlier, later in pairwise(samples))
        usual = max(0.0, kept.of(quiet[1]) - kept.of(quiet[0])) if quiet else 0.0
        each = (grown - usual) / sessions
        if each >= kept.least:
            return kept.words.format(each)
    return ""


def _slower_each_round(times_s: list[float]) -> bool:
    """Whether the quickest session of each round took longer than in the round before, and the last one far longer."""
    steadily = all(later > earlier for earlier, later in pairwise(times_s))
    return len(times_s) >= _ROUNDS - 1 and steadily and times_s[-1] > 2 * times_s[0] + _NOTICEABLE_S


def _in_ms(times_s: list[float]) -> str:
    return " → ".join(f"{1e3 * time_s:.0f}" for time_s in times_s) + " ms"

"""Whether sessions that were ended properly are freed: what a server's process holds after rounds of them.

Memory that grows to a bound is every runtime's habit, so a leak is growth in each of several equal rounds.
Source: python-sdk 1283, 3300, 756.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

from mcp_chaos.clients.exchange import FAILURES, Client, Wire
from mcp_chaos.mcp import McpCall
from mcp_chaos.observe.server_process import ProcessSample

_ROUNDS = 4
_AT_ONCE = 6
_KEPT_BYTES = 20_000
_KEPT_FDS = 0.5
_QUIET_S = 0.5
_NOTICEABLE_S = 0.05


async def growth_per_session(
    wire: Wire, operation: McpCall, take: Callable[[], ProcessSample | None], sessions: int, limit_s: float
) -> str:
    """Open and end sessions in rounds; what each of them left behind in every round, in words; empty for nothing.

    Args:
        wire: to the server.
        operation: that each calls once.
        take: a sample of the server's process.
        sessions: of a round; fewer where ``limit_s`` is over first, and then nothing is said.
        limit_s: of all rounds together.
    """
    until = time.monotonic() + limit_s
    samples, times_s = [], []
    for _ in range(_ROUNDS):
        places = asyncio.Semaphore(_AT_ONCE)
        took_s = await asyncio.gather(*(_one(wire, operation, places) for _ in range(sessions)))
        times_s.append(min(took_s))
        if _slower_each_round(times_s):
            return f"sessions get slower by those that were opened and ended before them ({_in_ms(times_s)})"
        await asyncio.sleep(_QUIET_S)
        now = take()
        if now is None or time.monotonic() > until:
            return ""
        samples.append(now)
    pairs = list(pairwise(samples))
    bytes_each = min((b.rss_bytes - a.rss_bytes) / sessions for a, b in pairs)
    fds_each = min((b.fds - a.fds) / sessions for a, b in pairs)
    if fds_each >= _KEPT_FDS:
        return f"each session that was opened and ended leaves {fds_each:.1f} file descriptors open"
    if bytes_each >= _KEPT_BYTES:
        return f"each session that was opened and ended leaves {bytes_each / 1e3:.0f} kB of memory in use"
    return ""


def _slower_each_round(times_s: list[float]) -> bool:
    """Whether the quickest session of each round took longer than in the round before, and the last one far longer."""
    steadily = all(later > earlier for earlier, later in pairwise(times_s))
    return len(times_s) >= _ROUNDS - 1 and steadily and times_s[-1] > 2 * times_s[0] + _NOTICEABLE_S


def _in_ms(times_s: list[float]) -> str:
    return " → ".join(f"{1e3 * time_s:.0f}" for time_s in times_s) + " ms"


async def _one(wire: Wire, operation: McpCall, places: asyncio.Semaphore) -> float:
    """Open, use and end a session; how long that took, in seconds."""
    async with places:
        client = Client(wire, "mcp_chaos-passes-by")
        began = time.monotonic()
        with suppress(*FAILURES):
            await client.open()
            await client.call(operation)
            await client.close()
        return time.monotonic() - began

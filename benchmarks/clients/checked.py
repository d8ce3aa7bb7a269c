"""What the asyncio rivals share: the request, the check of its answer, the tally, and one task per user."""

import asyncio
import json
import statistics
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from typing import Any

PATH = "/mcp/tools/call"


def call_body(call_id: int) -> dict[str, Any]:
    """The JSON-RPC request that every client sends, with an id that no other call has."""
    params = {"_client_id": "client_1"}
    return {"jsonrpc": "2.0", "id": call_id, "method": "list_databases", "params": params}


def is_right(call_id: int, status: int, text: str) -> bool:
    """Whether an answer is this call's result; it may come as JSON or as one event of a stream."""
    if text.startswith("event:"):
        text = text.partition("data: ")[2]
    try:
        message = json.loads(text)
    except ValueError:
        return False
    return status == 200 and message.get("id") == call_id and "result" in message


class Tally:
    """Counts what was right and wrong, and how long each call took.

    Args:
        seconds: after which no more calls begin.
    """

    def __init__(self, seconds: float) -> None:
        self._until_ns = time.perf_counter_ns() + int(seconds * 1e9)
        self._latencies_ns = array("q")
        self._last_id = 0
        self._errors = 0

    def next_id(self) -> int | None:
        """A new id, or ``None`` when time is up."""
        if time.perf_counter_ns() >= self._until_ns:
            return None
        self._last_id += 1
        return self._last_id

    def add(self, began_ns: int, right: bool) -> None:
        """Take in a call that ended just now."""
        self._latencies_ns.append(time.perf_counter_ns() - began_ns)
        self._errors += not right

    def report(self) -> int:
        """Print the line that the rig reads; the exit status."""
        p50_us = statistics.median(self._latencies_ns or [0]) / 1e3
        line = {"calls": len(self._latencies_ns), "errors": self._errors, "p50_us": round(p50_us, 1)}
        sys.stdout.write(json.dumps(line) + "\n")
        return int(self._errors > 0)


Post = Callable[[dict[str, Any]], Awaitable[tuple[int, str]]]
"""Sends a body as JSON; gives the status and the text of the answer."""


async def run_users(post: Post, concurrency: int, seconds: float) -> int:
    """Let ``concurrency`` users call one after the other until time is up; the exit status.

    An exception of the HTTP client ends the process with a traceback: against this server there is no reason for one.
    """
    tally = Tally(seconds)

    async def one_user() -> None:
        while (call_id := tally.next_id()) is not None:
            began_ns = time.perf_counter_ns()
            status, text = await post(call_body(call_id))
            tally.add(began_ns, is_right(call_id, status, text))

    async with asyncio.TaskGroup() as users:
        for _ in range(concurrency):
            users.create_task(one_user())
    return tally.report()


def arguments() -> tuple[str, int, float]:
    """URL, concurrency and seconds from the command line: PORT CONCURRENCY SECONDS."""
    port, concurrency, seconds = sys.argv[1:4]
    return f"http://127.0.0.1:{port}{PATH}", int(concurrency), float(seconds)

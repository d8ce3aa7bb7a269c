"""The processes that share a load: the conductor's own, or several that it starts and talks to.

Members are told each step over their stdin and answer on their stdout, a JSON line each; one that has much to do says
every second that it is at work. One that dies is reported, and the others go on; the calls it had made count, those it
had still to make are missing. One that says nothing for longer than a call may take has stopped, and is killed.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.health import Health
from mcp_chaos.load.member import Member
from mcp_chaos.load.shape import CycleStep, OpenStep, Step
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock

_STEPS: dict[str, type[Step]] = {"closed": Step, "cycle": CycleStep, "open": OpenStep}
_HEAD_START_NS = 50_000_000
_BEAT = b'"at work"'
_BEAT_S = 1.0
_MAX_SILENCE_S = 5.0
_MAX_START_S = 30.0
_LONGEST_LINE_BYTES = 16 * 1024 * 1024


class Crew(Protocol):
    """Whoever makes the calls of a load."""

    async def run_step(self, step: Step, number: int) -> None:
        """Make the calls of a step; when this returns, all of them are on disk."""

    def stop(self) -> None:
        """Start no more calls."""

    async def close(self) -> tuple[list[Health], list[int]]:
        """End everything; the health of each process, and which of them died."""


class Alone:
    """This process makes all calls.

    Args:
        member: of this process.
    """

    def __init__(self, member: Member) -> None:
        self._member = member

    async def run_step(self, step: Step, number: int) -> None:
        """Make the calls of a step."""
        await self._member.warm_up(step)
        await self._member.run_step(step, number)

    def stop(self) -> None:
        """Start no more calls."""
        self._member.stop()

    async def close(self) -> tuple[list[Health], list[int]]:
        """End everything."""
        return [await self._member.close()], []


class Team:
    """Several processes make the calls.

    Args:
        spec_path: where the load's record is.
        spec: the load.
        folder: of the run.
        died: told of each process that died, with its exit code.
    """

    def __init__(
        self, spec_path: Path, spec: LoadSpec, folder: RunFolder, died: Callable[[int, int | None], None]
    ) -> None:
        self._argv = [sys.executable, "-m", "mcp_chaos.load.main", str(spec_path), str(folder.path)]
        self._spec = spec
        self._died = died
        self._clock = Clock(spec.clock_offset_ns)
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._lost: list[int] = []
        self._stopping = False

    async def start(self) -> None:
        """Start the processes; they make no call yet."""
        for worker in range(self._spec.workers):
            self._processes[worker] = await asyncio.create_subprocess_exec(
                *self._argv,
                str(worker),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE_BYTES,
            )
        await self._ask_all(lambda _: {"do": "get_ready"}, _MAX_START_S)

    async def run_step(self, step: Step, number: int) -> None:
        """Make the calls of a step: each process its share."""
        if self._stopping:
            return
        # Shares are dealt anew for each step: a process that died has none.
        shares = {worker: part_of(step, index, len(self._processes)) for index, worker in enumerate(self._processes)}
        if isinstance(step, OpenStep):
            await self._ask_all(lambda worker: {"do": "warm_up", **shares[worker]})
        start_ns = self._clock.now_ns() + _HEAD_START_NS
        await self._ask_all(lambda worker: {"do": "step", "number": number, "start_ns": start_ns, **shares[worker]})

    def stop(self) -> None:
        """Start no more calls."""
        self._stopping = True
        for process in self._processes.values():
            _say(process, {"do": "stop"})

    async def close(self) -> tuple[list[Health], list[int]]:
        """End everything."""
        answers = await self._ask_all(lambda _: {"do": "close"})
        for process in self._processes.values():
            await process.wait()
        return [Health.from_json(answer) for answer in answers], self._lost

    async def _ask_all(
        self, question: Callable[[int], dict[str, Any]], max_silence_s: float | None = None
    ) -> list[dict[str, Any]]:
        silence_s = max_silence_s or max(_MAX_SILENCE_S, self._spec.deadline_s)
        asked = dict(self._processes)
        answers = await asyncio.gather(*(self._ask(worker, question(worker), silence_s) for worker in asked))
        if not self._processes:
            raise RuntimeError(f"all {self._spec.workers} workers of the load died")
        return [answer for answer in answers if answer is not None]

    async def _ask(self, worker: int, question: dict[str, Any], max_silence_s: float) -> dict[str, Any] | None:
        """The answer of a process; ``None`` when it died."""
        process = self._processes[worker]
        _say(process, question)
        while line := await _line_of(process, max_silence_s):
            if line.endswith(b"\n") and line.strip() != _BEAT:
                return dict(json.loads(line))
        code = await process.wait()
        del self._processes[worker]
        self._lost.append(worker)
        self._died(worker, code)
        return None


async def _line_of(process: asyncio.subprocess.Process, max_silence_s: float) -> bytes:
    """The next line of a process; nothing when it died, or was killed since it said nothing for too long."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(max_silence_s):
            return await process.stdout.readline()
    except TimeoutError:
        process.kill()
        return b""


def part_of(step: Step, share: int, shares: int) -> dict[str, Any]:
    """One process's part of a step, as JSON: users and calls dealt out as evenly as they go; of an open step a share.

    A process has no call to make without a user to make it, so calls are dealt by users, and an open step has no more
    shares than users.
    """
    users = _dealt(step.users, share, shares)
    if isinstance(step, OpenStep):
        return {"open": {**asdict(step), "users": users}, "share": share, "shares": min(shares, step.users)}
    before = sum(_dealt(step.users, other, shares) for other in range(share))
    first, after = (step.total_requests * n // step.users for n in (before, before + users))
    kind = "cycle" if isinstance(step, CycleStep) else "closed"
    return {kind: {**asdict(step), "users": users, "total_requests": after - first}}


def _dealt(total: int, share: int, shares: int) -> int:
    return total // shares + (share < total % shares)


def _say(process: asyncio.subprocess.Process, question: dict[str, Any]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError, RuntimeError):  # it died: its silence tells
        process.stdin.write(json.dumps(question).encode() + b"\n")


async def serve(member: Member, lines: asyncio.StreamReader) -> None:
    """Do what the conductor says, until it says close or is gone.

    Args:
        member: of this process.
        lines: what the conductor says.
    """
    orders: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    listening = asyncio.create_task(_listen(member, lines, orders))
    while (order := await orders.get())["do"] != "close":
        async with _beating():
            await _obey(member, order)
        _answer({})
    listening.cancel()
    async with _beating():
        health = await member.close()
    _answer(health.to_json())


@contextlib.asynccontextmanager
async def _beating() -> AsyncIterator[None]:
    """Say every second that this process is at work."""
    beats = asyncio.create_task(_beat())
    try:
        yield
    finally:
        beats.cancel()


async def _beat() -> None:
    while True:
        await asyncio.sleep(_BEAT_S)
        _print(_BEAT.decode())


async def _listen(member: Member, lines: asyncio.StreamReader, orders: asyncio.Queue[dict[str, Any]]) -> None:
    """Queue the orders; stop does not wait for its turn, and a conductor that is gone wants no more calls."""
    while line := await lines.readline():
        order = json.loads(line)
        if order["do"] == "stop":
            member.stop()
        else:
            orders.put_nowait(order)
    member.stop()
    orders.put_nowait({"do": "close"})


async def _obey(member: Member, order: dict[str, Any]) -> None:
    if order["do"] == "get_ready":
        return
    step = next(kind(**order[name]) for name, kind in _STEPS.items() if name in order)
    share, shares = order.get("share", 0), order.get("shares", 1)
    if order["do"] == "warm_up":
        await member.warm_up(step, shares)
    else:
        await member.run_step(step, order["number"], order["start_ns"], share, shares)


def _answer(answer: dict[str, Any]) -> None:
    _print(json.dumps(answer))


def _print(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # the conductor is gone
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

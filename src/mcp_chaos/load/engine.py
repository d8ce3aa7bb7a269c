"""The engine: the users of a load, the step they are in, and a total deadline for every call.

A closed step is so many calls by so many users, each of which calls again when its last call ended and it has thought.
A cycle is the same, but that each user begins at its own moment and has its own share of the calls.
An open step has moments at which calls are due; whoever is free makes them.
"""

import asyncio
import itertools
from array import array
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

from mcp_chaos.config.credentials import credential_headers
from mcp_chaos.config.credentials import fresh_for_s as fresh_for_s_of_credentials
from mcp_chaos.config.tls import client_context
from mcp_chaos.errors import McpChaosError
from mcp_chaos.load.arrivals import begins_after_s, due_ns
from mcp_chaos.load.clients.first_bad_answers import FirstBadAnswers
from mcp_chaos.load.clients.http import User
from mcp_chaos.load.clients.registry import client_of
from mcp_chaos.load.clients.request import header_lines
from mcp_chaos.load.shape import CycleStep, OpenStep, Step
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.load.timer import ExactTimer
from mcp_chaos.machine.clock import Clock
from mcp_chaos.workload.workload import Choices

_NS_PER_S = 1_000_000_000
_NS_PER_US = 1_000
_LAST_STEP = 0xFFFF
_MOST_LAG_US = 0xFFFFFFFF
_WARM_FOR_S = 0.05
_MOST_ERRANDS = 1000


class Engine:
    """Users, the step they are in, and the watch over deadlines.

    Args:
        spec: what to do.
        clock: of the run.
        write_call: given each call as a packed record of ``CALL``, in the order they end.
        worker: which of the load's processes this is, from 0.
        bad_answers: keeps the first of them; ``None`` to keep none.
    """

    def __init__(
        self,
        spec: LoadSpec,
        clock: Clock,
        write_call: Callable[[bytes], None],
        worker: int = 0,
        bad_answers: FirstBadAnswers | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.target = spec.target
        self.tls = client_context() if spec.target.tls else None
        self.credential_headers = credential_headers()
        self.credentials = header_lines(self.credential_headers)
        self.clock = clock
        self.now_ns = clock.now_ns
        self.workload = spec.workload
        self.deadline_s = spec.deadline_s
        self.lane = int(spec.lane)
        self.worker = worker
        self.write_call = write_call
        self.bad_answers = bad_answers
        self.step_number = 0
        self.new_call_id = itertools.count(1).__next__  # unique in this engine; 0 is the handshake's
        self.stopping = False
        self.dropped = 0
        self.lags_us = array("I")
        self._spec = spec
        self._deadline_ns = int(spec.deadline_s * _NS_PER_S)
        self._choices = [
            Choices(kind, spec.workload.first_operation_of(index), f"{spec.seed}/{worker}/{index}")
            for index, kind in enumerate(spec.workload.kinds)
        ]
        self._kinds = spec.workload.kinds_in_turn()
        self._numbers = 0
        self._users: list[User] = []
        self._idle: list[User] = []
        self._thinking: dict[User, asyncio.TimerHandle] = {}
        self._left = self._busy = 0
        self._shares: dict[User, int] = {}
        self._due: Iterator[int] | None = None
        self._next_due_ns = 0
        self._most_users = 0
        self._done: asyncio.Future[None] | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._errands: set[asyncio.Task[None]] = set()
        self._renewing = self.loop.create_task(self._renew_credentials())
        self._timer: ExactTimer | None = None

    def tls_options(self) -> dict[str, Any]:
        """What ``create_connection`` needs to know of TLS."""
        return {"ssl": self.tls, "server_hostname": self.target.server_name} if self.tls else {}

    def stop(self) -> None:
        """Start no more calls; those under way end by themselves, at the latest at their deadline."""
        self.stopping = True
        self._due = None
        for handle in self._thinking.values():
            handle.cancel()
        self._busy -= len(self._thinking)
        self._thinking.clear()
        self._check_done()

    async def run_step(self, step: Step, number: int = 0, start_ns: int = 0, share: int = 0, shares: int = 1) -> None:
        """Make the calls of a step; returns when all of them ended.

        Args:
            step: what to do; of a closed step, this engine's part of it.
            number: of the step, from 0; kept with each call, up to 65535.
            start_ns: when an open step's schedule begins.
            share: which part of an open step's schedule is this engine's.
            shares: how many parts it has.
        """
        self.step_number = min(number, _LAST_STEP)
        if self.stopping or not step.total_requests or not step.users:
            return
        self._done = self.loop.create_future()
        self._sweep()
        self._shares.clear()
        if isinstance(step, OpenStep):
            self._begin_open(step, start_ns or self.now_ns(), share, shares)
        elif isinstance(step, CycleStep):
            self._begin_cycle(step)
        else:
            self._begin_closed(step)
        try:
            await self._done
        finally:
            self._sweeping = self._cancelled(self._sweeping)

    async def warm_up(self, step: Step, shares: int = 1) -> None:
        """Open as many sessions as an open step is likely to need, before its schedule begins."""
        if isinstance(step, OpenStep):
            likely = 1 + int(step.rate_per_s * _WARM_FOR_S / shares)
            self._idle = [self._user(number) for number in range(min(likely, step.users))]
            await asyncio.gather(*(user.warm_up() for user in self._idle))

    def _begin_closed(self, step: Step) -> None:
        self._left = step.total_requests
        self._busy = min(step.users, step.total_requests)
        users = [self._user(number) for number in range(self._busy)]
        self._left -= self._busy
        for user in users:
            user.start(self.now_ns())

    def _begin_cycle(self, step: CycleStep) -> None:
        self._left, self._busy = 0, step.users
        for number in range(step.users):
            user = self._user(number)
            self._shares[user] = step.total_requests // step.users - 1
            wait_s = begins_after_s(step, self._spec.seed, user.number)
            self._thinking[user] = self.loop.call_later(wait_s, self._go_on, user)

    def _begin_open(self, step: OpenStep, start_ns: int, share: int, shares: int) -> None:
        self._most_users = step.users
        self._due = due_ns(step, self._spec.seed, start_ns, share, shares)
        self._timer = ExactTimer(self.loop, self._arrivals)
        self._next_due_ns = next(self._due, 0)
        self._arrivals()

    def _arrivals(self) -> None:
        """Start every call that is due, and wake up for the next."""
        while self._due is not None and self._next_due_ns <= (now_ns := self.now_ns()):
            if self._next_due_ns:
                self.lags_us.append(min((now_ns - self._next_due_ns) // _NS_PER_US, _MOST_LAG_US))
                self._arrive(self._next_due_ns)
            following = next(self._due, None)
            if following is None:
                self._due = None
            else:
                self._next_due_ns = following
        if self._timer is not None and self._due is not None:
            self._timer.set(self._next_due_ns - self.clock.offset_ns)
        self._check_done()

    def _arrive(self, due_at_ns: int) -> None:
        if self._idle:
            user = self._idle.pop()  # the last to be used: its connection is the likeliest to be well
        elif len(self._users) < self._most_users:
            user = self._user(len(self._users))
        else:
            self.dropped += 1
            return
        self._busy += 1
        user.start(due_at_ns)

    def _user(self, number: int) -> User:
        """A user by its number in this engine; made when it is needed first."""
        workers = self._spec.workers
        while len(self._users) <= number:
            wanted = len(self._users) * workers + self.worker
            while self._numbers <= wanted:
                kind = next(self._kinds)
                self._numbers += 1
            made, dialect = client_of(self.target.dialect, websocket=self.workload.kinds[kind].websocket)
            self._users.append(made(self, wanted, self._choices[kind], dialect))
        return self._users[number]

    def ended(self, user: User, done_ns: int) -> None:
        """A user's call ended: its next one, now or when it has thought, or one user less to wait for."""
        if self._timer is not None:
            self._idle.append(user)
        elif self._left > 0 and not self.stopping:
            self._left -= 1
            if user.choices.thinks:
                self._thinking[user] = self.loop.call_later(user.choices.wait_s(), self._go_on, user)
            else:
                user.start(done_ns)
            return
        elif self._shares.get(user) and not self.stopping:
            self._shares[user] -= 1
            if user.choices.thinks:
                self._thinking[user] = self.loop.call_later(user.choices.wait_s(), self._go_on, user)
            else:
                user.start(done_ns)
            return
        self._busy -= 1
        self._check_done()

    def _go_on(self, user: User) -> None:
        del self._thinking[user]
        user.start(self.now_ns())

    def _check_done(self) -> None:
        if self._busy == 0 and self._due is None and self._done is not None and not self._done.done():
            if self._timer is not None:
                self._timer.close()
                self._timer = None
            self._done.set_result(None)

    def _sweep(self) -> None:
        """Expire the calls whose deadline has passed, and sweep again when the next one may.

        Deadlines are all of one length, so no call that starts after a sweep is due before one deadline from it.
        """
        now_ns = self.now_ns()
        earliest_ns = now_ns + self._deadline_ns
        for user in self._users:
            if user.call.is_under_way:
                due = user.call.intended_ns + self._deadline_ns
                if due <= now_ns:
                    user.expire()
                elif due < earliest_ns:
                    earliest_ns = due
        if self._done is not None and not self._done.done():
            self._sweeping = self.loop.call_later((earliest_ns - now_ns) / _NS_PER_S, self._sweep)

    @staticmethod
    def _cancelled(handle: asyncio.TimerHandle | None) -> None:
        if handle is not None:
            handle.cancel()

    @property
    def has_room_for_errand(self) -> bool:
        """Whether so few errands are under way that one which may be left out can be run."""
        return len(self._errands) < _MOST_ERRANDS

    def run_errand(self, errand: Coroutine[Any, Any, None]) -> None:
        """Let something happen beside the calls; it bounds its own time, and ends with the engine."""
        task = self.loop.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def _renew_credentials(self) -> None:
        """Keep the credentials of all users fresh for as long as the load lasts."""
        while (fresh_for_s := fresh_for_s_of_credentials()) is not None:
            await asyncio.sleep(fresh_for_s)
            with suppress(McpChaosError):  # the old ones may still be good; the server says when they are not
                self.credential_headers = await asyncio.to_thread(credential_headers)
                self.credentials = header_lines(self.credential_headers)
                for user in self._users:
                    user.requests.forget_head()

    async def close(self) -> None:
        """End all sessions and connections."""
        self._renewing.cancel()
        self._cancelled(self._sweeping)
        await asyncio.gather(*self._errands)
        await asyncio.gather(*(user.say_goodbye() for user in self._users))

"""The engine: the users of a load, the step they are in, and a total deadline for every call.

Deadlines are all of one length, so one queue in order of start and one timer watch them all.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.load.user import User
from mcp_chaos.load.workload import Workload
from mcp_chaos.records import Clock

_NS_PER_S = 1_000_000_000


class Engine:
    """Users, the step they are in, and the watch over deadlines.

    Args:
        spec: what to do.
        clock: of the run.
        write_call: given each call as a packed record of ``CALL``, in the order they end.
    """

    def __init__(self, spec: LoadSpec, clock: Clock, write_call: Callable[[bytes], None]) -> None:
        self.loop = asyncio.get_running_loop()
        self.target = spec.target
        self.clock = clock
        self.workload = Workload(spec.operations, spec.seed)
        self.lane = int(spec.lane)
        self.write_call = write_call
        self.step_number = 0
        self.stopping = False
        self._deadline_ns = int(spec.deadline_s * _NS_PER_S)
        self._users: list[User] = []
        self._left = self._busy = self._last_call_id = 0
        self._done: asyncio.Future[None] | None = None
        self._watched: deque[tuple[int, User, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """Start no more calls; those under way end by themselves, at the latest at their deadline."""
        self.stopping = True

    def new_call_id(self) -> int:
        """A JSON-RPC id that no other call of this engine has. 0 is the handshake's."""
        self._last_call_id += 1
        return self._last_call_id

    async def run_step(self, users: int, total_requests: int) -> None:
        """Let ``users`` clients make ``total_requests`` calls together; returns when all of them ended."""
        self._users += [User(self, number) for number in range(len(self._users), users)]
        self._left = total_requests
        self._done = self.loop.create_future()
        self._busy = min(users, total_requests)
        if self._busy == 0 or self.stopping:
            return
        for user in self._users[: self._busy]:
            self._left -= 1
            user.start()
        await self._done
        self.step_number += 1

    def ended(self, user: User) -> None:
        """A user's call ended: its next one, or one user less to wait for."""
        if self._left > 0 and not self.stopping:
            self._left -= 1
            user.start()
            return
        self._busy -= 1
        if self._busy == 0 and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def watch(self, user: User, started_ns: int) -> None:
        """Expire the user's current call when its deadline passes."""
        while self._watched and not self._is_pending(self._watched[0]):
            self._watched.popleft()
        self._watched.append((started_ns + self._deadline_ns, user, user.call_id))
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        while self._watched and not self._is_pending(self._watched[0]):
            self._watched.popleft()
        self._timer = None
        if self._watched:
            wait_s = (self._watched[0][0] - self.clock.now_ns()) / _NS_PER_S
            self._timer = self.loop.call_later(max(0.0, wait_s), self._expire_due)

    def _expire_due(self) -> None:
        now_ns = self.clock.now_ns()
        while self._watched and self._watched[0][0] <= now_ns:
            watched = self._watched.popleft()
            if self._is_pending(watched):
                watched[1].expire()
        self._set_timer()

    @staticmethod
    def _is_pending(watched: tuple[int, User, int]) -> bool:
        _, user, call_id = watched
        return user.calling and user.call_id == call_id

    async def close(self) -> None:
        """End all sessions and connections."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*(user.say_goodbye() for user in self._users))

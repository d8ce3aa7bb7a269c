"""The engine: users that call over connections of their own, a total deadline per call, every answer checked.

A user is one client: one connection, one session, one call at a time. The hot path (call, answer, next call) is
callbacks only; a task runs just to connect and to open a session. Deadlines are all of one length, so one queue in
order of start and one timer watch them all.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from struct import Struct

from mcp_chaos.history import CALL, Clock, Reason, outcome_of
from mcp_chaos.load.connection import HttpConnection, Response
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.load.workload import Workload
from mcp_chaos.mcp import DIALECTS, Dialect, DialectError
from mcp_chaos.mcp.dialect import Message, parse_message

_RECORD = Struct("<qqqIHHHBBBB")
_NS_PER_S = 1_000_000_000
_FAREWELL_S = 1.0


class _LostError(Exception):
    """The connection went away during a handshake."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.name)


def request_head(method: str, target: Target, dialect: Dialect) -> bytes:
    """The head of a request up to the value of Content-Length."""
    lines = [f"{method} {target.path} HTTP/1.1", f"Host: {target.host_header}"]
    lines += [f"{name}: {value}" for name, value in dialect.headers()]
    return ("\r\n".join([*lines, "Content-Length: "])).encode("latin-1")


class User:
    """One client of the load.

    Args:
        engine: told of each call that ended.
        number: which user this is, from 0.
    """

    def __init__(self, engine: "Engine", number: int) -> None:
        self._engine = engine
        self.number = number
        self.dialect = DIALECTS[engine.target.dialect](f"client_{number}")
        self._encoded = [self.dialect.params_of(operation) for operation in engine.workload.operations]
        self._connection: HttpConnection | None = None
        self._head = b""
        self._head_version = -1
        self._preparing: asyncio.Task[None] | None = None
        self._awaited: asyncio.Future[tuple[Response, Message | None]] | None = None
        self._event_message: Message | None = None
        self._verdict: Reason | None = None
        self.call_id = 0
        self.calling = False
        self._operation = self._intended_ns = self._sent_ns = self._done_ns = self._size_bytes = 0

    def start(self) -> None:
        """Make the next call."""
        engine = self._engine
        self._intended_ns = engine.clock.now_ns()
        self._sent_ns = self._done_ns = self._size_bytes = 0
        self._verdict = None
        self._operation = engine.workload.choose()
        self.call_id = engine.new_call_id()
        self.calling = True
        engine.watch(self, self._intended_ns)
        if self._connection is not None and self.dialect.opening() is None:
            self._send_call()
        else:
            self._preparing = engine.loop.create_task(self._prepare())

    def expire(self) -> None:
        """The current call's deadline has passed. An answer that came on a stream that never ended still counts."""
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        self._drop_connection()
        self._end_call(self._verdict if self._verdict is not None else Reason.TIMED_OUT)

    async def say_goodbye(self) -> None:
        """End the session as its dialect has it, then close."""
        if self._connection is not None and self.dialect.closing():
            self._awaited = self._engine.loop.create_future()
            self._connection.send(request_head("DELETE", self._engine.target, self.dialect) + b"0\r\n\r\n")
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await self._awaited
            except (TimeoutError, _LostError):
                pass
        self._drop_connection()

    def got_event(self, data: bytes) -> None:
        """A message on a stream. The server's own requests and notifications are not the answer."""
        message = parse_message(data)
        if message is not None and "method" in message:
            return
        if self._awaited is not None:
            self._event_message = message
        elif self.calling and self._verdict is None:
            self._decide(self.dialect.judge(self.call_id, 200, message))

    def got_response(self, response: Response) -> None:
        """A response is whole: of the handshake, or of the call."""
        self._size_bytes = response.size_bytes
        if not response.keep_alive:
            self._connection = None
        message = parse_message(response.body) if response.content_type == "application/json" else None
        if self._awaited is not None:
            awaited, self._awaited = self._awaited, None
            found, self._event_message = self._event_message or message, None
            if not awaited.done():
                awaited.set_result((response, found))
            return
        if not self.calling:
            return
        if self._verdict is None:
            self._decide(self.dialect.judge(self.call_id, response.status, message))
        self._end_call(self._verdict or Reason.OK)

    def got_lost(self, reason: Reason) -> None:
        """The connection went away."""
        self._connection = None
        if self._awaited is not None:
            awaited, self._awaited = self._awaited, None
            if not awaited.done():
                awaited.set_exception(_LostError(reason))
        elif self.calling and self._preparing is None:
            self._end_call(self._verdict if self._verdict is not None else reason)

    def _decide(self, reason: Reason) -> None:
        self._verdict = reason
        self._done_ns = self._engine.clock.now_ns()

    async def _prepare(self) -> None:
        try:
            if self._connection is None:
                await self._connect()
            while (body := self.dialect.opening()) is not None:
                response, message = await self._exchange(body)
                self.dialect.opened(response.status, response.session_id, message)
        except (DialectError, _LostError) as error:
            self._preparing = None
            self._drop_connection()
            self._end_call(error.reason)
            return
        except OSError:
            self._preparing = None
            self._end_call(Reason.REFUSED)
            return
        self._preparing = None
        if self._connection is None:
            self._end_call(Reason.CLOSED)
        else:
            self._send_call()

    async def _connect(self) -> None:
        target = self._engine.target
        _, self._connection = await self._engine.loop.create_connection(
            lambda: HttpConnection(self), target.connect_host, target.connect_port
        )

    async def _exchange(self, body: bytes) -> tuple[Response, Message | None]:
        if self._connection is None:
            raise _LostError(Reason.CLOSED)
        self._awaited = self._engine.loop.create_future()
        self._send(body)
        return await self._awaited

    def _send_call(self) -> None:
        body = self.dialect.call_body(self.call_id, self._encoded[self._operation])
        self._sent_ns = self._engine.clock.now_ns()
        self._send(body)

    def _send(self, body: bytes) -> None:
        if self._head_version != self.dialect.headers_version:
            self._head_version = self.dialect.headers_version
            self._head = request_head("POST", self._engine.target, self.dialect)
        if self._connection is not None:
            self._connection.send(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))

    def _drop_connection(self) -> None:
        self._awaited = None
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None

    def _end_call(self, reason: Reason) -> None:
        self.calling = False
        if reason is Reason.SESSION_LOST:
            self.dialect.forget()
        engine = self._engine
        engine.write_call(
            _RECORD.pack(
                self._intended_ns,
                self._sent_ns,
                self._done_ns or engine.clock.now_ns(),
                self._size_bytes,
                self._operation,
                self.number,
                0,
                reason,
                outcome_of(reason, self._sent_ns > 0),
                engine.lane,
                engine.step_number & 0xFF,
            )
        )
        engine.ended(self)


class Engine:
    """Users, the step they are in, and the watch over deadlines.

    Args:
        spec: what to do.
        clock: of the run.
        write_call: given each call as a packed record of ``CALL``, in the order they end.
    """

    def __init__(self, spec: LoadSpec, clock: Clock, write_call: Callable[[bytes], None]) -> None:
        assert _RECORD.size == CALL.itemsize
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

    @property
    def calls_left(self) -> int:
        """Calls of the current step that were not started yet."""
        return self._left

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

"""One client of a load: one connection, one session, one call at a time.

The hot path (call, answer, next call) is callbacks only; a task runs just to connect and to open a session.
"""

import asyncio
from struct import Struct
from typing import TYPE_CHECKING

from mcp_chaos.load.connection import HttpConnection, Response
from mcp_chaos.load.spec import Target
from mcp_chaos.mcp import DIALECTS, Dialect, DialectError
from mcp_chaos.mcp.dialect import Message, parse_message
from mcp_chaos.records import CALL, Reason, outcome_of

if TYPE_CHECKING:
    from mcp_chaos.load.engine import Engine

_RECORD = Struct("<qqqIHHHBBBH")
_FAREWELL_S = 1.0
_STREAM_END_S = 0.25

Answered = tuple[Response, Message | None]


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
        assert _RECORD.size == CALL.itemsize
        self._engine = engine
        self.number = number
        self.dialect = DIALECTS[engine.target.dialect](f"client_{number}")
        self._encoded = [self.dialect.params_of(operation) for operation in engine.workload.operations]
        self._connection: HttpConnection | None = None
        self._head = b""
        self._head_version = -1
        self._preparing: asyncio.Task[None] | None = None
        self._awaited: asyncio.Future[Answered] | None = None
        self._early: Answered | None = None
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
            awaited = self._await_answer()
            self._connection.send(request_head("DELETE", self._engine.target, self.dialect) + b"0\r\n\r\n")
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await awaited
            except (TimeoutError, _LostError):
                pass
        self._drop_connection()

    def got_event(self, head: Response, data: bytes) -> None:
        """A message on a stream. The server's own requests and notifications are not the answer."""
        message = parse_message(data)
        if message is not None and "method" in message:
            return
        if self._awaited is not None:
            if self._early is None and message is not None:
                self._early = head, message
                self._engine.loop.call_later(_STREAM_END_S, self._wait_no_longer, self._awaited)
        elif self._in_flight and self._verdict is None:
            self._decide(self.dialect.judge(self.call_id, head.status, message))

    def got_response(self, response: Response) -> None:
        """A response is whole: of the handshake, or of the call."""
        if not response.keep_alive:
            self._connection = None
        message = parse_message(response.body) if response.content_type == "application/json" else None
        if self._awaited is not None:
            self._settle(self._early or (response, message))
        elif self._in_flight:
            self._size_bytes = response.size_bytes
            if self._verdict is None:
                self._decide(self.dialect.judge(self.call_id, response.status, message))
            if self._verdict is Reason.WRONG_ANSWER:
                self._drop_connection()  # another's answer, or none: this connection is out of step
            self._end_call(self._verdict or Reason.OK)
        else:
            self._drop_connection()  # nobody asked: whatever comes next would be one answer off

    def got_lost(self, reason: Reason) -> None:
        """The connection went away."""
        self._connection = None
        if self._awaited is not None:
            self._settle(self._early or reason)
        elif self._in_flight:
            self._end_call(self._verdict if self._verdict is not None else reason)

    @property
    def _in_flight(self) -> bool:
        return self.calling and self._sent_ns > 0

    def _decide(self, reason: Reason) -> None:
        self._verdict = reason
        self._done_ns = self._engine.clock.now_ns()

    def _await_answer(self) -> asyncio.Future[Answered]:
        self._early = None
        self._awaited = self._engine.loop.create_future()
        return self._awaited

    def _settle(self, outcome: Answered | Reason) -> None:
        awaited, self._awaited, self._early = self._awaited, None, None
        if awaited is None or awaited.done():
            return
        if isinstance(outcome, Reason):
            awaited.set_exception(_LostError(outcome))
        else:
            awaited.set_result(outcome)

    def _wait_no_longer(self, awaited: asyncio.Future[Answered]) -> None:
        """The answer to a handshake came on a stream that does not end: take it, and another connection."""
        if awaited is self._awaited and self._early is not None:
            early = self._early
            if self._connection is not None:
                self._connection.abandon()
                self._connection = None
            self._settle(early)

    async def _prepare(self) -> None:
        try:
            await self._open_session()
        except (DialectError, _LostError) as error:
            self._drop_connection()
            reason: Reason | None = error.reason
        except OSError:
            reason = Reason.REFUSED
        else:
            reason = None
        self._preparing = None
        if reason is None:
            self._send_call()
        else:
            self._end_call(reason)

    async def _open_session(self) -> None:
        """Connect and go through the handshake; a server may close after each of its answers."""
        while True:
            if self._connection is None:
                await self._connect()
            body = self.dialect.opening()
            if body is None:
                return
            awaited = self._await_answer()
            if not self._send(body):
                raise _LostError(Reason.CLOSED)
            response, message = await awaited
            self.dialect.opened(response.status, response.session_id, message)

    async def _connect(self) -> None:
        target = self._engine.target
        _, self._connection = await self._engine.loop.create_connection(
            lambda: HttpConnection(self), target.connect_host, target.connect_port
        )

    def _send_call(self) -> None:
        body = self.dialect.call_body(self.call_id, self._encoded[self._operation])
        self._sent_ns = self._engine.clock.now_ns()
        if not self._send(body):
            self._sent_ns = 0
            self._end_call(Reason.CLOSED)

    def _send(self, body: bytes) -> bool:
        """Send a request; whether there was a connection to send it on."""
        if self._connection is None:
            return False
        if self._head_version != self.dialect.headers_version:
            self._head_version = self.dialect.headers_version
            self._head = request_head("POST", self._engine.target, self.dialect)
        self._connection.send(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        return True

    def _drop_connection(self) -> None:
        self._awaited = self._early = None
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
                min(engine.step_number, 0xFFFF),
            )
        )
        engine.ended(self)

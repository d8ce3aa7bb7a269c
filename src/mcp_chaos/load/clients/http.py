"""One client of a load: one connection, one session, one call at a time.

The hot path (call, answer, next call) is callbacks only; a task runs just to connect and to open a session.
"""

import asyncio
import ssl

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.awaiting import Awaiting
from mcp_chaos.load.clients.context import Context
from mcp_chaos.load.clients.current_call import CurrentCall
from mcp_chaos.load.clients.http_connection import Connection, Head, HttpConnection
from mcp_chaos.load.clients.notification import deliver
from mcp_chaos.load.clients.request import LostError, Requests
from mcp_chaos.machine.loopback import ElsewhereError, open_connection
from mcp_chaos.mcp import Dialect, DialectError, GetRequest
from mcp_chaos.mcp.message import Message, answer_in, is_answer, parse_message
from mcp_chaos.workload.workload import Choices

_FAREWELL_S = 1.0
_STREAM_END_S = 0.25


class User(Awaiting):
    """One client of the load, over HTTP.

    Args:
        engine: told of each call that ended.
        number: which user this is, from 0.
        choices: what it calls, and how long it waits.
        dialect: what it speaks.
    """

    def __init__(self, engine: Context["User"], number: int, choices: Choices, dialect: type[Dialect]) -> None:
        super().__init__(engine)
        self.number = number
        self.choices = choices
        self.dialect = dialect(f"client_{number}")
        self.call = CurrentCall(engine, number, self.dialect)
        self.requests = Requests(engine, self.dialect)
        self._preparing: asyncio.Task[None] | None = None

    def start(self, intended_ns: int) -> None:
        """Make the next call, which was due at ``intended_ns``."""
        self.call.begin(self.choices.operation(), intended_ns)
        if self._connection is not None and self._is_ready():
            self._send_call()
        else:
            self._preparing = self._engine.loop.create_task(self._prepare())

    async def warm_up(self) -> None:
        """Connect and open a session ahead of the first call; where that fails, the first call tries again."""
        try:
            async with asyncio.timeout(self._engine.deadline_s):
                await self._open_session()
        except (DialectError, LostError, OSError, TimeoutError):
            self._drop_connection()

    def expire(self) -> None:
        """The current call's deadline has passed. An answer that came on a stream that never ended still counts."""
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        self._tell_nobody_waits()
        self._drop_connection()
        self._end_call(self.call.verdict_or(Reason.TIMED_OUT))

    def _tell_nobody_waits(self) -> None:
        """Have the server told that the current call is given up, where hanging up does not say so."""
        call = self.call
        if call.in_flight and call.verdict is None and not call.is_get:
            body = self.dialect.cancellation(call.call_id)
            if body is not None:
                self._engine.run_errand(deliver(self._engine, self.requests.post(body)))

    async def say_goodbye(self) -> None:
        """End the session as its dialect has it, then close."""
        if self._connection is not None and self.dialect.closing():
            awaited = self._await_answer()
            self._connection.send(self.requests.delete())
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await awaited
            except (TimeoutError, LostError):
                pass
        self._drop_connection()

    def got_event(self, connection: Connection, head: Head, data: bytes) -> None:
        """A message on a stream. The server's own requests and notifications are not the answer."""
        message = parse_message(data)
        if message is not None and not is_answer(message):
            self._reply(message)
            return
        if self._awaited is not None:
            if self._early is None and message is not None:
                self._early = head, message
                self._engine.loop.call_later(_STREAM_END_S, self._wait_no_longer, self._awaited)
        elif self.call.in_flight and self.call.verdict is None:
            self.call.judge(head.status, data, message)

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        """A response is whole: of the handshake, or of the call."""
        call = self.call
        if not head.keep_alive:
            self._forget_connection(connection)
        if self._awaited is not None:
            self._settle(self._early or (head, answer_in(head.content_type, body)))
        elif call.in_flight:
            call.size_bytes = size_bytes
            verdict = call.verdict
            if verdict is None:
                verdict = call.judge(head.status, body, answer_in(head.content_type, body))
            if verdict is Reason.WRONG_ANSWER:
                self._drop_connection()  # another's answer, or none: this connection is out of step
            if verdict is Reason.SESSION_LOST and not call.renewed and self.dialect.renews_after(head.status):
                self._renew()
            else:
                self._end_call(verdict)
        else:
            self._drop_connection()  # nobody asked: whatever comes next would be one answer off

    def got_lost(self, connection: Connection, reason: Reason) -> None:
        """The connection went away."""
        carries_the_call = self._carries_the_call(connection)
        self._forget_connection(connection)
        if self._awaited is not None:
            self._settle(self._early or reason)
        elif self.call.in_flight and carries_the_call:
            self._end_call(self.call.verdict_or(reason))

    def _reply(self, message: Message) -> None:
        """Answer a request of the server's, on a connection of its own: this one has an answer to wait for."""
        body = self.dialect.reply(message)
        if body is not None and self._engine.has_room_for_errand:
            self._engine.run_errand(deliver(self._engine, self.requests.post(body)))

    def _is_ready(self) -> bool:
        """Whether the call can be sent at once, given a connection."""
        return self.dialect.opening() is None or self.call.is_get

    def _carries_the_call(self, connection: Connection) -> bool:
        return True

    def _forget_connection(self, connection: Connection) -> None:
        self._connection = None

    def _renew(self) -> None:
        """Make the call again on a new session; its deadline stays what it was."""
        self.dialect.forget()
        self.call.begin_again()
        self._preparing = self._engine.loop.create_task(self._prepare())

    async def _prepare(self) -> None:
        try:
            await self._open_way()
        except (DialectError, LostError) as error:
            self._drop_connection()
            refused = isinstance(error, DialectError)
            why = Reason.SESSION_LOST if refused and self.call.renewed else error.reason
            if refused:
                self.call.keep_bad_answer(why, None, str(error).encode(), None)
            reason: Reason | None = why
        except OSError as error:
            self._drop_connection()
            reason = Reason.REFUSED
            if isinstance(error, ElsewhereError):
                self.call.keep_bad_answer(reason, None, str(error).encode(), None)
        else:
            reason = None
        self._preparing = None
        if reason is None:
            self._send_call()
        else:
            self._end_call(reason)

    async def _open_way(self) -> None:
        """Get ready to send the call."""
        if not self.call.is_get:
            await self._open_session()
        elif self._connection is None:
            self._connection = await self._connect()

    async def _open_session(self) -> None:
        """Connect and go through the handshake; a server may close after each of its answers."""
        while True:
            if self._connection is None:
                self._connection = await self._connect()
            body = self.dialect.opening()
            if body is None:
                return
            awaited = self._await_answer() if self.dialect.opening_is_answered() else None
            if not self._send(body):
                raise LostError(Reason.CLOSED)
            if awaited is None:
                self.dialect.opened(200, None, None)
            else:
                head, message = await awaited
                self.dialect.opened(head.status, head.session_id, message)

    async def _connect(self) -> Connection:
        return await self._connect_http()

    async def _connect_http(self, *, endless: bool = False) -> HttpConnection:
        target = self._engine.target
        try:
            _, connection = await open_connection(
                lambda: HttpConnection(self, endless=endless),
                target.connect_host,
                target.connect_port,
                **self._engine.tls_options(),
            )
        except ssl.SSLError as error:
            raise LostError(Reason.REFUSED) from error
        return connection

    def _send_call(self) -> None:
        call = self.call
        operation = call.operation
        if isinstance(operation, GetRequest):
            call.sent_ns = self._engine.now_ns()
            sent = self._send_get(operation)
        else:
            requests = self.requests
            encoded, own_headers = requests.encoded.get(call.index) or requests.encode(call.index, operation)
            body = self.dialect.call_body(call.call_id, encoded)
            call.sent_ns = self._engine.now_ns()
            sent = self._send(body, own_headers)
        if not sent:
            call.sent_ns = 0
            self._end_call(Reason.CLOSED)

    def _send_get(self, request: GetRequest) -> bool:
        """Send a GET request; whether there was a connection to send it on."""
        if self._connection is None:
            return False
        self._connection.send(self.requests.get(request))
        return True

    def _send(self, body: bytes, own_headers: bytes = b"") -> bool:
        """Send a message; whether there was a connection to send it on."""
        if self._connection is None:
            return False
        self._connection.send(self.requests.post(body, own_headers))
        return True

    def _drop_connection(self) -> None:
        self._awaited = self._early = None
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None

    def _end_call(self, reason: Reason) -> None:
        if reason is Reason.SESSION_LOST:
            self.dialect.forget()
        done_ns = self.call.end(reason)
        self._engine.ended(self, done_ns)

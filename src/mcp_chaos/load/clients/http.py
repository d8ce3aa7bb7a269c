"""One client of a load: one connection, one session, one call at a time.

The hot path (call, answer, next call) is callbacks only; a task runs just to connect and to open a session.
"""

import asyncio
import ssl

from mcp_chaos.history.calls import RECORD, Reason, outcome_of
from mcp_chaos.load.clients.awaiting import Awaiting
from mcp_chaos.load.clients.context import Context
from mcp_chaos.load.clients.http_connection import Connection, Head, HttpConnection
from mcp_chaos.load.clients.notification import deliver
from mcp_chaos.load.clients.request import LostError, header_lines, request_head
from mcp_chaos.mcp import DIALECTS, DialectError, Operation
from mcp_chaos.mcp.dialect import Message, parse_message
from mcp_chaos.workload.workload import Choices

_FAREWELL_S = 1.0
_STREAM_END_S = 0.25


class User(Awaiting):
    """One client of the load, over HTTP.

    Args:
        engine: told of each call that ended.
        number: which user this is, from 0.
        choices: what it calls, and how long it waits.
    """

    dialect_name: str | None = None

    def __init__(self, engine: Context["User"], number: int, choices: Choices) -> None:
        super().__init__(engine)
        self.number = number
        self.choices = choices
        self.dialect = DIALECTS[self.dialect_name or engine.target.dialect](f"client_{number}")
        self._operations = engine.workload.operations
        self._encoded: dict[int, tuple[tuple[bytes, bytes], bytes]] = {}
        self._head = b""
        self._head_version = -1
        self._preparing: asyncio.Task[None] | None = None
        self._verdict: Reason | None = None
        self._renewed = False
        self.calling = False
        self.intended_ns = 0
        self._call_id = self._operation = self._sent_ns = self._done_ns = self._size_bytes = 0

    def start(self, intended_ns: int) -> None:
        """Make the next call, which was due at ``intended_ns``."""
        self.intended_ns = intended_ns
        self._sent_ns = self._done_ns = self._size_bytes = 0
        self._verdict = None
        self._renewed = False
        self._operation = self.choices.operation()
        self._call_id = self._engine.new_call_id()
        self.calling = True
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

    def forget_head(self) -> None:
        """Make the head of requests anew: the credentials in it have changed."""
        self._head_version = -1

    def expire(self) -> None:
        """The current call's deadline has passed. An answer that came on a stream that never ended still counts."""
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        self._tell_nobody_waits()
        self._drop_connection()
        self._end_call(self._verdict if self._verdict is not None else Reason.TIMED_OUT)

    def _tell_nobody_waits(self) -> None:
        """Have the server told that the current call is given up, where hanging up does not say so."""
        if self._in_flight and self._verdict is None and not self._operations[self._operation].page:
            body = self.dialect.cancellation(self._call_id)
            if body is not None:
                self._engine.run_errand(deliver(self._engine, self._request(body)))

    async def say_goodbye(self) -> None:
        """End the session as its dialect has it, then close."""
        if self._connection is not None and self.dialect.closing():
            awaited = self._await_answer()
            target = self._engine.target
            head = request_head("DELETE", target.path, target, self.dialect)
            self._connection.send(b"%b%bContent-Length: 0\r\n\r\n" % (head, self._engine.credentials))
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await awaited
            except (TimeoutError, LostError):
                pass
        self._drop_connection()

    def got_event(self, connection: Connection, head: Head, data: bytes) -> None:
        """A message on a stream. The server's own requests and notifications are not the answer."""
        message = parse_message(data)
        if message is not None and "method" in message:
            self._reply(message)
            return
        if self._awaited is not None:
            if self._early is None and message is not None:
                self._early = head, message
                self._engine.loop.call_later(_STREAM_END_S, self._wait_no_longer, self._awaited)
        elif self._in_flight and self._verdict is None:
            self._verdict = self._judge(head, data, message)
            self._done_ns = self._engine.now_ns()

    def got_response(self, connection: Connection, head: Head, body: bytes, size_bytes: int) -> None:
        """A response is whole: of the handshake, or of the call."""
        if not head.keep_alive:
            self._forget_connection(connection)
        if self._awaited is not None:
            message = parse_message(body) if head.content_type == "application/json" else None
            self._settle(self._early or (head, message))
        elif self._in_flight:
            self._size_bytes = size_bytes
            if self._verdict is None:
                message = parse_message(body) if head.content_type == "application/json" else None
                self._verdict = self._judge(head, body, message)
                self._done_ns = self._engine.now_ns()
            if self._verdict is Reason.WRONG_ANSWER:
                self._drop_connection()  # another's answer, or none: this connection is out of step
            if self._verdict is not Reason.SESSION_LOST or not self._renew(head.status):
                self._end_call(self._verdict)
        else:
            self._drop_connection()  # nobody asked: whatever comes next would be one answer off

    def got_lost(self, connection: Connection, reason: Reason) -> None:
        """The connection went away."""
        carries_the_call = self._carries_the_call(connection)
        self._forget_connection(connection)
        if self._awaited is not None:
            self._settle(self._early or reason)
        elif self._in_flight and carries_the_call:
            self._end_call(self._verdict if self._verdict is not None else reason)

    def _reply(self, message: Message) -> None:
        """Answer a request of the server's, on a connection of its own: this one has an answer to wait for."""
        body = self.dialect.reply(message)
        if body is not None and self._engine.has_room_for_errand:
            self._engine.run_errand(deliver(self._engine, self._request(body)))

    @property
    def _in_flight(self) -> bool:
        return self.calling and self._sent_ns > 0

    def _is_ready(self) -> bool:
        """Whether the chosen operation can be sent at once, given a connection; a page needs no session."""
        return self.dialect.opening() is None or bool(self._operations[self._operation].page)

    def _carries_the_call(self, connection: Connection) -> bool:
        return True

    def _forget_connection(self, connection: Connection) -> None:
        self._connection = None

    def _judge(self, head: Head, body: bytes, message: Message | None) -> Reason:
        operation = self._operations[self._operation]
        if operation.page:
            reason = self.dialect.judge_page(head.status, body, operation.expect)
        else:
            reason = self.dialect.judge(self._call_id, head.status, message, operation)
        if reason is not Reason.OK:
            self._keep_bad_answer(reason, head.status, body, message)
        return reason

    def _keep_bad_answer(self, reason: Reason, status: int | None, body: bytes, message: Message | None) -> None:
        engine = self._engine
        if engine.bad_answers is not None:
            name = self._operations[self._operation].name
            engine.bad_answers.keep((self.intended_ns, engine.now_ns()), reason, name, status, body, message)

    def _renew(self, status: int) -> bool:
        """Open a session in place of one that the server does not know any more, and make the call again, once.

        The specification has it so for HTTP 404; the call's deadline stays what it was.
        """
        if self._renewed or status != 404 or not self.dialect.renews_sessions:
            return False
        self._renewed = True
        self.dialect.forget()
        self._verdict = None
        self._sent_ns = self._done_ns = self._size_bytes = 0
        self._preparing = self._engine.loop.create_task(self._prepare())
        return True

    async def _prepare(self) -> None:
        try:
            await self._open_way()
        except (DialectError, LostError) as error:
            self._drop_connection()
            refused = isinstance(error, DialectError)
            why = Reason.SESSION_LOST if refused and self._renewed else error.reason
            if refused:
                self._keep_bad_answer(why, None, str(error).encode(), None)
            reason: Reason | None = why
        except OSError:
            self._drop_connection()
            reason = Reason.REFUSED
        else:
            reason = None
        self._preparing = None
        if reason is None:
            self._send_call()
        else:
            self._end_call(reason)

    async def _open_way(self) -> None:
        """Get ready to send the chosen operation."""
        if not self._operations[self._operation].page:
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
            _, connection = await self._engine.loop.create_connection(
                lambda: HttpConnection(self, endless=endless),
                target.connect_host,
                target.connect_port,
                **self._engine.tls_options(),
            )
        except ssl.SSLError as error:
            raise LostError(Reason.REFUSED) from error
        return connection

    def _send_call(self) -> None:
        operation = self._operations[self._operation]
        if operation.page:
            sent = self._send_page(operation.page)
        else:
            encoded, own_headers = self._encoded.get(self._operation) or self._encode(operation)
            body = self.dialect.call_body(self._call_id, encoded)
            self._sent_ns = self._engine.now_ns()
            sent = self._send(body, own_headers)
        if not sent:
            self._sent_ns = 0
            self._end_call(Reason.CLOSED)

    def _encode(self, operation: Operation) -> tuple[tuple[bytes, bytes], bytes]:
        """What is the same in every call of an operation, made once."""
        own_headers = header_lines(self.dialect.headers_of(operation.rpc_method, operation.about))
        made = self._encoded[self._operation] = self.dialect.params_of(operation), own_headers
        return made

    def _send_page(self, page: str) -> bool:
        return self._get(self._connection, page)

    def _get(self, connection: Connection | None, page: str) -> bool:
        """Ask for a page; whether there was a connection to ask on."""
        self._sent_ns = self._engine.now_ns()
        if connection is None:
            return False
        host = self._engine.target.host_header.encode()
        request = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (page.encode(), host, self._engine.credentials)
        connection.send(request)
        return True

    def _send(self, body: bytes, own_headers: bytes = b"") -> bool:
        """Send a message; whether there was a connection to send it on."""
        if self._connection is None:
            return False
        self._connection.send(self._request(body, own_headers))
        return True

    def _request(self, body: bytes, own_headers: bytes = b"") -> bytes:
        """A message as a request."""
        if self._head_version != self.dialect.headers_version:
            self._head_version = self.dialect.headers_version
            head = request_head("POST", self._post_path(), self._engine.target, self.dialect)
            self._head = head + self._engine.credentials
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, own_headers, len(body), body)

    def _post_path(self) -> str:
        return self._engine.target.path

    def _drop_connection(self) -> None:
        self._awaited = self._early = None
        if self._connection is not None:
            self._connection.abandon()
            self._connection = None

    def _end_call(self, reason: Reason) -> None:
        self.calling = False
        if reason is Reason.SESSION_LOST:
            self.dialect.forget()
        elif reason is Reason.OK and self._renewed:
            reason = Reason.SESSION_RENEWED
        engine = self._engine
        done_ns = self._done_ns or engine.now_ns()
        outcome = 0 if reason is Reason.OK else outcome_of(reason, self._sent_ns > 0)
        times = self.intended_ns, self._sent_ns, done_ns
        made_by = self._operation, self.number, engine.worker
        engine.write_call(
            RECORD.pack(*times, self._size_bytes, *made_by, reason, outcome, engine.lane, engine.step_number)
        )
        engine.ended(self, done_ns)

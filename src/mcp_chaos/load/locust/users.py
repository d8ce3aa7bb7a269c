"""MCP users for Locust, over the same workloads and dialects as every load; needs the extra ``locust``.

A call is reported to Locust once, as ``MCP <tool>``: a session that has to be opened for it is part of its time. Each
call has a total deadline. Locust counts as failed what :meth:`mcp.Dialect.judge` does not find ok.
"""

import itertools
import os
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import gevent
from locust import FastHttpUser, between, task
from locust.contrib.fasthttp import FastResponse

from mcp_chaos.config.tls import client_context
from mcp_chaos.history.calls import GOOD, Reason
from mcp_chaos.load.locust.credentials import KeptCredentials
from mcp_chaos.load.locust.history import LastAnswer, LocustHistory
from mcp_chaos.load.locust.websocket import ClosedError, LocustWebSocket
from mcp_chaos.machine.clock import Clock
from mcp_chaos.mcp import DIALECTS, DialectError, Operation
from mcp_chaos.mcp.dialect import Headers, Message, parse_message
from mcp_chaos.mcp.event_stream import EventStream
from mcp_chaos.workload.file import read_workload
from mcp_chaos.workload.workload import Choices, UserKind, Workload

HISTORY = LocustHistory.from_environment()
CLOCK = HISTORY.clock if HISTORY else Clock.start()
CREDENTIALS = KeptCredentials()

_DEADLINE_S = HISTORY.spec.deadline_s if HISTORY else 30.0
_NS_PER_MS = 1e6
_FLUSH_S = 0.1
_numbers = itertools.count()


class CallError(Exception):
    """A call that was not answered well; its text is the reason, so that Locust groups failures by it."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.name.lower().replace("_", " "))


class McpUser(FastHttpUser):
    """One client over HTTP.

    ``kind`` says what it calls and how long it waits. The server is ``--host`` with the path of the MCP endpoint, or
    ``MCP_URL``; its dialect is ``MCP_DIALECT``, else ``jsonrpc`` where the path ends in ``/tools/call``.
    """

    abstract = True
    host = os.environ.get("MCP_URL")
    kind: UserKind
    first_operation = 0
    dialect_name: str | None = None
    insecure = False
    ssl_context_factory = staticmethod(client_context)
    network_timeout = _DEADLINE_S
    connection_timeout = _DEADLINE_S

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._number = next(_numbers)
        # Each process of Locust counts its users from 0; the one that leads tells each which it is.
        process = getattr(environment.runner, "worker_index", 0)
        where = urlsplit(self.host or "")
        self.origin = f"{where.scheme}://{where.netloc}"
        self.path = (where.path or "/mcp") + (f"?{where.query}" if where.query else "")
        name = self.dialect_name or os.environ.get("MCP_DIALECT")
        if HISTORY:
            target = HISTORY.spec.target
            self.path, name = target.path, self.dialect_name or target.dialect
        guessed = "jsonrpc" if self.path.endswith("/tools/call") else "streamable"
        self._dialect = DIALECTS[name or guessed](f"client_{process}_{self._number}")
        seed = HISTORY.spec.seed if HISTORY else os.environ.get("MCP_CHAOS_SEED", "1")
        self._choices = Choices(self.kind, self.first_operation, f"{seed}/{process}/{self._number}")
        self._call_id = self._sent_ns = 0
        self._last: LastAnswer | None = None

    @task
    def call(self) -> None:
        """Make one call."""
        index = self._choices.operation()
        operation = self.kind.operations[index - self.first_operation]
        self._call_id += 1
        began_ns, self._sent_ns, self._last = CLOCK.now_ns(), 0, None
        reason, body = self._answer_in_time(operation)
        done_ns = CLOCK.now_ns()
        if reason is Reason.SESSION_LOST:
            self._dialect.forget()
        if HISTORY:
            HISTORY.write(began_ns, self._sent_ns, done_ns, len(body), index, self._number, reason)
            self._keep_bad_answer((began_ns, done_ns), reason, operation)
        self.environment.events.request.fire(
            request_type="MCP",
            name=operation.name,
            response_time=(done_ns - began_ns) / _NS_PER_MS,
            response_length=len(body),
            exception=None if reason in GOOD else CallError(reason),
            context=self.context(),
            start_time=time.time() - (done_ns - began_ns) / 1e9,
            url=self.host,
        )

    def _keep_bad_answer(self, times_ns: tuple[int, int], reason: Reason, operation: Operation) -> None:
        if HISTORY and self._last is not None and reason not in GOOD:
            HISTORY.keep_bad_answer(times_ns, reason, operation.name, self._last)

    def _answer_in_time(self, operation: Operation) -> tuple[Reason, bytes]:
        late = gevent.Timeout(_DEADLINE_S)
        try:
            with late:
                return self._answer(operation)
        except gevent.Timeout as timeout:
            if timeout is not late:
                raise
            self._drop()
            self._last = None
            return Reason.TIMED_OUT, b""
        except CallError as error:
            self._last = None
            return error.reason, b""
        except DialectError as error:
            self._last = LastAnswer(None, str(error).encode())
            return error.reason, b""

    def _answer(self, operation: Operation) -> tuple[Reason, bytes]:
        if operation.page:
            self._sent_ns = CLOCK.now_ns()
            status, _, body = self._http("GET", operation.page, None, [])
            self._last = LastAnswer(status, body)
            return self._dialect.judge_page(status, body, operation.expect), body
        self._open_session()
        self._sent_ns = CLOCK.now_ns()
        call = self._dialect.call_body(self._call_id, self._dialect.params_of(operation))
        own_headers = self._dialect.headers_of(operation.rpc_method, operation.about)
        status, _, body, message = self._post(call, own_headers)
        reason = self._judge(status, body, message, operation)
        if reason is Reason.SESSION_LOST and status == 404 and self._dialect.renews_sessions:
            return self._answer_on_new_session(call, own_headers, operation)
        return reason, body

    def _answer_on_new_session(self, call: bytes, own_headers: Headers, operation: Operation) -> tuple[Reason, bytes]:
        """Make a call again, once, whose session the server does not know any more."""
        self._dialect.forget()
        self._sent_ns = 0
        try:
            self._open_session()
        except DialectError as error:
            self._last = LastAnswer(None, str(error).encode())
            return Reason.SESSION_LOST, b""
        self._sent_ns = CLOCK.now_ns()
        status, _, body, message = self._post(call, own_headers)
        reason = self._judge(status, body, message, operation)
        return Reason.SESSION_RENEWED if reason is Reason.OK else reason, body

    def _judge(self, status: int, body: bytes, message: Message | None, operation: Operation) -> Reason:
        self._last = LastAnswer(status, body, message)
        return self._dialect.judge(self._call_id, status, message, operation)

    def _open_session(self) -> None:
        while (body := self._dialect.opening()) is not None:
            status, session_id, _, message = self._post(body)
            self._dialect.opened(status, session_id, message)

    def _post(
        self, body: bytes, own_headers: Sequence[tuple[str, str]] = ()
    ) -> tuple[int, str | None, bytes, Message | None]:
        """Status, session id, body and message of the answer to a POST."""
        status, headers, answer = self._http("POST", self.path, body, [*self._dialect.headers(), *own_headers])
        kind = str(headers.get("content-type", "")).partition(";")[0].strip().lower()
        return status, headers.get("mcp-session-id"), answer, _message(kind, answer)

    def _http(self, method: str, path: str, body: bytes | None, given: Headers) -> tuple[int, Any, bytes]:
        headers = dict([*CREDENTIALS.headers(), *given])
        if HISTORY:
            headers["Host"] = HISTORY.spec.target.host_header
        # Nothing is reported by this, as the context is not entered: a call is more than an HTTP request.
        payload: Any = body
        response = self.client.request(
            method, self.origin + path, data=payload, headers=headers, catch_response=True, allow_redirects=False
        )
        if not isinstance(response, FastResponse) or not response.status_code:
            raise CallError(_reason_of(getattr(response, "error", None)))
        return response.status_code, response.headers or {}, response.content or b""

    def _drop(self) -> None:
        """Close the connection: what was asked may be answered on it later."""
        self.client.client.clientpool.close()


class McpWebSocketUser(McpUser):
    """One client whose calls go over a WebSocket; pages are read over HTTP."""

    abstract = True
    dialect_name = "websocket"
    _socket: LocustWebSocket | None = None

    def _answer(self, operation: Operation) -> tuple[Reason, bytes]:
        try:
            return super()._answer(operation)
        except (OSError, ClosedError) as error:
            self._drop_socket()
            raise CallError(_reason_of(error)) from None

    def _open_session(self) -> None:
        if self._socket is None:
            target = HISTORY.spec.target if HISTORY else None
            path = target.websocket_path if target else os.environ.get("MCP_WEBSOCKET_PATH", "/ws")
            self._socket = LocustWebSocket(
                self.origin, path, target.host_header if target else None, CREDENTIALS.headers()
            )
        while (body := self._dialect.opening()) is not None:
            if self._dialect.opening_is_answered():
                status, session_id, _, message = self._post(body)
                self._dialect.opened(status, session_id, message)
            else:
                self._socket.send(body)
                self._dialect.opened(200, None, None)

    def _post(
        self, body: bytes, own_headers: Sequence[tuple[str, str]] = ()
    ) -> tuple[int, str | None, bytes, Message | None]:
        assert self._socket is not None
        self._socket.send(body)
        while True:
            answer = self._socket.receive()
            message = parse_message(answer)
            if message is None or "method" not in message:
                return 200, None, answer, message
            reply = self._dialect.reply(message)
            if reply is not None:
                self._socket.send(reply)

    def _drop(self) -> None:
        super()._drop()
        self._drop_socket()

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._dialect.forget()


def users_of(workload: Workload) -> dict[str, type[McpUser]]:
    """A Locust user class for each kind of user of a workload, by name."""
    classes: dict[str, type[McpUser]] = {}
    for index, kind in enumerate(workload.kinds):
        base = McpWebSocketUser if kind.websocket else McpUser
        fields = {
            "kind": kind,
            "first_operation": workload.first_operation_of(index),
            "weight": kind.weight,
            "wait_time": between(*kind.wait_s),
            "abstract": False,
        }
        if HISTORY:
            target = HISTORY.spec.target
            fields["host"] = f"http://{target.connect_host}:{target.connect_port}"
        name = f"{kind.name}_{index}"
        classes[name] = type(name, (base,), fields)
    return classes


def built_in(name: str) -> dict[str, Any]:
    """What a user class needs to be one of the specification's."""
    (kind,) = read_workload(name).kinds
    return {"kind": kind, "wait_time": between(*kind.wait_s)}


def _message(kind: str, body: bytes) -> Message | None:
    if kind == "application/json":
        return parse_message(body)
    if kind != "text/event-stream":
        return None
    messages = (parse_message(data) for data in EventStream().feed(body))
    return next((message for message in messages if message is not None and "method" not in message), None)


def _reason_of(error: BaseException | None) -> Reason:
    match error:
        case ConnectionRefusedError():
            return Reason.REFUSED
        case ConnectionResetError() | BrokenPipeError():
            return Reason.RESET
        case TimeoutError() | socket.timeout():
            return Reason.TIMED_OUT
        case _:
            return Reason.CLOSED


def flush_now_and_then() -> None:
    """Write this process's calls to the run folder until the end."""
    while HISTORY:
        HISTORY.flush()
        gevent.sleep(_FLUSH_S)

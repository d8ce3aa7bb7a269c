"""The call that a client is making: what it asks, its times, and what its answer is classed as."""

from typing import Any

from mcp_chaos.history.calls import RECORD, Reason, outcome_of
from mcp_chaos.load.clients.context import Context
from mcp_chaos.mcp import Dialect, GetRequest
from mcp_chaos.mcp.message import Message


class CurrentCall:
    """The call of one client. It is begun anew for each, as an object per call would cost.

    Args:
        engine: told of each call that ended.
        user: the number of the client.
        dialect: classes answers.

    Attributes:
        is_under_way: from :meth:`begin` to :meth:`end`.
        index: of its operation, in the row of all.
        operation: what is asked.
        call_id: of the message.
        intended_ns: when it was due.
        sent_ns: when it was sent, 0 before that.
        size_bytes: of its answer.
        verdict: what its answer is classed as, once there is one; its stream may still have to end.
        renewed: whether it is made again, on a new session.
    """

    __slots__ = (
        "_dialect",
        "_done_ns",
        "_engine",
        "_now_ns",
        "_operations",
        "_user",
        "call_id",
        "index",
        "intended_ns",
        "is_under_way",
        "operation",
        "renewed",
        "sent_ns",
        "size_bytes",
        "verdict",
    )

    def __init__(self, engine: Context[Any], user: int, dialect: Dialect) -> None:
        self._engine = engine
        self._operations = engine.workload.operations
        self._now_ns = engine.now_ns
        self._user = user
        self._dialect = dialect
        self.operation = self._operations[0]
        self.is_under_way = self.renewed = False
        self.verdict: Reason | None = None
        self.index = self.call_id = self.intended_ns = self.sent_ns = self._done_ns = self.size_bytes = 0

    @property
    def in_flight(self) -> bool:
        """Whether it was sent and has not ended."""
        return self.is_under_way and self.sent_ns > 0

    @property
    def is_get(self) -> bool:
        """Whether it is a GET request, which needs no session."""
        return isinstance(self.operation, GetRequest)

    def begin(self, index: int, intended_ns: int) -> None:
        """The next one: an operation of the workload, which was due at ``intended_ns``."""
        self.index = index
        self.operation = self._operations[index]
        self.call_id = self._engine.new_call_id()
        self.intended_ns = intended_ns
        self.sent_ns = self._done_ns = self.size_bytes = 0
        self.verdict = None
        self.renewed = False
        self.is_under_way = True

    def begin_again(self) -> None:
        """The same call once more, on a new session."""
        self.sent_ns = self._done_ns = self.size_bytes = 0
        self.verdict = None
        self.renewed = True

    def judge(self, status: int, body: bytes, message: Message | None) -> Reason:
        """Class its answer.

        Args:
            status: of HTTP; 200 where there is no HTTP around messages.
            body: as it came.
            message: what it is in JSON-RPC.
        """
        operation = self.operation
        if isinstance(operation, GetRequest):
            reason = self._dialect.judge_get(status, body, operation)
        else:
            reason = self._dialect.judge(self.call_id, status, message, operation)
        if reason is not Reason.OK:
            self.keep_bad_answer(reason, status, body, message)
        self.verdict = reason
        self._done_ns = self._now_ns()
        return reason

    def verdict_or(self, reason: Reason) -> Reason:
        """What its answer was classed as; without one, the reason why there will be none."""
        return reason if self.verdict is None else self.verdict

    def keep_bad_answer(self, reason: Reason, status: int | None, body: bytes, message: Message | None) -> None:
        """Keep an answer for people, where it is one of the first; see ``FirstBadAnswers.keep``."""
        engine = self._engine
        if engine.bad_answers is not None:
            times_ns = self.intended_ns, self._now_ns()
            engine.bad_answers.keep(times_ns, reason, self.operation.name, status, body, message)

    def end(self, reason: Reason) -> int:
        """Write its record; returns when it was done."""
        self.is_under_way = False
        if reason is Reason.OK and self.renewed:
            reason = Reason.SESSION_RENEWED
        engine = self._engine
        done_ns = self._done_ns or self._now_ns()
        outcome = 0 if reason is Reason.OK else outcome_of(reason, self.sent_ns > 0)
        times = self.intended_ns, self.sent_ns, done_ns
        made_by = self.index, self._user, engine.worker
        engine.write_call(
            RECORD.pack(*times, self.size_bytes, *made_by, reason, outcome, engine.lane, engine.step_number)
        )
        return done_ns

"""What Locust's users write to a run folder, when they are part of a run: the same calls as any other load's."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mcp_chaos.history.calls import RECORD, Reason, outcome_of
from mcp_chaos.history.calls_file import CallsFile
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.clients.first_bad_answers import FirstBadAnswers
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock
from mcp_chaos.mcp.message import Message

SPEC_VARIABLE = "MCP_CHAOS_LOCUST_SPEC"
RUN_VARIABLE = "MCP_CHAOS_LOCUST_RUN"


class LastAnswer(NamedTuple):
    """What a user was answered last.

    Args:
        status: of HTTP; ``None`` where there was no response.
        body: as it came.
        message: what it is in JSON-RPC.
    """

    status: int | None = None
    body: bytes = b""
    message: Message | None = None


@dataclass
class LocustHistory:
    """The part of a Locust process in a run.

    Args:
        spec: the load.
        folder: of the run.
    """

    spec: LoadSpec
    folder: RunFolder
    _file: CallsFile | None = None
    _worker: int = 0
    _bad_answers: FirstBadAnswers | None = None

    @classmethod
    def from_environment(cls) -> "LocustHistory | None":
        """The run this process belongs to; ``None`` when Locust was started by a person."""
        path = os.environ.get(SPEC_VARIABLE)
        if path is None:
            return None
        spec = LoadSpec.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        return cls(spec, RunFolder.open(Path(os.environ[RUN_VARIABLE])))

    @property
    def clock(self) -> Clock:
        """Of the run."""
        return Clock(self.spec.clock_offset_ns)

    def begin(self, worker: int) -> None:
        """This process is about to make calls; it is the ``worker``-th of the load."""
        self._worker = worker
        self._file = CallsFile(self.folder.calls_path(self.spec.name, worker))
        self._bad_answers = FirstBadAnswers(self.folder.bad_answers_file(self.spec.name), self.spec.lane)

    def started(self) -> None:
        """The load has begun, in all processes."""
        lane, judged = self.spec.lane.name.lower(), self.spec.judged
        self.folder.event(self.clock.now_ns(), "load_started", load=self.spec.name, lane=lane, judged=judged)
        users = self.spec.shape.first().users
        self.folder.event(self.clock.now_ns(), "load_step", load=self.spec.name, step=1, users=users)

    def overloaded(self, cpu_percent: float) -> None:
        """Locust has seen that this process uses its core up."""
        self.folder.event(
            self.clock.now_ns(),
            "generator_overloaded",
            load=self.spec.name,
            why=f"process {self._worker} of Locust used {cpu_percent:.0f} % of a core; use more (workers)",
        )

    def write(
        self, intended_ns: int, sent_ns: int, done_ns: int, size_bytes: int, operation: int, user: int, reason: Reason
    ) -> None:
        """Take a call that ended; see ``calls.CALL``."""
        if self._file is None:
            return
        outcome = outcome_of(reason, sent_ns > 0)
        numbers = (intended_ns, sent_ns, done_ns, min(size_bytes, 0xFFFFFFFF), operation, user & 0xFFFF)
        self._file.write(RECORD.pack(*numbers, self._worker, reason, outcome, self.spec.lane, 0))

    def keep_bad_answer(self, times_ns: tuple[int, int], reason: Reason, operation: str, answer: LastAnswer) -> None:
        """Keep an answer that was no good, where it is one of the first; see ``FirstBadAnswers.keep``."""
        if self._bad_answers is not None:
            self._bad_answers.keep(times_ns, reason, operation, answer.status, answer.body, answer.message)

    def flush(self) -> None:
        """Write what is pending."""
        if self._file is not None:
            self._file.flush()

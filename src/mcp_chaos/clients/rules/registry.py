"""What a rule is, and how rules are checked.

Each returns what it saw broken, in words, or ``None``; it raises :class:`NotApplicableError` where the server, or its
protocol version, lacks what the rule is about.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from mcp_chaos.clients.exchange import FAILURES, Answer, Client, Wire, is_rate_limit, why_failed
from mcp_chaos.clients.tally import usual_s
from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import ListCall, McpCall

_MOST_TRIALS = 6
_LEAST_S = 45.0
_LIMITS_RATES = "the server limits rates"

GOOD = (Reason.OK, Reason.RATE_LIMITED)
"""How a call may end: a rate limit is the server's right."""


class NotApplicableError(Exception):
    """The rule says nothing about this server; says what is missing."""


@dataclass
class Subject:
    """The server that rules are checked on.

    Args:
        wire: to it.
        operation: a call that it answers.
        others: more calls that may be made.
        patience_s: of clients that wait for more than one call.
    """

    wire: Wire
    operation: McpCall
    others: Sequence[McpCall] = ()
    patience_s: float = 30.0
    _tried: list[tuple[McpCall, float, int]] | None = None

    async def slowest(self) -> tuple[McpCall, float]:
        """Of all calls that are answered well the one that takes longest, and how long in seconds."""
        operation, took_s, _ = max(await self._trials(), key=lambda trial: trial[1])
        return operation, took_s

    async def largest(self) -> tuple[McpCall, float, int]:
        """Of all calls that are answered well the one with the longest answer: its seconds and bytes."""
        return max(await self._trials(), key=lambda trial: trial[2])

    async def _trials(self) -> list[tuple[McpCall, float, int]]:
        """Each call with its time in seconds and its answer's length in bytes; tried once."""
        if self._tried is None:
            usual = await usual_s(self.wire, self.operation)
            self._tried = [(self.operation, usual, 0)]
            client = Client(self.wire, "mcp_chaos-tries")
            with suppress(*FAILURES):
                await client.open()
                listing = [ListCall()] if self.wire.target.lists_tools else []
                for operation in [self.operation, *listing, *self.others[:_MOST_TRIALS]]:
                    began = time.monotonic()
                    with suppress(*FAILURES):
                        reason, answer = await client.call(operation)
                        if reason is Reason.OK:
                            took_s = usual if operation is self.operation else time.monotonic() - began
                            self._tried.append((operation, took_s, len(orjson.dumps(answer.message))))
                await client.close()
        return self._tried

    @property
    def patient(self) -> "Subject":
        """The same server, for clients that wait longer."""
        return Subject(replace(self.wire, deadline_s=self.patience_s), self.operation)

    async def client(self, name: str) -> Client:
        """A client that has opened its session."""
        client = Client(self.wire, f"mcp_chaos-{name}")
        await client.open()
        return client

    async def sessions_last(self, seconds: float) -> bool:
        """Whether a session that nobody disturbed is still known after some time; short lives are a server's right."""
        client = await self.client("lasts")
        await asyncio.sleep(seconds)
        _, answer = await client.call(self.operation)
        await close_all(client)
        return answer.status != 404

    async def with_session(self, name: str) -> Client:
        """A client whose server gave it a session.

        Raises:
            NotApplicableError: it gave none.
        """
        client = await self.client(name)
        if client.session_id is None:
            raise NotApplicableError("the server has no sessions")
        return client


def refuse_rate_limit(answer: Answer) -> None:
    """Say that a rule does not apply to an answer.

    Raises:
        NotApplicableError: it is a rate limit's (HTTP 429), which is the server's right.
    """
    if answer.status == 429:
        raise NotApplicableError(_LIMITS_RATES)


Rule = Callable[[Subject], Coroutine[Any, Any, str | None]]

RULES: dict[str, Rule] = {}
"""Every rule by its name."""

_PATIENT: set[str] = set()
_SESSIONLESS: set[str] = set()


def rule(function: Rule) -> Rule:
    """Register a rule under its function's name."""
    RULES[function.__name__] = function
    return function


def sessionless(function: Rule) -> Rule:
    """Mark a rule that asks the same of a server whether it has sessions or not: one protocol version is enough."""
    _SESSIONLESS.add(function.__name__)
    return function


def patient_rule(function: Rule) -> Rule:
    """Register a rule that waits most of its time: checked beside the others, so its own calls must be patient."""
    _PATIENT.add(function.__name__)
    return rule(function)


async def check_rules_in_versions(
    subjects: Sequence[Subject], names: Sequence[str], limit_s: float = 90.0
) -> tuple[list[str], dict[str, str]]:
    """As :func:`check_rules`, for the same server in each of its protocol versions.

    Args:
        subjects: the server in each version; only rules about sessions are checked in others than the first.
        names: of the rules.
        limit_s: of all; a further version has 45 s at least.

    Returns:
        What is broken, with its version where there are several; and of each rule that applies in none, why.
    """
    until = time.monotonic() + limit_s
    first, *others = subjects
    found, missing = await check_rules(first, names, limit_s)
    broken = [first.wire.told(sentence) for sentence in found]
    about_sessions = [name for name in names if name not in _SESSIONLESS]
    for subject in others:
        found, not_here = await check_rules(subject, about_sessions, max(until - time.monotonic(), _LEAST_S))
        broken += [subject.wire.told(sentence) for sentence in found]
        for name in set(missing).intersection(about_sessions) - set(not_here):
            del missing[name]
        missing.update({name: why for name, why in not_here.items() if name in missing})
    return broken, missing


async def check_rules(
    subject: Subject, names: Sequence[str], limit_s: float = 90.0
) -> tuple[list[str], dict[str, str]]:
    """Check rules, one after the other but for those that wait; none is begun when ``limit_s`` is over.

    Returns:
        What is broken, in words; and of each rule that does not apply, why.
    """
    broken: list[str] = []
    missing: dict[str, str] = {}
    waiting = {name: asyncio.create_task(RULES[name](subject)) for name in names if name in _PATIENT}
    until = time.monotonic() + limit_s
    for name in sorted(names, key=lambda name: name in waiting):
        if name not in waiting and time.monotonic() > until:
            missing[name] = f"no time was left after {limit_s:g} s"
            continue
        try:
            found = await (waiting[name] if name in waiting else RULES[name](subject))
        except NotApplicableError as error:
            missing[name] = str(error)
        except FAILURES as error:
            if is_rate_limit(error):
                missing[name] = _LIMITS_RATES
                continue
            broken.append(f"{name.replace('_', ' ')}: {why_failed(error, subject.wire.deadline_s)}")
        else:
            broken += [found] if found else []
    return broken, missing


async def close_all(*clients: Client) -> None:
    """End the sessions of clients, whatever the server says to it."""
    await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)

"""Whether every client gets its own answer: each call carries a nonce, and the answer has to carry the same one.

Clients count their request ids from 1, as most do, so the ids of different clients collide; some of them hang up in the
middle of calls, so that an answer is left over. Where no tool gives a text back, an answer that is the same within a
session and differs between sessions serves as the nonce.
Sources: CVE-2026-25536, cloudflare/agents 1632, swift-sdk 265.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from mcp_chaos.clients.exchange import FAILURES, Answer, Client, Reply, Wire, hang_up
from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import Operation
from mcp_chaos.mcp.dialect import text_of

_MAX_TRIALS = 8
_LEAVE_FRACTION = 0.2
_TRIAL = "nonce4f1e7a9c"
_TEMPLATES = ("{}", "SELECT '{}' AS nonce")
"""A text, and a query that gives one back."""


@dataclass(frozen=True)
class Echo:
    """A call whose answer tells who asked.

    Args:
        operation: the call.
        argument: which argument carries the nonce; empty where the session itself is told apart by the answer.
        template: what the argument is, around the nonce.
    """

    operation: Operation
    argument: str = ""
    template: str = "{}"

    def asking(self, nonce: str) -> Operation:
        """The call with a nonce."""
        if not self.argument:
            return self.operation
        return replace(
            self.operation, arguments={**self.operation.arguments, self.argument: self.template.format(nonce)}
        )


@dataclass
class CrossTalk:
    """What came of it.

    Args:
        answers: how many good answers were compared.
        foreign: answers that carried another client's nonce.
        wrong: answers that carried nobody's, or answered another request.
        example: of one of them.
    """

    answers: int = 0
    foreign: int = 0
    wrong: int = 0
    example: str = ""
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def why(self) -> str:
        """What went wrong, in words; empty when nothing did."""
        if not self.foreign and not self.wrong:
            return ""
        return (
            f"{self.foreign} of {self.answers} answers were another client's and {self.wrong} were not to the question "
            f"(for example {self.example[:120]!r})"
        )


async def find_echo(wire: Wire, tools: Sequence[tuple[Mapping[str, Any], Operation]]) -> Echo | None:
    """A call whose answer tells who asked, found by trying; ``None`` where there is none.

    Args:
        wire: to the server.
        tools: as the server lists them, each with a call of it that may be made.
    """
    first, second = Client(wire, "mcp_chaos-tries-1"), Client(wire, "mcp_chaos-tries-2")
    try:
        await first.open()
        await second.open()
        for tool, operation in tools[:_MAX_TRIALS]:
            found = await _as_echo(first, tool, operation) or await _as_identity(first, second, operation)
            if found is not None:
                return found
    except FAILURES:
        return None
    finally:
        for client in (first, second):
            with suppress(*FAILURES):
                await client.close()
    return None


async def _as_echo(client: Client, tool: Mapping[str, Any], operation: Operation) -> Echo | None:
    schema = tool.get("inputSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    for name, kind in (properties or {}).items():
        if not isinstance(kind, dict) or kind.get("type") != "string" or {"enum", "pattern", "format"} & set(kind):
            continue
        for template in _TEMPLATES:
            echo = Echo(operation, str(name), template)
            reason, answer = await client.call(echo.asking(_TRIAL))
            if reason is Reason.OK and _TRIAL in _text(answer):
                return echo
    return None


async def _as_identity(first: Client, second: Client, operation: Operation) -> Echo | None:
    """Whether the answer is the same within a session and another in another."""
    if first.session_id is None:
        return None
    told = []
    for client in (first, second, first, second):
        reason, answer = await client.call(operation)
        if reason is not Reason.OK:
            return None
        told.append(_text(answer))
    return Echo(operation) if told[0] == told[2] and told[1] == told[3] and told[0] != told[1] else None


def _text(answer: Answer) -> str:
    return text_of((answer.message or {}).get("result"))


async def cross_talk(wire: Wire, echo: Echo | None, operation: Operation, clients: int, calls: int) -> CrossTalk:
    """Let clients ask at the same time and compare each answer with its question.

    Args:
        wire: to the server.
        echo: a call whose answer tells who asked; without one, answers are told apart by their kind only.
        operation: what is called then, in turn with the list of tools.
        clients: how many.
        calls: of each.
    """
    found = CrossTalk()
    nonces = {n: {f"n{n:03d}x{c:03d}q" for c in range(calls)} for n in range(clients)}
    await asyncio.gather(*(_ask(wire, echo, operation, n, nonces, found, calls) for n in range(clients)))
    return found


async def _ask(
    wire: Wire,
    echo: Echo | None,
    operation: Operation,
    number: int,
    nonces: Mapping[int, set[str]],
    found: CrossTalk,
    calls: int,
) -> None:
    chances = random.Random(number)
    client = Client(wire, f"mcp_chaos-asks-{number}")
    with suppress(*FAILURES):
        await client.open()
    own = ""
    for nonce in sorted(nonces[number])[:calls]:
        asked = (
            echo.asking(nonce)
            if echo
            else (operation if chances.random() < 0.5 else Operation("", method="tools/list"))
        )
        with suppress(*FAILURES):
            if client.dialect.opening() is not None:
                await client.open()
            if number % 2 and chances.random() < _LEAVE_FRACTION:
                await _leave(client, asked)
                continue
            reason, answer = await client.call(asked)
            found.reasons[reason.name.lower()] += 1
            if reason is Reason.SESSION_LOST:
                client.dialect.forget()
            text = _text(answer) if reason is Reason.OK else ""
            expected = nonce if echo and echo.argument else own
            if echo and not echo.argument and reason is Reason.OK and not own:
                own = expected = text
            _compare(found, reason, text, answer, expected if echo else "", _others(nonces, number))
    with suppress(*FAILURES):
        await client.close()


def _others(nonces: Mapping[int, set[str]], number: int) -> set[str]:
    return {nonce for n, theirs in nonces.items() if n != number for nonce in theirs}


def _compare(found: CrossTalk, reason: Reason, text: str, answer: Answer, expected: str, others: set[str]) -> None:
    if reason is Reason.WRONG_ANSWER:
        found.wrong += 1
        found.example = found.example or f"{answer}: {answer.message}"
    if reason is not Reason.OK:
        return
    found.answers += 1
    if expected and expected not in text:
        foreign = any(nonce in text for nonce in others)
        found.foreign += foreign
        found.wrong += not foreign
        found.example = found.example or text


async def _leave(client: Client, operation: Operation) -> None:
    """Ask, and be gone before the answer."""
    _, request = client.call_request(operation)
    connection = await client.wire.connect(Reply())
    connection.send(request)
    await asyncio.sleep(0.005)
    hang_up(connection, reset=False)

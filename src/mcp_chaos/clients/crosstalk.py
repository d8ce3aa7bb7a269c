"""Whether every client gets its own answer: each call carries a nonce, and the answer has to carry the same one.

Clients count their request ids from 1, as most do, so the ids of different clients collide; some of them hang up in the
middle of calls, so that an answer is left over. Where no tool gives a text back, an answer that is the same within a
session and differs between sessions serves as the nonce.
Sources: CVE-2026-25536, cloudflare/agents 1632, swift-sdk 265.
"""

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from mcp_chaos.clients.exchange import FAILURES, Answer, Client, Reply, Wire, hang_up
from mcp_chaos.config.credentials import redacted
from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import ListCall, McpCall, ToolCall
from mcp_chaos.mcp.message import text_of

_MAX_TRIALS = 8
_LEAVE_FRACTION = 0.2
_AT_ONCE = 2
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

    operation: ToolCall
    argument: str = ""
    template: str = "{}"

    def asking(self, nonce: str) -> ToolCall:
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
        texts: what the same question was answered, where no nonce tells.
    """

    answers: int = 0
    foreign: int = 0
    wrong: int = 0
    example: str = ""
    texts: list[str] = field(default_factory=list)

    def hold_against(self, right: set[str | None]) -> None:
        """Count the answers to the same question that said something else than before and afterwards."""
        if None not in right:
            other = [text for text in self.texts if text not in right]
            self.wrong += len(other)
            self.example = self.example or (other[0] if other else "")

    @property
    def why(self) -> str:
        """What went wrong, in words; empty when nothing did."""
        if not self.foreign and not self.wrong:
            return ""
        return (
            f"{self.foreign} of {self.answers} answers were another client's and {self.wrong} were not to the question "
            f"(for example {self.example[:120]!r})"
        )


async def find_echo(wire: Wire, tools: Sequence[tuple[Mapping[str, Any], ToolCall]]) -> Echo | None:
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


async def _as_echo(client: Client, tool: Mapping[str, Any], operation: ToolCall) -> Echo | None:
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


async def _as_identity(first: Client, second: Client, operation: ToolCall) -> Echo | None:
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


async def cross_talk(wire: Wire, echo: Echo | None, operation: McpCall, clients: int, calls: int) -> CrossTalk:
    """Let clients ask at the same time and compare each answer with its question.

    Args:
        wire: to the server.
        echo: a call whose answer tells who asked; without one, answers are told apart by their kind only.
        operation: what is called then, in turn with the list of tools.
        clients: how many.
        calls: of each, two at a time.
    """
    found = CrossTalk()
    nonces = {n: [f"n{n:03d}x{c:03d}q" for c in range(calls)] for n in range(clients)}
    askers = [_Asker(wire, echo, operation, n, nonces, found) for n in range(clients)]
    before = await _steady_answer(wire, operation) if echo is None else None
    await asyncio.gather(*(asker.run() for asker in askers))
    if before is not None:
        found.hold_against({before, await _steady_answer(wire, operation)})
    return found


async def _steady_answer(wire: Wire, operation: McpCall) -> str | None:
    """What a call is answered twice in a row; ``None`` where that differs, so that nothing can be told by it."""
    client = Client(wire, "mcp_chaos-asks-alone")
    try:
        await client.open()
        said = [_text((await client.call(operation))[1]) for _ in range(2)]
        await client.close()
    except FAILURES:
        return None
    return said[0] if said[0] == said[1] else None


class _Asker:
    """A client that asks two things at a time, and now and then leaves before the answer."""

    def __init__(
        self,
        wire: Wire,
        echo: Echo | None,
        operation: McpCall,
        number: int,
        nonces: Mapping[int, list[str]],
        found: CrossTalk,
    ) -> None:
        self._client = Client(wire, f"mcp_chaos-asks-{number}")
        self._echo = echo
        self._operation = operation
        self._leaves = number % 2 == 1
        self._nonces = nonces[number]
        self._others = {nonce for n, theirs in nonces.items() if n != number for nonce in theirs}
        self._found = found
        self._chances = random.Random(number)
        self._own = ""  # what the session itself is told, where that tells who asked

    async def run(self) -> None:
        """Ask with one nonce after the other."""
        for nonces in _batched(self._nonces, _AT_ONCE):
            with suppress(*FAILURES):
                if self._client.dialect.opening() is not None:
                    await self._client.open()
                await asyncio.gather(*(self._ask(nonce) for nonce in nonces))
        with suppress(*FAILURES):
            await self._client.close()

    async def _ask(self, nonce: str) -> None:
        asked = self._question(nonce)
        with suppress(*FAILURES):
            if self._leaves and self._chances.random() < _LEAVE_FRACTION:
                await _leave(self._client, asked)
                return
            reason, answer = await self._client.call(asked)
            if reason is Reason.SESSION_LOST:
                self._client.dialect.forget()
            text = _text(answer) if reason is Reason.OK else ""
            if self._echo is None and asked is self._operation and reason is Reason.OK:
                self._found.texts.append(text)
            _compare(self._found, reason, text, answer, self._expected(nonce, text), self._others)

    def _question(self, nonce: str) -> McpCall:
        if self._echo is not None:
            return self._echo.asking(nonce)
        return self._operation if self._chances.random() < 0.5 else ListCall()

    def _expected(self, nonce: str, text: str) -> str:
        """What an answer must carry; the first one to a session itself tells what the others must say."""
        if self._echo is None:
            return ""
        if self._echo.argument:
            return nonce
        self._own = self._own or text
        return self._own


def _batched(nonces: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(nonces), size):
        yield nonces[start : start + size]


def _compare(found: CrossTalk, reason: Reason, text: str, answer: Answer, expected: str, others: set[str]) -> None:
    if reason is Reason.WRONG_ANSWER:
        found.wrong += 1
        found.example = found.example or redacted(f"{answer}: {answer.message}")
    if reason is not Reason.OK:
        return
    found.answers += 1
    if expected and expected not in text:
        foreign = any(nonce in text for nonce in others)
        found.foreign += foreign
        found.wrong += not foreign
        found.example = found.example or text


async def _leave(client: Client, operation: McpCall) -> None:
    """Ask, and be gone before the answer."""
    _, request = client.call_request(operation)
    connection = await client.wire.connect(Reply())
    connection.send(request)
    await asyncio.sleep(0.005)
    hang_up(connection, reset=False)

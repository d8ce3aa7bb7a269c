"""A realistic MCP client for readings: one fresh session, a total deadline."""

import asyncio
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from mcp_chaos.config.credentials import redacted
from mcp_chaos.errors import TargetError
from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp import DIALECTS, DialectError, McpCall
from mcp_chaos.mcp.dialect import Headers
from mcp_chaos.mcp.message import Message
from mcp_chaos.observe.advice import Answer, advice, describe, network_advice, shown
from mcp_chaos.observe.transport import transport_for

_MOST_PAGES = 100
_CLOSED_BY_THE_SERVER = (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError)


@dataclass(frozen=True)
class Refusal:
    """An answer that is not what was asked for.

    Args:
        status: of HTTP.
        text: what was answered, and what it means.
    """

    status: int
    text: str

    def __str__(self) -> str:
        return self.text


def _without_secrets(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool or another entry, or only its name where it repeats a credential: then it is never chosen."""
    name, text = str(tool.get("name")), orjson.dumps(tool).decode()
    cut = redacted(name)
    return tool if cut == name and redacted(text) == text else {"name": cut}


class McpClient:
    """One session with a server.

    The deadline is for all of it together, wherever the time goes; the client has an event loop of its own for that.

    Args:
        url: of the MCP endpoint, or of a proxy before it.
        dialect: a name from ``mcp.DIALECTS``.
        deadline_s: for all that is done with this client together.
        host_header: what the server wants to be called, when ``url`` is a proxy.
    """

    def __init__(self, url: str, dialect: str, deadline_s: float, host_header: str | None = None) -> None:
        self._url = url
        self._shown = shown(url)
        self._host = host_header or urlsplit(url).netloc
        self._dialect = DIALECTS[dialect]("mcp_chaos-observer")
        self._until = time.monotonic() + deadline_s
        self._deadline_s = deadline_s
        self._transport = transport_for(self._dialect, url, host_header)
        self._runner = asyncio.Runner()
        self._last_id = 0
        self._answered = 0

    def __enter__(self) -> "McpClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._dialect.closing() and error is None:
                self._exchange("DELETE", b"", [])
        except TargetError:
            pass  # the reading was taken; a session that does not end cleanly is the server's to forget
        finally:
            self._runner.run(self._transport.close())
            self._runner.close()

    def open(self) -> None:
        """Do the handshake.

        Raises:
            TargetError: the server is not there, or refuses; says how.
        """
        while (body := self._dialect.opening()) is not None:
            answer = self._exchange("POST", body, [])
            try:
                self._dialect.opened(answer.status, answer.session_id, answer.message)
            except DialectError as error:
                what = redacted(str(error)) + self._advice(answer, error.reason)
                raise TargetError(f"{self._shown} did not open an MCP session: {what}.") from None

    @property
    def has_session(self) -> bool:
        """Whether the server gave a session that is to be ended."""
        return self._dialect.closing()

    def call(self, operation: McpCall) -> Reason:
        """Make a call and class the answer.

        Raises:
            TargetError: the server is not there, or did not answer in time.
        """
        return self.answer_to(operation)[0]

    def answer_to(self, operation: McpCall) -> tuple[Reason, Message]:
        """Make a call: how its answer is classed, and the answer, which is empty where it is no message.

        Raises:
            TargetError: the server is not there, or did not answer in time.
        """
        self._last_id += 1
        answer = self._exchange("POST", *self._dialect.ask(self._last_id, operation))
        return self._dialect.judge(self._last_id, answer.status, answer.message, operation), answer.message or {}

    def discover(self) -> dict[str, Any] | Refusal:
        """What a server of the stateless era says of itself, or how another one refused to.

        Raises:
            TargetError: it is not there, or did not answer in time.
        """
        answer, result = self._ask("server/discover")
        if answer.status == 200 and isinstance(result, dict):
            return result
        return Refusal(answer.status, self._described(answer))

    def list_tools(self) -> list[dict[str, Any]]:
        """The tools the server offers, of all pages; of a list without end so many.

        Raises:
            TargetError: it does not list them.
        """
        return self.list_of("tools/list", "tools")

    def list_of(self, method: str, part: str) -> list[dict[str, Any]]:
        """What a server lists, of all pages; of a list without end so many.

        Args:
            method: such as ``resources/list``.
            part: of the result that has it.

        Raises:
            TargetError: it does not list it.
        """
        found: list[dict[str, Any]] = []
        cursors: list[str] = []
        while len(cursors) < _MOST_PAGES:
            answer, result = self._ask(method, {"cursor": cursors[-1]} if cursors else {})
            listed = result.get(part) if isinstance(result, dict) else None
            if not isinstance(listed, list):
                raise TargetError(f"{self._shown} did not list its {part}: {self._described(answer)}.")
            found += [_without_secrets(entry) for entry in listed if isinstance(entry, dict)]
            cursor = result.get("nextCursor")
            if not isinstance(cursor, str) or cursor in cursors:
                break
            cursors.append(cursor)
        return found

    def _ask(self, method: str, params: dict[str, Any] | None = None) -> tuple[Answer, Any]:
        """A request of a method that needs no arguments: the answer, and its result."""
        self._last_id += 1
        said = orjson.dumps({**orjson.loads(self._dialect.list_params()), **(params or {})})
        body = self._dialect.call_body(self._last_id, (f'"{method}"'.encode(), said))
        answer = self._exchange("POST", body, self._dialect.headers_of(method))
        return answer, (answer.message or {}).get("result")

    def _described(self, answer: Answer) -> str:
        return redacted(describe(answer)) + self._advice(
            answer, self._dialect.judge_status(answer.status, answer.message)
        )

    def _advice(self, answer: Answer, reason: Reason) -> str:
        return redacted(advice(self._shown, self._host, answer, session_lost=reason is Reason.SESSION_LOST))

    def _exchange(self, method: str, body: bytes, own_headers: Headers) -> Answer:
        """What a server answers before the deadline."""
        try:
            return self._runner.run(self._limited(method, body, own_headers))
        except TimeoutError:
            raise TargetError(f"{self._shown} did not answer within {self._deadline_s:g} s.") from None
        except httpx.InvalidURL as error:
            raise TargetError(f"{self._shown} is not a URL that can be called: {error}.") from None
        except DialectError as error:
            raise TargetError(f"{self._shown} did not open an MCP session: {redacted(str(error))}.") from None
        except (httpx.HTTPError, OSError) as error:
            raise TargetError(self._why_lost(error)) from None

    def _why_lost(self, error: Exception) -> str:
        why = network_advice(str(error) or type(error).__name__).rstrip(".")
        if self._answered and isinstance(error, _CLOSED_BY_THE_SERVER):
            return (
                f"{self._shown} closed a connection without an answer to request {self._answered + 1} of a client, "
                f"after it had answered those before ({why}). Either it ended, or it closes connections after an "
                "answer that did not say so (Connection: close), and requests that are sent meanwhile are lost."
            )
        return f"{self._shown} cannot be reached: {why}."

    async def _limited(self, method: str, body: bytes, own_headers: Headers) -> Answer:
        async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
            answer = await self._transport.exchange(method, body, own_headers)
        self._answered += 1
        return answer

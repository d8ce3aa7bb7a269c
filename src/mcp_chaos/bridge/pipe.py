"""The conversation with a stdio server: one JSON-RPC message a line, many requests under way at a time.

The server decides its era by the first message, so the client's first one asks for the newer: ``server/discover``, and
``initialize`` where that is refused.
Source: modelcontextprotocol.io, specification 2025-11-25 and 2026-07-28, basic/transports, "stdio".
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import orjson
import psutil

from mcp_chaos.machine.processes import end_with_parent, families, kill_all
from mcp_chaos.mcp import DialectError, Modern, Streamable
from mcp_chaos.mcp.message import Message, is_answer, parse_message
from mcp_chaos.mcp.modern import PROTOCOL_VERSION

MODERN = "modern"
STREAMABLE = "streamable"

_LONGEST_LINE_BYTES = 16 * 1024 * 1024
_UNKNOWN_METHOD = -32601
_SILENCE_S = 10.0
"""So long only ``server/discover`` is asked. How long a start may take is up to whoever started the bridge."""


class PipeError(Exception):
    """The server does not speak MCP over its standard output; says what it did."""


class Pipe:
    """A stdio server and what is said to it.

    Args:
        process: started by :meth:`start`.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._ids = count(1)
        self._awaited: dict[int, asyncio.Future[Message]] = {}
        self._client = Streamable("mcp_chaos-bridge")
        self.era = STREAMABLE
        self.introduction: dict[str, Any] = {}
        self.reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, argv: Sequence[str]) -> "Pipe":
        """Start a server; its errors go where this process's go.

        Raises:
            OSError: the command cannot be run.
        """
        return cls(
            await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE_BYTES,
                start_new_session=True,  # a launcher's children are hit together with it
                preexec_fn=end_with_parent,  # this process has no threads yet
            )
        )

    async def open(self, dialect: str) -> None:
        """Find out the era, and do the handshake where it has one.

        Args:
            dialect: ``modern``, ``streamable``, or anything else for the newest that the server speaks.

        Raises:
            PipeError: it speaks none of them, or ended.
        """
        if dialect == STREAMABLE:
            await self._initialize()
            return
        discovering = asyncio.create_task(self._is_modern())
        initializing: asyncio.Task[None] | None = None
        try:
            await asyncio.wait({discovering}, timeout=_SILENCE_S)
            if not discovering.done():
                # It is slow to start, or says nothing to what it does not know: it answers what it reads first.
                initializing = asyncio.create_task(self._initialize())
                await asyncio.wait({discovering, initializing}, return_when=asyncio.FIRST_COMPLETED)
            is_stateful = initializing is not None and initializing.done() and initializing.exception() is None
            if not is_stateful and await discovering:
                self.era = MODERN
            elif dialect == MODERN:
                raise PipeError("the server refused 'server/discover', so it does not speak the dialect 'modern'")
            else:
                await (initializing or self._initialize())
        finally:
            for task in filter(None, (discovering, initializing)):
                task.cancel()
            await asyncio.gather(*filter(None, (discovering, initializing)), return_exceptions=True)

    async def _is_modern(self) -> bool:
        answer = await self.request("server/discover", orjson.loads(Modern("mcp_chaos-bridge").list_params()))
        result = answer.get("result")
        return isinstance(result, dict) and PROTOCOL_VERSION in (result.get("supportedVersions") or ())

    async def _initialize(self) -> None:
        message = orjson.loads(self._client.opening() or b"{}")
        try:
            answer = await self.request(message["method"], message["params"])
            self._client.opened(200, None, {**answer, "id": message["id"]})
        except DialectError as error:
            raise PipeError(str(error)) from None
        self.introduction = answer["result"]
        self.send(orjson.loads(self._client.opening() or b"{}"))

    def send(self, message: Message) -> None:
        """Send a message that gets no answer."""
        self._stdin.write(orjson.dumps(message) + b"\n")

    async def request(self, method: str, params: Any) -> Message:
        """Send a request and wait for its response, whose id is that of this pipe. Cancelled together with its task.

        Raises:
            PipeError: the server ended.
        """
        own_id = next(self._ids)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._awaited[own_id] = answer
        message = {"jsonrpc": "2.0", "id": own_id, "method": method}
        try:
            if self.reading.done():
                raise PipeError("the server has ended")
            self.send(message if params is None else {**message, "params": params})
            message = await answer
        except asyncio.CancelledError:
            if method != "initialize":  # which must not be cancelled
                self.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": own_id}})
            raise
        finally:
            del self._awaited[own_id]
        return message

    async def is_alive(self) -> bool:
        """Whether the server itself answers; waits for as long as it takes."""
        if self.era == MODERN:
            params = orjson.loads(Modern("mcp_chaos-bridge").list_params())
            return "result" in await self.request("server/discover", params)
        return "id" in await self.request("ping", None)

    async def close(self, grace_s: float = 1.0) -> None:
        """End the server as the specification has it: close its input, then SIGTERM, then SIGKILL.

        What it started is killed after it, whatever group or session that is in.
        """
        others = families([psutil.Process()])
        self._stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                async with asyncio.timeout(grace_s):
                    await self.process.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    os.killpg(self.process.pid, number)
        await self.process.wait()
        kill_all([*others, *families([psutil.Process()])])

    async def _read(self) -> None:
        """Take in lines until the server's output ends; one that is no message is the server's log gone astray."""
        try:
            while line := await self._stdout.readline():
                message = parse_message(line)
                if message is not None:
                    self._take(message)
        except (ValueError, OSError):
            pass  # a line without an end
        for answer in self._awaited.values():
            if not answer.done():
                answer.set_exception(PipeError("the server ended before it answered"))

    def _take(self, message: Message) -> None:
        if not is_answer(message):
            if "id" in message:
                self.send({"jsonrpc": "2.0", "id": message["id"], **_answer_to(message["method"])})
            return
        found = message.get("id")
        answer = self._awaited.get(found) if isinstance(found, int) else None
        if answer is not None and not answer.done():
            answer.set_result(message)


def _answer_to(method: Any) -> Message:
    """What a client without capabilities says to a server's own request."""
    if method == "ping":
        return {"result": {}}
    return {"error": {"code": _UNKNOWN_METHOD, "message": "the client has no such capability"}}

"""One question on a connection of its own, by the faulted way or by the clean one, and how it ended."""

import select
import socket
import ssl
import time
from dataclasses import dataclass, replace

from mcp_chaos.faults.exchange import HTTP, Saying
from mcp_chaos.faults.route import Route
from mcp_chaos.machine.loopback import connect

_CLOSES_AT_ONCE_S = 0.2


@dataclass(frozen=True)
class Reading:
    """What became of the canary's requests on one connection.

    Args:
        ended: ``answered`` (all of them), ``refused``, ``reset``, ``closed`` or ``silent``.
        took_ms: until the last answer was whole, or until it ended otherwise.
        close_ms: from then to the end of the connection; only when it was to be closed.
        pieces: in how many reads the answers came.
        received_bytes: of all answers.
        closes: whether the server closed by itself after its answer, where that was looked for.
    """

    ended: str
    took_ms: float
    close_ms: float = 0.0
    pieces: int = 0
    received_bytes: int = 0
    closes: bool = False


@dataclass(frozen=True)
class Question:
    """What the canary asks on one connection.

    Args:
        requests: how many, one after the other.
        extra_bytes: makes each request longer by a header of that many bytes, for limits on what goes upstream.
        close: ``server``: it is asked to close, in HTTP; ``client``: the canary says that it has no more to say;
            ``wait``: see whether the server closes by itself; or none of them.
    """

    requests: int = 1
    extra_bytes: int = 0
    close: str = ""


ONE_REQUEST = Question()
"""One request, and nothing about the end of its connection."""


def ask(address: tuple[str, int], route: Route, timeout_s: float, question: Question = ONE_REQUEST) -> Reading:
    """Ask on a new connection and say how it ended.

    Args:
        address: the faulted or the clean way.
        route: what to ask.
        timeout_s: for all of it.
        question: how much to ask.
    """
    began = time.monotonic()
    try:
        with (
            connect(*address, timeout_s) as plain,
            route.secured(plain) as connection,
        ):
            return _Conversation(connection, route, began, timeout_s, question).hold()
    except ConnectionRefusedError:
        return Reading("refused", _ms_since(began))
    except (ConnectionResetError, BrokenPipeError):
        return Reading("reset", _ms_since(began))
    except ssl.SSLEOFError:
        return Reading("closed", _ms_since(began))
    except OSError:
        return Reading("silent", _ms_since(began))


class _Conversation:
    def __init__(
        self, connection: socket.socket, route: Route, began: float, timeout_s: float, question: Question
    ) -> None:
        self._connection = connection
        self._route = route
        self._began = began
        self._until = began + timeout_s
        self._question = question
        self._exchange = route.exchange or HTTP
        self._pieces = self._received = 0

    def hold(self) -> Reading:
        for number in range(self._question.requests):
            self._connection.sendall(self._request(is_last=number == self._question.requests - 1))
            ended = self._read_answer()
            if ended is not None:
                return self._reading(ended, _ms_since(self._began))
        whole_at = time.monotonic()
        took_ms = (whole_at - self._began) * 1e3
        if not self._question.close:
            return self._reading("answered", took_ms)
        if self._question.close == "wait":
            self._until = min(self._until, whole_at + _CLOSES_AT_ONCE_S)
            return replace(self._reading("answered", took_ms), closes=self._read() == b"")
        if self._question.close == "client" or self._exchange is not HTTP:
            self._connection.shutdown(socket.SHUT_WR)
        while self._read() not in (b"", None):
            pass
        return self._reading("answered", took_ms, _ms_since(whole_at))

    def _reading(self, ended: str, took_ms: float, close_ms: float = 0.0) -> Reading:
        return Reading(ended, took_ms, close_ms, self._pieces, self._received)

    def _request(self, *, is_last: bool) -> bytes:
        route, question = self._route, self._question
        closes = is_last and question.close == "server"
        return self._exchange.request(Saying(route.path, route.host_header, question.extra_bytes, closes))

    def _read_answer(self) -> str | None:
        """Read one answer; how it ended, or ``None`` when it is whole."""
        seen = b""
        while not self._exchange.is_whole(seen):
            chunk = self._read()
            if chunk is None:
                return "silent"
            if not chunk:
                return "closed"
            seen += chunk
        return None

    def _read(self) -> bytes | None:
        """What arrives next; empty at the end of the connection, ``None`` at the end of the time."""
        left_s = self._until - time.monotonic()
        waiting = isinstance(self._connection, ssl.SSLSocket) and self._connection.pending() > 0
        if left_s <= 0 or not (waiting or select.select([self._connection], [], [], left_s)[0]):
            return None
        chunk = self._connection.recv(65536)
        self._pieces += 1
        self._received += len(chunk)
        return chunk


def _ms_since(began: float) -> float:
    return (time.monotonic() - began) * 1e3

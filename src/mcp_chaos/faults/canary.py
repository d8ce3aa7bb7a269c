"""The canary: a client of its own on the faulted lane that must feel a fault, or nothing is proven.

It speaks bare HTTP/1.1 (any answer will do, a 404 too), so it works against every HTTP server, and compares the faulted
lane with the clean way to the same server, so that a slow server is not mistaken for a slow network.
"""

import math
import select
import socket
import ssl
import statistics
import time
from dataclasses import dataclass

from mcp_chaos.faults.fault import Fault
from mcp_chaos.faults.kinds import Bandwidth, BlackHole, DataLimit, Latency, Partition, Reset, Slicer, SlowClose
from mcp_chaos.faults.route import Route

CLEAN_TIMEOUT_S = 2.0
_CLEAR_MS = 20.0
_NOISE_MS = 20.0
_PAIRS = 7
_MOST_CONNECTIONS = 60
_MOST_REQUESTS = 200
_LONGEST_HEADER_BYTES = 6000


@dataclass(frozen=True)
class Reading:
    """What became of the canary's requests on one connection.

    Args:
        ended: ``answered`` (all of them), ``refused``, ``reset``, ``closed`` or ``silent``.
        took_ms: until the last answer was whole, or until it ended otherwise.
        close_ms: from then to the end of the connection; only when it was to be closed.
        pieces: in how many reads the answers came.
        received_bytes: of all answers.
    """

    ended: str
    took_ms: float
    close_ms: float = 0.0
    pieces: int = 0
    received_bytes: int = 0


@dataclass(frozen=True)
class Question:
    """What the canary asks on one connection.

    Args:
        requests: how many, one after the other.
        extra_bytes: makes each request longer by a header of that many bytes, for limits on what goes upstream.
        close: ``server``: it is asked to close; ``client``: the canary says that it has no more to say; or neither.
    """

    requests: int = 1
    extra_bytes: int = 0
    close: str = ""


_ONE = Question()


def ask(address: tuple[str, int], lane: Route, timeout_s: float, question: Question = _ONE) -> Reading:
    """Ask on a new connection and say how it ended.

    Args:
        address: the faulted or the clean way.
        lane: what to ask.
        timeout_s: for all of it.
        question: how much to ask.
    """
    began = time.monotonic()
    try:
        with (
            socket.create_connection(address, timeout=timeout_s) as plain,
            lane.secured(plain) as connection,
        ):
            return _Conversation(connection, lane, began, timeout_s, question).hold()
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
        self, connection: socket.socket, lane: Route, began: float, timeout_s: float, question: Question
    ) -> None:
        self._connection = connection
        self._lane = lane
        self._began = began
        self._until = began + timeout_s
        self._question = question
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
        if self._question.close == "client":
            self._connection.shutdown(socket.SHUT_WR)
        while self._read() not in (b"", None):
            pass
        return self._reading("answered", took_ms, _ms_since(whole_at))

    def _reading(self, ended: str, took_ms: float, close_ms: float = 0.0) -> Reading:
        return Reading(ended, took_ms, close_ms, self._pieces, self._received)

    def _request(self, *, is_last: bool) -> bytes:
        lane, question = self._lane, self._question
        lines = [
            f"GET {lane.path} HTTP/1.1",
            f"Host: {lane.host_header}",
            "Accept: */*",
            "User-Agent: mcp_chaos-canary",
        ]
        lines += ["Connection: close"] if is_last and question.close == "server" else []
        lines += [f"X-Padding: {'p' * question.extra_bytes}"] if question.extra_bytes else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _read_answer(self) -> str | None:
        """Read one answer; how it ended, or ``None`` when it is whole."""
        seen = b""
        while not _is_whole(seen):
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


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
        if name == b"transfer-encoding":
            return body.endswith(b"0\r\n\r\n")
    return True


def _ms_since(began: float) -> float:
    return (time.monotonic() - began) * 1e3


class NotFeltError(Exception):
    """The canary did not feel a fault; says what it saw instead."""


class Canary:
    """Feels whether a fault arrives.

    Args:
        lane: the way that is poisoned, and the clean one.
    """

    def __init__(self, lane: Route) -> None:
        self.lane = lane

    def feel(self, fault: Fault) -> str:
        """Feel a fault that was just injected.

        Returns:
            What was felt, in words, as proof.

        Raises:
            NotFeltError: it was not.
        """
        fraction = fault.connection_fraction
        # One of many connections has to feel it; the chance that all of them are spared is below 1 in 1000.
        tries = 2 if fraction >= 1 else min(_MOST_CONNECTIONS, math.ceil(math.log(0.001) / math.log(1 - fraction)))
        doubt = ""
        for _ in range(tries):
            try:
                return self._feel_once(fault)
            except NotFeltError as error:
                doubt = str(error)
        raise NotFeltError(f"{doubt} (on each of {tries} connections)")

    def _feel_once(self, fault: Fault) -> str:
        match fault:
            case Partition():
                return self._refusal()
            case BlackHole():
                return self._silence()
            case Reset():
                return self._end()
            case Latency():
                return self._delay(0.8 * max(1, fault.latency_ms - fault.jitter_ms) * len(fault.toxics()))
            case Bandwidth():
                return self._narrowness(fault)
            case SlowClose():
                return self._lateness(fault)
            case Slicer():
                return self._pieces(fault)
            case DataLimit():
                return self._cut(fault)
        raise NotFeltError(f"nobody knows how to feel '{fault.kind}'")

    def _ask(self, timeout_s: float, question: Question = _ONE) -> tuple[Reading, Reading]:
        """The faulted reading and the clean one."""
        faulted = ask(self.lane.proxied, self.lane, timeout_s, question)
        return faulted, ask(self.lane.direct, self.lane, CLEAN_TIMEOUT_S, question)

    def _refusal(self) -> str:
        """Refused; or, behind a forwarder that accepts for a proxy that is down (Docker, kubectl), cut off."""
        faulted, clean = self._ask(CLEAN_TIMEOUT_S)
        if faulted.ended == "refused":
            return "a new connection was refused"
        if faulted.ended in ("reset", "closed") and clean.ended == "answered":
            return f"a new connection was {faulted.ended}; on the clean way it was answered"
        raise NotFeltError(f"a new connection was {faulted.ended} (on the clean way {clean.ended}), not refused")

    def _silence(self) -> str:
        clean = ask(self.lane.direct, self.lane, CLEAN_TIMEOUT_S)
        patience_s = min(CLEAN_TIMEOUT_S, max(0.3, 5 * clean.took_ms / 1e3))
        faulted = ask(self.lane.proxied, self.lane, patience_s)
        if faulted.ended != "silent":
            raise NotFeltError(f"a request was {faulted.ended}, not swallowed")
        if clean.ended != "answered":
            raise NotFeltError(f"a request was swallowed, but on the clean way it was {clean.ended} too")
        return f"a request got no answer in {patience_s * 1e3:.0f} ms; on the clean way it took {clean.took_ms:.0f} ms"

    def _end(self) -> str:
        faulted, clean = self._ask(CLEAN_TIMEOUT_S + 2)
        if faulted.ended not in ("reset", "closed") or clean.ended != "answered":
            raise NotFeltError(f"a request was {faulted.ended} (on the clean way {clean.ended}), not reset")
        return f"a request was {faulted.ended} after {faulted.took_ms:.0f} ms; on the clean way it was answered"

    def _delay(self, expected_ms: float, question: Question = _ONE) -> str:
        """A small delay is told from noise by the median of several pairs of readings."""
        pairs = 1 if expected_ms > _NOISE_MS else _PAIRS
        readings = [self._ask(CLEAN_TIMEOUT_S + 3 * expected_ms / 1e3, question) for _ in range(pairs)]
        for faulted, clean in readings:
            if clean.ended != "answered" or faulted.ended != "answered":
                raise NotFeltError(
                    f"a request was {faulted.ended}, on the clean way {clean.ended}; the delay cannot be told"
                )
        took_ms = statistics.median(faulted.took_ms for faulted, _ in readings)
        clean_ms = statistics.median(clean.took_ms for _, clean in readings)
        what = f"{question.requests} requests took" if question.requests > 1 else "a request took"
        if took_ms - clean_ms < expected_ms:
            raise NotFeltError(
                f"{what} {took_ms - clean_ms:.1f} ms more than on the clean way, not {expected_ms:.1f} ms"
            )
        return f"{what} {took_ms:.1f} ms, on the clean way {clean_ms:.1f} ms"

    def _narrowness(self, fault: Bandwidth) -> str:
        """As much is sent, or asked for, as the rate needs a while for."""
        rate = fault.rate_kb_per_s
        if fault.direction != "downstream":
            size = min(_LONGEST_HEADER_BYTES, rate * 100)
            requests = min(_MOST_REQUESTS, math.ceil(_CLEAR_MS * rate / size))
            return self._delay(0.5 * requests * size / rate, Question(requests, size))
        size = max(1, ask(self.lane.direct, self.lane, CLEAN_TIMEOUT_S).received_bytes)
        requests = min(_MOST_REQUESTS, math.ceil(_CLEAR_MS * rate / size))
        return self._delay(0.5 * requests * size / rate, Question(requests))

    def _lateness(self, fault: SlowClose) -> str:
        question = Question(close="client" if fault.direction == "upstream" else "server")
        faulted, clean = self._ask(CLEAN_TIMEOUT_S + 2 * fault.delay_ms / 1e3, question)
        more_ms = faulted.close_ms - clean.close_ms
        if faulted.ended != "answered" or more_ms < 0.8 * fault.delay_ms:
            raise NotFeltError(
                f"the connection closed {more_ms:.0f} ms later than on the clean way, not {fault.delay_ms} ms"
            )
        return f"the connection closed {more_ms:.0f} ms later than on the clean way"

    def _pieces(self, fault: Slicer) -> str:
        if fault.delay_us >= 1000:
            return self._delay(fault.delay_us / 1e3 * 0.8)
        faulted, clean = self._ask(CLEAN_TIMEOUT_S)
        if faulted.pieces <= clean.pieces:
            raise NotFeltError(f"an answer came in {faulted.pieces} pieces, on the clean way in {clean.pieces}")
        return f"an answer came in {faulted.pieces} pieces, on the clean way in {clean.pieces}"

    def _cut(self, fault: DataLimit) -> str:
        """As much is sent, or asked for, on one connection as passes the limit."""
        if fault.direction != "downstream":
            size = min(fault.limit_bytes, _LONGEST_HEADER_BYTES)
        else:
            size = max(1, ask(self.lane.direct, self.lane, CLEAN_TIMEOUT_S).received_bytes)
        requests = min(_MOST_REQUESTS, fault.limit_bytes // size + 1)
        question = Question(requests, size if fault.direction != "downstream" else 0)
        faulted, clean = self._ask(CLEAN_TIMEOUT_S, question)
        if faulted.ended == "answered" or clean.ended != "answered":
            raise NotFeltError(
                f"{requests} requests were {faulted.ended} (on the clean way {clean.ended}), not cut off"
            )
        return f"{requests} requests were {faulted.ended} on the way; on the clean way they were answered"

"""The canary: a client of its own on the faulted lane that must feel a fault, or nothing is proven.

It speaks bare HTTP/1.1 (any answer will do, a 404 too), so that it works against every server, and compares the faulted
lane with the clean way to the same server, so that a slow server is not mistaken for a slow network.
"""

import math
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from mcp_chaos.faults.fault import (
    Bandwidth,
    BlackHole,
    DataLimit,
    Fault,
    Latency,
    Partition,
    Reset,
    Slicer,
    SlowClose,
)

CLEAN_TIMEOUT_S = 2.0
_CLEAR_MS = 2.0
_MOST_CONNECTIONS = 60


@dataclass(frozen=True)
class Lane:
    """Two ways to one server.

    Args:
        proxy: the proxy's name.
        faulted: host and port that the proxy listens on.
        clean: host and port of the server itself.
        host_header: what the server wants to be called.
        path: something to GET.
    """

    proxy: str
    faulted: tuple[str, int]
    clean: tuple[str, int]
    host_header: str
    path: str = "/health"


@dataclass(frozen=True)
class Reading:
    """One request of the canary.

    Args:
        ended: ``answered``, ``refused``, ``reset``, ``closed`` or ``silent``.
        took_ms: until the answer was whole, or until it ended otherwise.
        close_ms: from the whole answer to the end of the connection; only when asked to close.
        pieces: in how many reads the answer came.
    """

    ended: str
    took_ms: float
    close_ms: float = 0.0
    pieces: int = 0


def ask(
    address: tuple[str, int], lane: Lane, timeout_s: float, *, extra_bytes: int = 0, close: bool = False
) -> Reading:
    """Make one request on a new connection and say how it ended.

    Args:
        address: the faulted or the clean way.
        lane: what to ask.
        timeout_s: for all of it.
        extra_bytes: makes the request longer by a header of that many bytes, for limits on what goes upstream.
        close: ask the server to close, and wait until it has.
    """
    began = time.monotonic()
    try:
        with socket.create_connection(address, timeout=timeout_s) as connection:
            connection.sendall(_request(lane, extra_bytes, close))
            return _read(connection, began, timeout_s, close)
    except ConnectionRefusedError:
        return Reading("refused", _ms_since(began))
    except (ConnectionResetError, BrokenPipeError):
        return Reading("reset", _ms_since(began))
    except OSError:
        return Reading("silent", _ms_since(began))


def _request(lane: Lane, extra_bytes: int, close: bool) -> bytes:
    lines = [f"GET {lane.path} HTTP/1.1", f"Host: {lane.host_header}", "Accept: */*", "User-Agent: mcp_chaos-canary"]
    lines += ["Connection: close"] if close else []
    lines += [f"X-Padding: {'p' * extra_bytes}"] if extra_bytes else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _read(connection: socket.socket, began: float, timeout_s: float, close: bool) -> Reading:
    deadline = began + timeout_s
    seen, pieces = b"", 0
    whole_at: float | None = None
    while True:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([connection], [], [], left_s)[0]:
            return Reading("silent" if whole_at is None else "answered", _ms_since(began), timeout_s * 1e3, pieces)
        chunk = connection.recv(65536)
        if not chunk:
            if whole_at is None:
                return Reading("closed", _ms_since(began), 0.0, pieces)
            return Reading("answered", (whole_at - began) * 1e3, _ms_since(whole_at), pieces)
        seen, pieces = seen + chunk, pieces + 1
        if whole_at is None and _is_whole(seen):
            whole_at = time.monotonic()
            if not close:
                return Reading("answered", (whole_at - began) * 1e3, 0.0, pieces)


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

    def __init__(self, lane: Lane) -> None:
        self.lane = lane

    def feel(self, fault: Fault) -> str:
        """Feel a fault that was just injected.

        Returns:
            What was felt, in words, as proof.

        Raises:
            NotFeltError: it was not.
        """
        if isinstance(fault, Partition):
            return self._one_feels(fault, self._refusal)
        if isinstance(fault, BlackHole):
            return self._one_feels(fault, self._silence)
        if isinstance(fault, Reset):
            return self._one_feels(fault, self._end)
        if isinstance(fault, Latency):
            expected = max(0, fault.latency_ms - fault.jitter_ms) * len(fault.toxics())
            return self._one_feels(fault, lambda: self._delay(expected * 0.8))
        if isinstance(fault, Bandwidth):
            return self._one_feels(fault, lambda: self._narrowness(fault))
        if isinstance(fault, SlowClose):
            return self._one_feels(fault, lambda: self._lateness(fault))
        if isinstance(fault, Slicer):
            return self._one_feels(fault, lambda: self._pieces(fault))
        assert isinstance(fault, DataLimit)
        return self._one_feels(fault, lambda: self._cut(fault))

    def _one_feels(self, fault: Fault, try_once: Callable[[], str]) -> str:
        """A fault on a part of the connections is felt by one of many; the chance to miss it is below 1 in 1000."""
        fraction = fault.connection_fraction
        tries = 2 if fraction >= 1 else min(_MOST_CONNECTIONS, math.ceil(math.log(0.001) / math.log(1 - fraction)))
        doubt = ""
        for _ in range(tries):
            try:
                return try_once()
            except NotFeltError as error:
                doubt = str(error)
        raise NotFeltError(f"{doubt} (on each of {tries} connections)")

    def _ask(self, timeout_s: float, *, extra_bytes: int = 0, close: bool = False) -> tuple[Reading, Reading]:
        """The faulted reading and the clean one."""
        faulted = ask(self.lane.faulted, self.lane, timeout_s, extra_bytes=extra_bytes, close=close)
        clean = ask(self.lane.clean, self.lane, CLEAN_TIMEOUT_S, extra_bytes=extra_bytes, close=close)
        return faulted, clean

    def _refusal(self) -> str:
        reading = ask(self.lane.faulted, self.lane, CLEAN_TIMEOUT_S)
        if reading.ended != "refused":
            raise NotFeltError(f"a new connection was {reading.ended}, not refused")
        return "a new connection was refused"

    def _silence(self) -> str:
        clean = ask(self.lane.clean, self.lane, CLEAN_TIMEOUT_S)
        patience_s = min(CLEAN_TIMEOUT_S, max(0.3, 5 * clean.took_ms / 1e3))
        faulted = ask(self.lane.faulted, self.lane, patience_s)
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

    def _delay(self, expected_ms: float, *, extra_bytes: int = 0) -> str:
        timeout_s = CLEAN_TIMEOUT_S + 3 * expected_ms / 1e3
        faulted, clean = self._ask(timeout_s, extra_bytes=extra_bytes)
        more_ms = faulted.took_ms - clean.took_ms
        if clean.ended != "answered" or faulted.ended != "answered":
            raise NotFeltError(
                f"a request was {faulted.ended}, on the clean way {clean.ended}; the delay cannot be told"
            )
        if more_ms < max(expected_ms, _CLEAR_MS):
            raise NotFeltError(f"a request took {more_ms:.1f} ms more than on the clean way, not {expected_ms:.0f} ms")
        return f"a request took {faulted.took_ms:.0f} ms, on the clean way {clean.took_ms:.0f} ms"

    def _narrowness(self, fault: Bandwidth) -> str:
        """Upstream a long request is slow; downstream the answer has to be what it is."""
        if fault.direction == "downstream":
            return self._delay(_CLEAR_MS)
        extra_bytes = min(6000, fault.rate_kb_per_s * 100)
        return self._delay(0.5 * extra_bytes / fault.rate_kb_per_s, extra_bytes=extra_bytes)

    def _lateness(self, fault: SlowClose) -> str:
        faulted, clean = self._ask(CLEAN_TIMEOUT_S + 2 * fault.delay_ms / 1e3, close=True)
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
        extra_bytes = min(fault.limit_bytes, 6000) if fault.direction != "downstream" else 0
        faulted, clean = self._ask(CLEAN_TIMEOUT_S, extra_bytes=extra_bytes, close=True)
        if faulted.ended == "answered" or clean.ended != "answered":
            raise NotFeltError(f"a request was {faulted.ended} (on the clean way {clean.ended}), not cut off")
        return f"a request was {faulted.ended} before its answer was whole; on the clean way it was answered"

"""The canary: a client of its own on the faulted lane that must feel a fault, or nothing is proven.

It speaks bare HTTP/1.1 (any answer will do, a 404 too), or has the first exchange of another protocol
(``exchange.py``), and compares the faulted lane with the clean way to the same server, so that a slow server is not
mistaken for a slow network.
"""

import math
import time

from mcp_chaos.faults.asking import ONE_REQUEST, Question, Reading, ask
from mcp_chaos.faults.exchange import HTTP
from mcp_chaos.faults.fault import Fault
from mcp_chaos.faults.kinds import Bandwidth, BlackHole, DataLimit, Latency, Partition, Reset, Slicer, SlowClose
from mcp_chaos.faults.rarity import CLEAR, FEW, LONGEST_PROOF_S, connections_needed, tells
from mcp_chaos.faults.route import Route

CLEAN_TIMEOUT_S = 2.0
_CLEAR_MS = 20.0
_NOISE_MS = 20.0
_UNMISTAKABLE_MS = 200.0
_PAIRS = 7
_MOST_REQUESTS = 200
_LONGEST_HEADER_BYTES = 6000


def _struck_needed(expected_ms: float) -> int:
    return FEW if expected_ms < _UNMISTAKABLE_MS else CLEAR


class NotFeltError(Exception):
    """The canary did not feel a fault; says what it saw instead."""


class Canary:
    """Feels whether a fault arrives.

    Args:
        lane: the way that is poisoned, and the clean one.
    """

    def __init__(self, lane: Route) -> None:
        self.lane = lane
        self._exchange = lane.exchange or HTTP

    def feel(self, fault: Fault) -> str:
        """Feel a fault that was just injected.

        Returns:
            What was felt, in words, as proof.

        Raises:
            NotFeltError: it was not.
        """
        if self._exchange.server_speaks_first and fault.direction == "upstream":
            raise NotFeltError("the server speaks first, and nothing that the canary could say would do no harm")
        fraction = fault.connection_fraction
        delay = self._expected_delay(fault)
        if fraction < 1 and delay is not None:
            return self._rare_delay(*delay, fraction)
        tries = 2 if fraction >= 1 else connections_needed(fraction, 1)
        until = time.monotonic() + LONGEST_PROOF_S
        doubt, tried = "", 0
        while tried < tries and (tried < 2 or time.monotonic() < until):
            tried += 1
            try:
                return self._feel_once(fault, delay)
            except NotFeltError as error:
                doubt = str(error)
        raise NotFeltError(f"{doubt} (on each of {tried} connections)")

    def proof_s(self, fault: Fault) -> float:
        """About how long it takes to prove a fault that strikes a fraction of connections, in seconds."""
        fraction = fault.connection_fraction
        if fraction >= 1:
            return 0.0
        try:
            delay = self._expected_delay(fault)
        except NotFeltError:
            return 0.0  # it will not be felt, however long that is tried
        expected_ms = delay[0] if delay is not None else 0.0
        clean_ms = min(ask(self.lane.direct, self.lane, CLEAN_TIMEOUT_S).took_ms for _ in range(_PAIRS))
        connections = connections_needed(fraction, _struck_needed(expected_ms) if delay is not None else 1)
        return connections * (2 * clean_ms + fraction * expected_ms) / 1e3

    def _expected_delay(self, fault: Fault) -> tuple[float, Question] | None:
        """By how many ms a fault delays what is asked on a connection at least; ``None`` for one that does not."""
        match fault:
            case Latency():
                toxics = len(fault.toxics()) if fault.connection_fraction >= 1 else 1  # each is drawn for itself
                return 0.8 * max(1, fault.latency_ms - fault.jitter_ms) * toxics, ONE_REQUEST
            case Bandwidth():
                return self._narrowness(fault)
            case Slicer() if fault.delay_us >= 1000:
                return fault.delay_us / 1e3 * 0.8, ONE_REQUEST
        return None

    def _feel_once(self, fault: Fault, delay: tuple[float, Question] | None) -> str:
        if delay is not None:
            return self._delay(*delay)
        match fault:
            case Partition():
                return self._refusal()
            case BlackHole():
                return self._silence()
            case Reset():
                return self._end()
            case SlowClose():
                return self._lateness(fault)
            case Slicer():
                return self._pieces()
            case DataLimit():
                return self._cut(fault)
        raise NotFeltError(f"nobody knows how to feel '{fault.kind}'")

    def _ask(self, timeout_s: float, question: Question = ONE_REQUEST) -> tuple[Reading, Reading]:
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
        if faulted.ended == "closed" and not faulted.received_bytes and self._closes_after_answers():
            return "a connection ended without an answer; on the clean way it was answered before its end"
        if faulted.ended != "silent":
            raise NotFeltError(f"a request was {faulted.ended}, not swallowed")
        if clean.ended != "answered":
            raise NotFeltError(f"a request was swallowed, but on the clean way it was {clean.ended} too")
        return f"a request got no answer in {patience_s * 1e3:.0f} ms; on the clean way it took {clean.took_ms:.0f} ms"

    def _closes_after_answers(self) -> bool:
        """Whether the server closes after each answer: a black hole takes the answer then, and passes the end on."""
        return ask(self.lane.direct, self.lane, CLEAN_TIMEOUT_S, Question(close="wait")).closes

    def _end(self) -> str:
        faulted, clean = self._ask(CLEAN_TIMEOUT_S + 2)
        if faulted.ended not in ("reset", "closed") or clean.ended != "answered":
            raise NotFeltError(f"a request was {faulted.ended} (on the clean way {clean.ended}), not reset")
        return f"a request was {faulted.ended} after {faulted.took_ms:.0f} ms; on the clean way it was answered"

    def _delay(self, expected_ms: float, question: Question) -> str:
        """A small delay is told from noise by the least of several readings: noise adds, and takes nothing away."""
        pairs = 1 if expected_ms > _NOISE_MS else _PAIRS
        readings = [self._ask(CLEAN_TIMEOUT_S + 3 * expected_ms / 1e3, question) for _ in range(pairs)]
        for faulted, clean in readings:
            if clean.ended != "answered" or faulted.ended != "answered":
                raise NotFeltError(
                    f"a request was {faulted.ended}, on the clean way {clean.ended}; the delay cannot be told"
                )
        took_ms = min(faulted.took_ms for faulted, _ in readings)
        clean_ms = min(clean.took_ms for _, clean in readings)
        what = f"{question.requests} requests took" if question.requests > 1 else "a request took"
        if took_ms - clean_ms < expected_ms:
            raise NotFeltError(
                f"{what} {took_ms - clean_ms:.1f} ms more than on the clean way, not {expected_ms:.1f} ms"
            )
        return f"{what} {took_ms:.1f} ms, on the clean way {clean_ms:.1f} ms"

    def _rare_delay(self, expected_ms: float, question: Question, fraction: float) -> str:
        """Some connections are slower than any need be, and far more than on the clean way."""
        needed = _struck_needed(expected_ms)
        tries, until = connections_needed(fraction, needed), time.monotonic() + LONGEST_PROOF_S
        times_ms: tuple[list[float], list[float]] = ([], [])
        struck = [0, 0]
        tried = 0
        while tried < tries and (tried < needed or time.monotonic() < until):
            tried += 1
            for way, reading in enumerate(self._ask(CLEAN_TIMEOUT_S + 3 * expected_ms / 1e3, question)):
                if reading.ended == "answered":
                    times_ms[way].append(reading.took_ms)
            least_ms = min([*times_ms[0], *times_ms[1]], default=math.inf)
            struck = [sum(took_ms - least_ms >= expected_ms for took_ms in one_way) for one_way in times_ms]
            if tells(struck[0], struck[1], needed):
                return (
                    f"{struck[0]} of {tried} connections were {expected_ms:.1f} ms slower or more, "
                    f"on the clean way {struck[1]}"
                )
        raise NotFeltError(
            f"{struck[0]} of {tried} connections were {expected_ms:.1f} ms slower or more, on the clean way "
            f"{struck[1]}; that tells nothing"
        )

    def _narrowness(self, fault: Bandwidth) -> tuple[float, Question]:
        """As much is sent, or asked for, as the rate needs a while for."""
        rate = fault.rate_kb_per_s
        if fault.direction != "downstream":
            size = min(_LONGEST_HEADER_BYTES, rate * 100)
            requests = self._checked(min(_MOST_REQUESTS, math.ceil(_CLEAR_MS * rate / size)))
            return 0.5 * requests * size / rate, Question(requests, size)
        size = max(1, ask(self.lane.direct, self.lane, CLEAN_TIMEOUT_S).received_bytes)
        requests = self._checked(min(_MOST_REQUESTS, math.ceil(_CLEAR_MS * rate / size)))
        return 0.5 * requests * size / rate, Question(requests)

    def _checked(self, requests: int) -> int:
        """So many requests on one connection, where the protocol has them."""
        if requests > 1 and not self._exchange.repeats:
            raise NotFeltError(f"the first exchange of {self._exchange.name} is too short to feel this fault")
        return requests

    def _lateness(self, fault: SlowClose) -> str:
        question = Question(close="client" if fault.direction == "upstream" else "server")
        faulted, clean = self._ask(CLEAN_TIMEOUT_S + 2 * fault.delay_ms / 1e3, question)
        more_ms = faulted.close_ms - clean.close_ms
        if faulted.ended != "answered" or more_ms < 0.8 * fault.delay_ms:
            raise NotFeltError(
                f"the connection closed {more_ms:.0f} ms later than on the clean way, not {fault.delay_ms} ms"
            )
        return f"the connection closed {more_ms:.0f} ms later than on the clean way"

    def _pieces(self) -> str:
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
        requests = self._checked(min(_MOST_REQUESTS, fault.limit_bytes // size + 1))
        question = Question(requests, size if fault.direction != "downstream" else 0)
        faulted, clean = self._ask(CLEAN_TIMEOUT_S, question)
        if faulted.ended == "answered" or clean.ended != "answered":
            raise NotFeltError(
                f"{requests} requests were {faulted.ended} (on the clean way {clean.ended}), not cut off"
            )
        return f"{requests} requests were {faulted.ended} on the way; on the clean way they were answered"

"""The canary: a client of its own on the faulted lane that must feel a fault, or nothing is proven.

It speaks bare HTTP/1.1 (any answer will do, a 404 too), or has the first exchange of another protocol
(``exchange.py``), and compares the faulted lane with the clean way to the same server, so that a slow server is not
mistaken for a slow network. What it looks for is said by each kind of fault (``kinds/``).
"""

import math
import time

from mcp_chaos.faults.asking import Question
from mcp_chaos.faults.comparison import CLEAN_TIMEOUT_S, Comparison, NotFeltError
from mcp_chaos.faults.fault import Fault
from mcp_chaos.faults.rarity import CLEAR, FEW, LONGEST_PROOF_S, connections_needed, tells
from mcp_chaos.faults.route import Route

_NOISE_MS = 20.0
_UNMISTAKABLE_MS = 200.0
_PAIRS = 7


def _struck_needed(expected_ms: float) -> int:
    return FEW if expected_ms < _UNMISTAKABLE_MS else CLEAR


class Canary:
    """Feels whether a fault arrives.

    Args:
        lane: the way that is poisoned, and the clean one.
    """

    def __init__(self, lane: Route) -> None:
        self._ways = Comparison(lane)

    def feel(self, fault: Fault) -> str:
        """Feel a fault that was just injected.

        Returns:
            What was felt, in words, as proof.

        Raises:
            NotFeltError: it was not.
        """
        if self._ways.exchange.server_speaks_first and fault.direction == "upstream":
            raise NotFeltError("the server speaks first, and nothing that the canary could say would do no harm")
        fraction = fault.connection_fraction
        delay = fault.delay(self._ways)
        if fraction < 1 and delay is not None:
            return self._rare_delay(*delay, fraction)
        tries = 2 if fraction >= 1 else connections_needed(fraction, 1)
        until = time.monotonic() + LONGEST_PROOF_S
        doubt, tried = "", 0
        while tried < tries and (tried < 2 or time.monotonic() < until):
            tried += 1
            try:
                return fault.feel(self._ways) if delay is None else self._delay(*delay)
            except NotFeltError as error:
                doubt = str(error)
        raise NotFeltError(f"{doubt} (on each of {tried} connections)")

    def proof_s(self, fault: Fault) -> float:
        """About how long it takes to prove a fault that strikes a fraction of connections, in seconds."""
        fraction = fault.connection_fraction
        if fraction >= 1:
            return 0.0
        try:
            delay = fault.delay(self._ways)
        except NotFeltError:
            return 0.0  # it will not be felt, however long that is tried
        expected_ms = delay[0] if delay is not None else 0.0
        clean_ms = min(self._ways.clean().took_ms for _ in range(_PAIRS))
        connections = connections_needed(fraction, _struck_needed(expected_ms) if delay is not None else 1)
        return connections * (2 * clean_ms + fraction * expected_ms) / 1e3

    def _delay(self, expected_ms: float, question: Question) -> str:
        """A small delay is told from noise by the least of several readings: noise adds, and takes nothing away."""
        pairs = 1 if expected_ms > _NOISE_MS else _PAIRS
        readings = [self._ways.both(CLEAN_TIMEOUT_S + 3 * expected_ms / 1e3, question) for _ in range(pairs)]
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
            for way, reading in enumerate(self._ways.both(CLEAN_TIMEOUT_S + 3 * expected_ms / 1e3, question)):
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

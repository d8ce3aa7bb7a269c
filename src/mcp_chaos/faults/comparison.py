"""The way through a proxy and the clean one past it, asked the same: what faults are felt with."""

from mcp_chaos.faults.asking import ONE_REQUEST, Question, Reading, ask
from mcp_chaos.faults.exchange import HTTP
from mcp_chaos.faults.route import Route

CLEAN_TIMEOUT_S = 2.0
MAX_REQUESTS = 200
MAX_HEADER_BYTES = 6000


class NotFeltError(Exception):
    """The canary did not feel a fault; says what it saw instead."""


class Comparison:
    """Asks on both ways.

    Args:
        lane: the way that is poisoned, and the clean one.
    """

    def __init__(self, lane: Route) -> None:
        self.exchange = lane.exchange or HTTP
        self._lane = lane

    def faulted(self, timeout_s: float, question: Question = ONE_REQUEST) -> Reading:
        """What becomes of a question on the way that is poisoned."""
        return ask(self._lane.proxied, self._lane, timeout_s, question)

    def clean(self, question: Question = ONE_REQUEST) -> Reading:
        """What becomes of it on the clean way."""
        return ask(self._lane.direct, self._lane, CLEAN_TIMEOUT_S, question)

    def both(self, timeout_s: float = CLEAN_TIMEOUT_S, question: Question = ONE_REQUEST) -> tuple[Reading, Reading]:
        """The faulted reading and the clean one."""
        return self.faulted(timeout_s, question), self.clean(question)

    def answer_bytes(self) -> int:
        """How long an answer is."""
        return max(1, self.clean().received_bytes)

    def repeated(self, requests: int) -> int:
        """So many requests on one connection, or as many as may be asked.

        Raises:
            NotFeltError: the protocol has one only.
        """
        requests = min(MAX_REQUESTS, requests)
        if requests > 1 and not self.exchange.repeats:
            raise NotFeltError(f"the first exchange of {self.exchange.name} is too short to feel this fault")
        return requests

"""A black hole: bytes vanish."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.asking import Question
from mcp_chaos.faults.comparison import CLEAN_TIMEOUT_S, Comparison, NotFeltError
from mcp_chaos.faults.fault import Fault


@dataclass(frozen=True)
class BlackHole(Fault):
    """Bytes vanish, connections stay open. Healing it closes the connections that were in it."""

    direction: str = "both"
    kind: ClassVar[str] = "black_hole"
    toxic_type: ClassVar[str | None] = "timeout"

    def attributes(self) -> dict[str, int]:
        return {"timeout": 0}

    def feel(self, ways: Comparison) -> str:
        clean = ways.clean()
        patience_s = min(CLEAN_TIMEOUT_S, max(0.3, 5 * clean.took_ms / 1e3))
        faulted = ways.faulted(patience_s)
        if faulted.ended == "closed" and not faulted.received_bytes and _closes_after_answers(ways):
            return "a connection ended without an answer; on the clean way it was answered before its end"
        if faulted.ended != "silent":
            raise NotFeltError(f"a request was {faulted.ended}, not swallowed")
        if clean.ended != "answered":
            raise NotFeltError(f"a request was swallowed, but on the clean way it was {clean.ended} too")
        return f"a request got no answer in {patience_s * 1e3:.0f} ms; on the clean way it took {clean.took_ms:.0f} ms"


def _closes_after_answers(ways: Comparison) -> bool:
    """Whether the server closes after each answer: a black hole takes the answer then, and passes the end on."""
    return ways.clean(Question(close="wait")).closes

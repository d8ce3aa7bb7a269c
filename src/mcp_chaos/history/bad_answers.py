"""The first bad answers of a load: what a server said when it did not do what it was asked."""

from dataclasses import asdict, dataclass
from typing import Any

from mcp_chaos.history.calls import LATEST_NS, Lane, Reason

MAX_TEXT_BYTES = 300


@dataclass(frozen=True)
class BadAnswer:
    """One answer that was no good.

    Args:
        intended_ns: when its call was due.
        done_ns: when it came.
        lane: which way the call took.
        reason: what its call is classed as.
        operation: the name of what was called.
        status: of HTTP; ``None`` where it was refused in a handshake, whose text says it.
        code: of JSON-RPC, where it was such an error.
        text: what was said, at most ``MAX_TEXT_BYTES`` of it, on one line and without credentials.
    """

    intended_ns: int
    done_ns: int
    lane: Lane
    reason: Reason
    operation: str
    status: int | None
    code: int | None
    text: str

    def to_json(self) -> dict[str, Any]:
        """It as JSON."""
        return {**asdict(self), "lane": self.lane.name.lower(), "reason": self.reason.key}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "BadAnswer | None":
        """It back from JSON; ``None`` where that is something else."""
        try:
            lane, reason = Lane[record["lane"].upper()], Reason[record["reason"].upper()]
            found = cls(**{**record, "lane": lane, "reason": reason})
        except (AttributeError, KeyError, TypeError):
            return None
        times = found.intended_ns, found.done_ns
        numbers = [number for number in (found.status, found.code) if number is not None]
        texts = found.operation, found.text
        sound = (
            all(type(time) is int and 0 <= time < LATEST_NS for time in times)
            and all(type(number) is int for number in numbers)
            and all(isinstance(text, str) for text in texts)
        )
        return found if sound else None

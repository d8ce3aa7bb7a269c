"""What was seen of the server from outside while a run went on: its process, and what it says of itself."""

from dataclasses import asdict, dataclass, field
from typing import Any

from mcp_chaos.history.calls import LATEST_NS

_MAX_COUNT = 1 << 62
_MAX_TEXT = 200


@dataclass(frozen=True)
class ProcessSample:
    """What a process and its children hold at a moment.

    Args:
        pid: of the process.
        rss_bytes: of memory.
        fds: open file descriptors, without those of clients that are connected.
        threads: of all of them.
        close_wait: connections whose client has gone and which the server keeps.
        cpu_s: CPU time used so far.
        children: processes that it started, and those that they did.
        sockets: TCP connections by state, listening ones among them.
        at_ns: when, on the run's clock; 0 where nobody keeps it.
    """

    pid: int
    rss_bytes: int
    fds: int
    threads: int
    close_wait: int
    cpu_s: float = 0.0
    children: int = 0
    sockets: dict[str, int] = field(default_factory=dict)
    at_ns: int = 0

    def to_json(self) -> dict[str, Any]:
        """It as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "ProcessSample | None":
        """It back from JSON; ``None`` where that is something else."""
        try:
            found = cls(**record)
            counts = [
                found.pid,
                found.rss_bytes,
                found.threads,
                found.close_wait,
                found.children,
                *found.sockets.values(),
            ]
        except (AttributeError, TypeError):
            return None
        sound = (
            all(type(count) is int and 0 <= count < _MAX_COUNT for count in counts)
            and type(found.fds) is int  # without those of clients: one that goes at the moment makes it less than none
            and abs(found.fds) < _MAX_COUNT
            and _is_number(found.cpu_s)
            and found.cpu_s >= 0
            and _is_moment(found.at_ns)
        )
        return found if sound else None


@dataclass(frozen=True)
class SelfReport:
    """What a server said of itself at a moment.

    Args:
        at_ns: when it was asked, on the run's clock.
        healthy: whether it says that all is well; ``None`` where its words leave that open, or it did not answer.
        said: its words, or the status of HTTP.
        counters: the numbers of its ``/status``; empty where it was not asked, or has none.
        served: whether a real call was answered well at the same moment; ``None`` where none was made.
    """

    at_ns: int
    healthy: bool | None
    said: str
    counters: dict[str, float] = field(default_factory=dict)
    served: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """It as JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "SelfReport | None":
        """It back from JSON; ``None`` where that is something else."""
        try:
            found = cls(**record)
            numbers = list(found.counters.values())
        except (AttributeError, TypeError):
            return None
        sound = (
            _is_moment(found.at_ns)
            and all(said is None or type(said) is bool for said in (found.healthy, found.served))
            and isinstance(found.said, str)
            and len(found.said) <= _MAX_TEXT
            and all(_is_number(number) for number in numbers)
        )
        return found if sound else None


def _is_moment(at_ns: Any) -> bool:
    return type(at_ns) is int and 0 <= at_ns < LATEST_NS


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_COUNT

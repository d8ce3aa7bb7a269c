"""A partition: the proxy is down."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.comparison import Comparison, NotFeltError
from mcp_chaos.faults.fault import Fault


@dataclass(frozen=True)
class Partition(Fault):
    """The proxy is down: open connections end, new ones are refused. Both ways and for everybody by nature."""

    direction: str = "both"
    kind: ClassVar[str] = "partition"
    slot: ClassVar[str] = "up or down"

    def problems(self) -> list[str]:
        found = super().problems()
        if not found and (self.direction != "both" or self.connection_fraction != 1):
            found.append(
                "a partition takes the whole proxy down, both ways; for one way or a part of them use black_hole"
            )
        return found

    def holds_answers_back(self) -> bool:
        return False

    def title(self) -> str:
        return "partition"

    def feel(self, ways: Comparison) -> str:
        """Refused; or, behind a forwarder that accepts for a proxy that is down (Docker, kubectl), cut off."""
        faulted, clean = ways.both()
        if faulted.ended == "refused":
            return "a new connection was refused"
        if faulted.ended in ("reset", "closed") and clean.ended == "answered":
            return f"a new connection was {faulted.ended}; on the clean way it was answered"
        raise NotFeltError(f"a new connection was {faulted.ended} (on the clean way {clean.ended}), not refused")

"""Connections that are reset."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.comparison import CLEAN_TIMEOUT_S, Comparison, NotFeltError
from mcp_chaos.faults.fault import Fault


@dataclass(frozen=True)
class Reset(Fault):
    """Connections are reset ``after_ms`` after their first bytes. New ones get RST, those open before it a FIN."""

    after_ms: int = 0
    kind: ClassVar[str] = "reset"
    toxic_type: ClassVar[str | None] = "reset_peer"

    def _limits(self) -> list[tuple[str, int, int]]:
        # Removing this toxic blocks Toxiproxy's API for as long as a reset is pending.
        return [("after_ms", 0, 2_000)]

    def attributes(self) -> dict[str, int]:
        return {"timeout": self.after_ms}

    def holds_answers_back(self) -> bool:
        return self.after_ms > 0

    def feel(self, ways: Comparison) -> str:
        faulted, clean = ways.both(CLEAN_TIMEOUT_S + 2)
        if faulted.ended not in ("reset", "closed") or clean.ended != "answered":
            raise NotFeltError(f"a request was {faulted.ended} (on the clean way {clean.ended}), not reset")
        return f"a request was {faulted.ended} after {faulted.took_ms:.0f} ms; on the clean way it was answered"

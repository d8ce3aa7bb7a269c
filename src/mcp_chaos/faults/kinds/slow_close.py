"""Connections whose end is held back."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.asking import Question
from mcp_chaos.faults.comparison import CLEAN_TIMEOUT_S, Comparison, NotFeltError
from mcp_chaos.faults.fault import HOUR_MS, Fault


@dataclass(frozen=True)
class SlowClose(Fault):
    """The end of a connection is held back by ``delay_ms``; a half-close becomes a full one."""

    delay_ms: int = 0
    kind: ClassVar[str] = "slow_close"
    toxic_type: ClassVar[str | None] = "slow_close"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("delay_ms", 1, HOUR_MS)]

    def attributes(self) -> dict[str, int]:
        return {"delay": self.delay_ms}

    def feel(self, ways: Comparison) -> str:
        question = Question(close="client" if self.direction == "upstream" else "server")
        faulted, clean = ways.both(CLEAN_TIMEOUT_S + 2 * self.delay_ms / 1e3, question)
        more_ms = faulted.close_ms - clean.close_ms
        if faulted.ended != "answered" or more_ms < 0.8 * self.delay_ms:
            raise NotFeltError(
                f"the connection closed {more_ms:.0f} ms later than on the clean way, not {self.delay_ms} ms"
            )
        return f"the connection closed {more_ms:.0f} ms later than on the clean way"

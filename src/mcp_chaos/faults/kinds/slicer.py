"""Data in small pieces."""

from dataclasses import dataclass
from typing import ClassVar

from mcp_chaos.faults.asking import ONE_REQUEST, Question
from mcp_chaos.faults.comparison import Comparison, NotFeltError
from mcp_chaos.faults.fault import Fault


@dataclass(frozen=True)
class Slicer(Fault):
    """Data is cut into pieces of ``average_size_bytes`` ± ``size_variation_bytes``, ``delay_us`` apart."""

    average_size_bytes: int = 0
    size_variation_bytes: int = 0
    delay_us: int = 0
    kind: ClassVar[str] = "slicer"
    toxic_type: ClassVar[str | None] = "slicer"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [
            ("average_size_bytes", 1, 1_000_000),
            ("size_variation_bytes", 0, 1_000_000),
            ("delay_us", 0, 10_000_000),
        ]

    def problems(self) -> list[str]:
        found = super().problems()
        if not found and self.size_variation_bytes >= self.average_size_bytes:
            found.append(
                f"size_variation_bytes: {self.size_variation_bytes} is not less than average_size_bytes "
                f"({self.average_size_bytes}); Toxiproxy would crash"
            )
        return found

    def attributes(self) -> dict[str, int]:
        return {
            "average_size": self.average_size_bytes,
            "size_variation": self.size_variation_bytes,
            "delay": self.delay_us,
        }

    def delay(self, ways: Comparison) -> tuple[float, Question] | None:
        return (self.delay_us / 1e3 * 0.8, ONE_REQUEST) if self.delay_us >= 1000 else None

    def feel(self, ways: Comparison) -> str:
        faulted, clean = ways.both()
        if faulted.pieces <= clean.pieces:
            raise NotFeltError(f"an answer came in {faulted.pieces} pieces, on the clean way in {clean.pieces}")
        return f"an answer came in {faulted.pieces} pieces, on the clean way in {clean.pieces}"

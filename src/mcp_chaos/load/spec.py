"""What one load is told to do, as a record that travels to its process in a JSON file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mcp_chaos.load.shape import Burst, Ramp, Sustained, make_shape, shape_to_json
from mcp_chaos.mcp import Operation
from mcp_chaos.records import Lane


@dataclass(frozen=True)
class Target:
    """Where and how calls are made.

    Args:
        connect_host, connect_port: the address that is connected to: the proxy's, or the server's own.
        host_header: the server's own ``host:port``, so that its Host check holds behind a proxy.
        path: of the MCP endpoint.
        dialect: a name from ``mcp.DIALECTS``.
    """

    connect_host: str
    connect_port: int
    host_header: str
    path: str
    dialect: str


@dataclass(frozen=True)
class LoadSpec:
    """One load.

    Args:
        name: unique in its run; names its files.
        target: where calls go.
        shape: when they are made.
        operations: what is called.
        deadline_s: the total time a call may take, its handshake included.
        seed: of the workload's choices.
        lane: which lane its target is.
        clock_offset_ns: of the run's clock.
        judged: whether its calls count in the windows of the verdict; those of a probe do not.
    """

    name: str
    target: Target
    shape: Burst | Ramp | Sustained
    operations: Sequence[Operation]
    deadline_s: float
    seed: int
    lane: Lane = Lane.FAULTED
    clock_offset_ns: int = 0
    judged: bool = True

    def to_json(self) -> dict[str, Any]:
        """The record as JSON."""
        return {**asdict(self), "shape": shape_to_json(self.shape), "lane": int(self.lane)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "LoadSpec":
        """The record back from JSON that :meth:`to_json` made."""
        shape = dict(data["shape"])
        return cls(
            **{
                **data,
                "target": Target(**data["target"]),
                "shape": make_shape(shape.pop("kind"), **shape),
                "operations": tuple(Operation(**operation) for operation in data["operations"]),
                "lane": Lane(data["lane"]),
            }
        )

"""What one load is told to do, as a record that travels to its processes in a JSON file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mcp_chaos.history.calls import Lane
from mcp_chaos.load.checks import make_shape
from mcp_chaos.load.shape import Shape
from mcp_chaos.mcp import DIALECTS
from mcp_chaos.workload.workload import Workload


@dataclass(frozen=True)
class Target:
    """Where and how calls are made.

    Args:
        connect_host, connect_port: the address that is connected to: the proxy's, or the server's own.
        host_header: the server's own ``host:port``, so that its Host check holds behind a proxy.
        path: of the MCP endpoint.
        dialect: a name from ``mcp.DIALECTS``.
        websocket_path: where WebSockets are opened.
        tls: whether the server speaks TLS; its certificate has to be for the host of ``host_header``.
    """

    connect_host: str
    connect_port: int
    host_header: str
    path: str
    dialect: str
    websocket_path: str = "/ws"
    tls: bool = False

    @property
    def lists_tools(self) -> bool:
        """Whether the server can be asked which tools it has."""
        return DIALECTS[self.dialect].lists_tools

    @property
    def server_name(self) -> str:
        """The host of ``host_header``, which TLS asks for and checks."""
        host, colon, port = self.host_header.rpartition(":")
        return (host if colon and port.isdecimal() else self.host_header).strip("[]")


@dataclass(frozen=True)
class LoadSpec:
    """One load.

    Args:
        name: unique in its run; names its files.
        target: where calls go.
        shape: when they are made.
        workload: what is called.
        deadline_s: the total time a call may take, its handshake included.
        seed: of the workload's choices and of random arrivals.
        lane: which lane its target is.
        clock_offset_ns: of the run's clock.
        judged: whether its calls count in the windows of the verdict; those of a probe do not.
        workers: how many processes share it.
        users_from: the ramp whose capacity its users are, for whoever reads it.
    """

    name: str
    target: Target
    shape: Shape
    workload: Workload
    deadline_s: float
    seed: int
    lane: Lane = Lane.FAULTED
    clock_offset_ns: int = 0
    judged: bool = True
    workers: int = 1
    users_from: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as JSON."""
        return {**asdict(self), "shape": self.shape.to_json(), "lane": int(self.lane)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "LoadSpec":
        """The record back from JSON that :meth:`to_json` made."""
        shape = dict(data["shape"])
        return cls(
            **{
                **data,
                "target": Target(**data["target"]),
                "shape": make_shape(shape.pop("kind"), **shape),
                "workload": Workload.from_json(data["workload"]),
                "lane": Lane(data["lane"]),
            }
        )

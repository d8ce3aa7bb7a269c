"""The faults there are, one file each."""

from mcp_chaos.faults.kinds.bandwidth import Bandwidth
from mcp_chaos.faults.kinds.black_hole import BlackHole
from mcp_chaos.faults.kinds.data_limit import DataLimit
from mcp_chaos.faults.kinds.flap import Flap
from mcp_chaos.faults.kinds.latency import Latency
from mcp_chaos.faults.kinds.partition import Partition
from mcp_chaos.faults.kinds.reset import Reset
from mcp_chaos.faults.kinds.slicer import Slicer
from mcp_chaos.faults.kinds.slow_close import SlowClose

__all__ = [
    "FAULTS",
    "Bandwidth",
    "BlackHole",
    "DataLimit",
    "Flap",
    "Latency",
    "Partition",
    "Reset",
    "Slicer",
    "SlowClose",
]

FAULTS = {
    "add_latency": Latency,
    "limit_bandwidth": Bandwidth,
    "black_hole": BlackHole,
    "reset_connections": Reset,
    "slow_close": SlowClose,
    "slice_packets": Slicer,
    "limit_data": DataLimit,
    "partition": Partition,
    "flap": Flap,
}
"""The fault that each fault action puts in place; the arguments of the one are the fields of the other, so ``locals()``
of the action makes the fault."""

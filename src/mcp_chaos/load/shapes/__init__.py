"""The load shapes there are, one file each."""

from mcp_chaos.load.shape import Shape
from mcp_chaos.load.shapes.burst import Burst
from mcp_chaos.load.shapes.constant import Constant
from mcp_chaos.load.shapes.locust import Locust
from mcp_chaos.load.shapes.ramp import Ramp
from mcp_chaos.load.shapes.sustained import Sustained

__all__ = ["SHAPES", "Burst", "Constant", "Locust", "Ramp", "Sustained"]

SHAPES: dict[str, type[Shape]] = {shape.kind: shape for shape in (Burst, Ramp, Sustained, Constant, Locust)}
"""Every shape by the name that people give it."""

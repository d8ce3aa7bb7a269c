"""What a server says of its tools."""

from collections.abc import Mapping
from typing import Any


def is_read_only(tool: Mapping[str, Any]) -> bool:
    """Whether a server says of a tool that it changes nothing."""
    annotations = tool.get("annotations")
    return isinstance(annotations, dict) and annotations.get("readOnlyHint") is True

"""What a server says of its tools."""

from collections.abc import Collection, Mapping
from typing import Any


def is_read_only(tool: Mapping[str, Any]) -> bool:
    """Whether a server says of a tool that it changes nothing."""
    return _is_marked(tool, "readOnlyHint")


def stays_inside(tool: Mapping[str, Any], allowed: Collection[str]) -> bool:
    """Whether a tool may be chosen for a load: it does not reach third parties, or a person has allowed it by name.

    Args:
        tool: as ``tools/list`` gives it.
        allowed: names; ``*`` among them says that tools may change something, and nothing about third parties.
    """
    return tool.get("name") in allowed or not _is_marked(tool, "openWorldHint")


def _is_marked(tool: Mapping[str, Any], hint: str) -> bool:
    annotations = tool.get("annotations")
    return isinstance(annotations, dict) and annotations.get(hint) is True

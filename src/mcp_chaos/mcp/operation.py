"""What a load may ask of a server: a call of a tool, a list of what it offers, or a GET request beside MCP."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool.

    Args:
        tool: its name.
        arguments: what it is given, JSON.
        weight: how often it is chosen, relative to the other operations.
        expect: a text that a good answer contains; empty when any will do.
        says_something: whether a good answer has a text at all; an empty one is then not good.
    """

    method: ClassVar[str] = "tools/call"

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    expect: str = ""
    says_something: bool = False

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return self.tool


@dataclass(frozen=True)
class ListCall:
    """A JSON-RPC method without arguments that lists what the server offers.

    Args:
        method: its name.
        weight: how often it is chosen, relative to the other operations.
        expect: a text that a good answer contains; empty when any will do.
        offers: the names that a good list of tools has; empty where any will do.
    """

    method: str = "tools/list"
    weight: float = 1.0
    expect: str = ""
    offers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return self.method


@dataclass(frozen=True)
class GetRequest:
    """A page such as ``/health`` that is read with GET, without a session.

    Args:
        page: its path.
        weight: how often it is chosen, relative to the other operations.
        expect: a text that a good answer contains; empty when any will do.
    """

    page: str
    weight: float = 1.0
    expect: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"GET {self.page}"


McpCall = ToolCall | ListCall
"""What is asked in JSON-RPC, on a session where the dialect has one."""

Operation = ToolCall | ListCall | GetRequest
"""What a load may ask of a server."""

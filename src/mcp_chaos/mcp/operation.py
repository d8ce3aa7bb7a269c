"""What a load may ask of a server: a tool, a resource, a prompt, a list of what it offers, or a page beside MCP."""

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
        expect_error: a text that the error has which is the right answer; empty where an error is none.
    """

    method: ClassVar[str] = "tools/call"

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    expect: str = ""
    says_something: bool = False
    expect_error: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return self.tool

    @property
    def about(self) -> str:
        """The name of the tool."""
        return self.tool

    @property
    def params(self) -> dict[str, Any]:
        """The params of the request."""
        return {"name": self.tool, "arguments": self.arguments}


@dataclass(frozen=True)
class ResourceRead:
    """A resource that is read.

    Args:
        uri: of the resource.
        weight: how often it is chosen, relative to the other operations.
        expect: a text that a good answer contains; empty when any will do.
        expect_error: a text that the error has which is the right answer; empty where an error is none.
    """

    method: ClassVar[str] = "resources/read"

    uri: str
    weight: float = 1.0
    expect: str = ""
    expect_error: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.method} {self.uri}"

    @property
    def about(self) -> str:
        """The URI."""
        return self.uri

    @property
    def params(self) -> dict[str, Any]:
        """The params of the request."""
        return {"uri": self.uri}


@dataclass(frozen=True)
class PromptGet:
    """A prompt that is asked for.

    Args:
        prompt: its name.
        arguments: what it is given, JSON.
        weight: how often it is chosen, relative to the other operations.
        expect: a text that a good answer contains; empty when any will do.
        expect_error: a text that the error has which is the right answer; empty where an error is none.
    """

    method: ClassVar[str] = "prompts/get"

    prompt: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    weight: float = 1.0
    expect: str = ""
    expect_error: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.method} {self.prompt}"

    @property
    def about(self) -> str:
        """The name of the prompt."""
        return self.prompt

    @property
    def params(self) -> dict[str, Any]:
        """The params of the request."""
        return {"name": self.prompt, "arguments": self.arguments}


@dataclass(frozen=True)
class ListCall:
    """A JSON-RPC method without arguments that lists what the server offers.

    Args:
        method: its name.
        weight: how often it is chosen, relative to the other operations.
        expect: a text that a good answer contains; empty when any will do.
        offers: the names that a good list of tools has; empty where any will do.
        expect_error: a text that the error has which is the right answer; empty where an error is none.
    """

    method: str = "tools/list"
    weight: float = 1.0
    expect: str = ""
    offers: tuple[str, ...] = ()
    expect_error: str = ""

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return self.method

    @property
    def about(self) -> str:
        """Nothing."""
        return ""

    @property
    def params(self) -> dict[str, Any]:
        """None."""
        return {}


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


McpCall = ToolCall | ResourceRead | PromptGet | ListCall
"""What is asked in JSON-RPC, on a session where the dialect has one."""

Operation = McpCall | GetRequest
"""What a load may ask of a server."""

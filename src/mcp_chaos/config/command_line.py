"""The command of this process, as a person would type it."""

import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mcp_chaos.config.settings import KEYS


def command_line(configuration: Mapping[str, Any]) -> str:
    """The command of this process, and the settings that its environment gave it, as a person would type them.

    What may be a secret is left out: the command of a stdio server, values of ``--var`` that are no numbers, and the
    arguments of programs that are not ours.

    Args:
        configuration: of the experiment, which wins over the environment.
    """
    path = Path(sys.argv[0])
    name = path.parent.name if path.name == "__main__.py" else path.name
    name = {"chaostoolkit": "chaos", "cli": "mcp-chaos"}.get(name, name)
    words = [name, *_without_values(sys.argv[1:])] if name in ("chaos", "mcp-chaos") else [name]
    given = {
        key.upper(): os.environ[key.upper()]
        for key in KEYS
        if os.environ.get(key.upper()) and configuration.get(key) in (None, "", os.environ[key.upper()])
    }
    if "MCP_COMMAND" in given:
        given["MCP_COMMAND"] = "..."
    return " ".join([*(f"{key}={shlex.quote(value)}" for key, value in given.items()), shlex.join(words)])


def _without_values(words: Sequence[str]) -> Iterator[str]:
    """The words of a command, without the values of variables but for numbers."""
    for before, word in zip(("", *words), words, strict=False):
        variable = before == "--var" or word.startswith("--var=")
        key, equals, value = word.removeprefix("--var=").partition("=")
        hidden = variable and equals and not re.fullmatch(r"-?\d+(\.\d+)?", value)
        yield f"{word[: word.index(key)]}{key}=..." if hidden else word

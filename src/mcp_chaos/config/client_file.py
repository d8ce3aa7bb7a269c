"""A server from the file that MCP clients have: ``mcpServers`` of Claude and Cursor, ``servers`` of VS Code."""

import json
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp_chaos.errors import UsageError
from mcp_chaos.history import strict_json
from mcp_chaos.history.regular_file import read_regular
from mcp_chaos.machine.spelling import hint

_KEYS = ("mcpServers", "servers")
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")


def environment_of(path: Path, name: str) -> dict[str, str]:
    """What a server of such a file is, as variables of the environment: its own, and ``MCP_URL`` or ``MCP_COMMAND``.

    Args:
        path: of the file.
        name: of the server; empty where there is one only.

    Raises:
        UsageError: the file cannot be read, or has no such server, or its entry cannot be used.
    """
    servers = _servers(path)
    if not name and len(servers) > 1:
        raise UsageError(f"{path} has several servers; name one: {', '.join(servers)}.")
    name = name or next(iter(servers))
    if name not in servers:
        raise UsageError(f"{path} has no server {name!r}{hint(name, list(servers))}.")
    entry = servers[name]
    if not isinstance(entry, dict) or not ({"command", "url"} & entry.keys()):
        raise UsageError(f"{path}: the server {name!r} has neither a command nor a url.")
    missing: set[str] = set()
    made = _from_entry(_expanded(entry, missing))
    if missing:
        raise UsageError(f"{path}: the server {name!r} uses {', '.join(sorted(missing))}, not in the environment.")
    return made


def _servers(path: Path) -> dict[str, Any]:
    try:
        content = strict_json.parse(read_regular(path).decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}); comments have to be taken out.") from None
    found = next((content[key] for key in _KEYS if key in content), None) if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise UsageError(f"{path} names no servers: a mapping 'mcpServers' (or 'servers') is needed.")
    return found


def _from_entry(entry: Mapping[str, Any]) -> dict[str, str]:
    own = entry.get("env") or {}
    made = {str(key): str(value) for key, value in own.items()} if isinstance(own, dict) else {}
    if "url" in entry:
        made["MCP_URL"] = str(entry["url"])
        if isinstance(entry.get("headers"), dict) and entry["headers"]:
            made["MCP_HEADERS"] = json.dumps(entry["headers"])
        if entry.get("type") == "sse":
            made["MCP_DIALECT"] = "sse"
    else:
        words = entry.get("args") or []
        made["MCP_COMMAND"] = shlex.join([str(entry["command"]), *map(str, words if isinstance(words, list) else [])])
    return made


def _expanded(value: Any, missing: set[str]) -> Any:
    """A value whose ``${NAME}``, ``${env:NAME}`` and ``${NAME:-default}`` are those of the environment."""
    if isinstance(value, dict):
        return {key: _expanded(inner, missing) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expanded(inner, missing) for inner in value]
    if not isinstance(value, str):
        return value

    def replaced(match: re.Match[str]) -> str:
        default: str | None = match[2]
        found = os.environ.get(match[1], default)
        if found is None:
            missing.add(match[1])
        return found or ""

    return _VARIABLE.sub(replaced, value)

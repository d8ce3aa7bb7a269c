"""What a run would stumble over on this machine, found out before anything is started."""

import errno
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

from mcp_chaos.config.settings import Settings
from mcp_chaos.lab.parts import lab_problems

_IN_USE = (errno.EADDRINUSE,)
"""A port that is taken now may be free when the run begins, and Toxiproxy says it of one that is not."""


def machine_problems(settings: Settings) -> list[str]:
    """What keeps the settings from working on this machine, in words; nothing is left changed."""
    problems = _folder_problems(settings.runs)
    if settings.proxy_listen is not None and settings.toxiproxy_url is None:
        problems += _listen_problems(settings.proxy_listen)
    return problems + (lab_problems() if settings.embedded else [])


def _folder_problems(runs: Path) -> list[str]:
    root = runs.absolute()
    try:
        parent = next(folder for folder in (root, *root.parents) if folder.exists())
        with suppress(FileNotFoundError), tempfile.TemporaryDirectory(dir=parent, prefix=".mcp_chaos-"):
            return []
        return [f"MCP_CHAOS_RUNS: nothing can be made in {parent}"]
    except OSError as error:
        return [f"MCP_CHAOS_RUNS: {root} cannot be made or written to ({error.strerror})"]


def _listen_problems(listen: str) -> list[str]:
    host, _, port = listen.rpartition(":")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) in _IN_USE:
            return []
        return [f"MCP_PROXY_LISTEN: this machine cannot listen on {listen} ({getattr(error, 'strerror', error)})"]
    return []

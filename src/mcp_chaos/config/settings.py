"""What a person may set, from the experiment's configuration or the environment, checked all at once.

A key of the experiment's ``configuration`` wins over the environment variable of the same name in capitals; an empty
value is no value.
"""

import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from mcp_chaos.config.credentials import VARIABLES, credential_problems
from mcp_chaos.config.hosts import is_port, url_problems
from mcp_chaos.config.tls import ca_problems
from mcp_chaos.errors import UsageError
from mcp_chaos.history import strict_json
from mcp_chaos.machine.spelling import misspelt_variables
from mcp_chaos.mcp import DIALECTS, dialect_of_path
from mcp_chaos.workload.file import AUTO, names_of, read_workload
from mcp_chaos.workload.workload import Workload

_MAX_SEED_DIGITS = 18
_MAX_SHOWN = 80
_STDIO_DIALECTS = ("streamable", "modern")
_MAX_SEED_DIGITS = 18

_FROM_ELSEWHERE = re.compile(r"sh -c cd [./]+ && exec ('[^']+'|\S+).*", re.DOTALL)
"""What ``mcp-chaos init`` makes of the command of a stdio server."""

KEYS = {
    "mcp_url": "the MCP endpoint of your own server; empty: the embedded one",
    "mcp_command": "the command of your own stdio server, in place of mcp_url",
    "mcp_start_timeout_s": "seconds that a stdio server may take to start, 120 if not set",
    "mcp_server_pid": "the process of your own server, if it may be paused and killed; it is also the one looked at",
    "mcp_dialect": f"{', '.join(DIALECTS)}, or auto",
    "mcp_tool": "the tool to call on your own server",
    "mcp_arguments": "its arguments, JSON",
    "mcp_workload": "what the load calls: built-in workloads or files, with commas; or auto",
    "mcp_websocket_path": "where WebSockets are opened on the server",
    "toxiproxy_url": "the API of your own Toxiproxy; empty: one that the run starts",
    "mcp_proxy_listen": "host:port that Toxiproxy listens on for the faulted lane; empty: a free port",
    "mcp_proxy_upstream": "host:port by which your own Toxiproxy knows the server; empty: as in mcp_url",
    "mcp_chaos_runs": "the folder for runs",
    "mcp_chaos_seed": "of the workload's choices",
    "mcp_chaos_allow_hosts": "hosts besides loopback that may be tested, with commas",
    "mcp_chaos_allow_production": "those of them whose names look like production, said a second time",
    "mcp_chaos_allow_tools": (
        "tools that may be called though they are not marked as read-only (* for all), or reach third parties"
    ),
}
"""Every setting by its configuration key, and what it is."""


@dataclass(frozen=True)
class Settings:
    """Settings that can be used.

    Args:
        mcp_url: ``None`` for the embedded server, and for a stdio server until it is there.
        dialect: a name from ``mcp.DIALECTS``, or ``auto`` where the server has to be asked.
        tool: empty for a choice.
        arguments: of the tool.
        toxiproxy_url: ``None`` for the run's own.
        proxy_listen: where Toxiproxy listens for the faulted lane; ``None`` for a free port.
        proxy_upstream: ``host:port`` by which a Toxiproxy of one's own knows the server; ``None`` where it is the same.
        start_timeout_s: how long a stdio server may take to start.
        runs: the folder for runs.
        seed: of the workload.
        allowed_hosts: that may be tested besides this machine.
        allowed_tools: that may be called though they are not marked as read-only; ``*`` stands for all.
        allowed_production: those of the hosts whose name looks like production.
        workload: what the load calls; ``None`` for a choice.
        auto_workload: whether it is made from what the server says of its tools.
        websocket_path: where WebSockets are opened.
        command: of a stdio server; empty for none.
        server_pid: of a server of one's own that may be hurt.
    """

    mcp_url: str | None
    dialect: str
    tool: str
    arguments: dict[str, Any]
    toxiproxy_url: str | None
    proxy_listen: str | None
    runs: Path
    seed: int
    allowed_hosts: frozenset[str] = frozenset()
    allowed_tools: frozenset[str] = frozenset()
    allowed_production: frozenset[str] = frozenset()
    workload: Workload | None = None
    auto_workload: bool = False
    websocket_path: str = "/ws"
    command: tuple[str, ...] = ()
    server_pid: int | None = None
    proxy_upstream: str | None = None
    start_timeout_s: float = 120.0

    @classmethod
    def embedded_by_default(cls) -> "Settings":
        """What holds with nothing set."""
        return cls(None, "streamable", "", {}, None, None, Path("runs"), 1)

    @property
    def tls(self) -> bool:
        """Whether the server speaks TLS."""
        return (self.mcp_url or "").lower().startswith("https:")

    @property
    def program(self) -> str:
        """The program of a stdio server, also where its command goes to another folder first."""
        moved = _FROM_ELSEWHERE.fullmatch(" ".join(self.command))
        return moved[1].strip("'") if moved else self.command[0]

    @property
    def embedded(self) -> bool:
        """Whether the run brings its own server and warehouse."""
        return self.mcp_url is None and not self.command


def runs_folder(configuration: Mapping[str, Any] | None = None) -> Path:
    """The folder for runs, whatever the other settings are."""
    return Path(_given("mcp_chaos_runs", configuration or {}) or "runs")


def resolve(configuration: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a run.

    Args:
        configuration: of the experiment, already resolved by Chaos Toolkit.

    Raises:
        UsageError: with every problem at once.
    """
    problems: list[str] = []
    given = _with_http_url({key: _text(key, _given(key, configuration or {}), problems) for key in KEYS})
    allowed = {host.lower() for host in names_of(given["mcp_chaos_allow_hosts"])}
    production = {host.lower() for host in names_of(given["mcp_chaos_allow_production"])}
    for key in ("mcp_url", "toxiproxy_url"):
        problems += url_problems(key.upper(), given[key], allowed, production) if given[key] else []
    dialect = given["mcp_dialect"] or AUTO
    if dialect not in (*DIALECTS, AUTO):
        problems.append(f"MCP_DIALECT: there is no {dialect!r}; there are {', '.join(DIALECTS)} and auto")
    workload = _workload(given, problems)
    command = _command(given, problems)
    pid = _server_pid(given, problems)
    if not given["mcp_websocket_path"].startswith("/") and given["mcp_websocket_path"]:
        problems.append(f"MCP_WEBSOCKET_PATH: a path such as /ws is needed, not {given['mcp_websocket_path']!r}")
    if given["mcp_arguments"] and not given["mcp_tool"]:
        problems.append("MCP_ARGUMENTS is given without MCP_TOOL, whose arguments they would be")
    listen = given["mcp_proxy_listen"]
    if listen and not (listen.rpartition(":")[0] and is_port(listen.rpartition(":")[2])):
        problems.append(f"MCP_PROXY_LISTEN: host:port is needed, such as 127.0.0.1:8666, not {_shortened(listen)!r}")
    problems += _upstream_problems(given)
    start_timeout_s = _start_timeout_s(given["mcp_start_timeout_s"], problems)
    seed = given["mcp_chaos_seed"] or "1"
    if not (seed.isascii() and seed.isdecimal() and len(seed) <= _MAX_SEED_DIGITS):
        problems.append(
            f"MCP_CHAOS_SEED: a whole number of up to {_MAX_SEED_DIGITS} digits is needed, not {_shortened(seed)!r}"
        )
        seed = "1"
    arguments = _arguments(given["mcp_arguments"], problems)
    problems += [*_credential_problems(configuration or {}), *credential_problems(), *ca_problems()]
    problems += misspelt_variables([*(key.upper() for key in KEYS), *VARIABLES])
    if problems:
        raise UsageError(problems, "The settings cannot be used, and nothing was started")
    return Settings(
        mcp_url=given["mcp_url"] or None,
        dialect=guess_dialect(given["mcp_url"], command) if dialect == AUTO else dialect,
        tool=given["mcp_tool"],
        arguments=arguments,
        toxiproxy_url=given["toxiproxy_url"] or None,
        proxy_listen=listen or None,
        runs=runs_folder(configuration),
        seed=int(seed),
        allowed_hosts=frozenset(allowed),
        allowed_tools=frozenset(names_of(given["mcp_chaos_allow_tools"])),
        allowed_production=frozenset(production),
        workload=workload,
        auto_workload=given["mcp_workload"] == AUTO,
        websocket_path=given["mcp_websocket_path"] or "/ws",
        command=command,
        server_pid=pid,
        proxy_upstream=given["mcp_proxy_upstream"] or None,
        start_timeout_s=start_timeout_s,
    )


def _credential_problems(configuration: Mapping[str, Any]) -> list[str]:
    """Credentials come from the environment: an experiment's configuration is written to the journal."""
    return [
        f"configuration: '{key}' would be written to the journal; set {key.upper()} in the environment instead"
        for key in configuration
        if str(key).upper() in VARIABLES
    ]


def _workload(given: Mapping[str, str], problems: list[str]) -> Workload | None:
    names = names_of(given["mcp_workload"])
    if names and given["mcp_tool"]:
        problems.append("MCP_WORKLOAD and MCP_TOOL both say what to call; unset one of them")
    if not names or names == [AUTO]:
        return None
    try:
        return read_workload(*names)
    except UsageError as error:
        problems += [f"MCP_WORKLOAD: {problem}" for problem in error.problems]
        return None


def _command(given: Mapping[str, str], problems: list[str]) -> tuple[str, ...]:
    """The words of ``MCP_COMMAND``, of which the first can be run."""
    if not given["mcp_command"]:
        return ()
    if given["mcp_url"]:
        problems.append("MCP_URL and MCP_COMMAND both say which server is the target; unset one of them")
    if given["mcp_dialect"] not in ("", AUTO, *_STDIO_DIALECTS):
        problems.append(f"MCP_COMMAND: a stdio server speaks {' or '.join(_STDIO_DIALECTS)}, see MCP_DIALECT")
    try:
        words = tuple(shlex.split(given["mcp_command"]))
    except ValueError as error:
        problems.append(f"MCP_COMMAND: this is no command line ({error})")
        return ()
    if "=" in words[0]:
        problems.append(
            f"MCP_COMMAND: no shell runs it; for variables, begin with env: env {_shortened(given['mcp_command'])}"
        )
    elif shutil.which(words[0]) is None:
        problems.append(f"MCP_COMMAND: there is no command {words[0]!r} on this machine")
    return words


def _upstream_problems(given: Mapping[str, str]) -> list[str]:
    name, upstream = "MCP_PROXY_UPSTREAM", given["mcp_proxy_upstream"]
    if not upstream:
        return []
    problems = []
    if not (upstream.rpartition(":")[0] and is_port(upstream.rpartition(":")[2])):
        problems.append(f"{name}: host:port is needed, such as server:8000, not {_shortened(upstream)!r}")
    if not (given["toxiproxy_url"] and given["mcp_url"]):
        problems.append(f"{name} is how the Toxiproxy at TOXIPROXY_URL knows the server at MCP_URL; set both")
    return problems


def _start_timeout_s(text: str, problems: list[str]) -> float:
    if not text:
        return Settings.start_timeout_s
    if not re.fullmatch(r"\d{1,5}(\.\d+)?", text) or float(text) <= 0:
        problems.append(f"MCP_START_TIMEOUT_S: a number of seconds is needed, not {_shortened(text)!r}")
        return Settings.start_timeout_s
    return float(text)


def _server_pid(given: Mapping[str, str], problems: list[str]) -> int | None:
    """The process of ``MCP_SERVER_PID``, which has to be another one than those that lead here."""
    text = given["mcp_server_pid"]
    if not text:
        return None
    if not given["mcp_url"]:
        problems.append("MCP_SERVER_PID is the process of the server at MCP_URL, which is not given")
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and psutil.pid_exists(int(text))):
        problems.append(f"MCP_SERVER_PID: there is no process {_shortened(text)!r}")
        return None
    pid = int(text)
    here = psutil.Process()
    if pid <= 1 or pid in (here.pid, *(parent.pid for parent in here.parents())):
        problems.append(f"MCP_SERVER_PID: {pid} is no server but a process that this one comes from")
    return pid


def _given(key: str, configuration: Mapping[str, Any]) -> str:
    value = configuration.get(key)
    if value in (None, ""):
        value = os.environ.get(key.upper(), "")
    return json.dumps(value) if isinstance(value, dict) else str(value).strip()


def _text(key: str, value: str, problems: list[str]) -> str:
    """A value that files and command lines can hold; empty where it is none."""
    if "\0" in value or not _is_utf_8(value):
        problems.append(f"{key.upper()}: {_shortened(value)!a} has bytes in it that are no text (UTF-8)")
        return ""
    return value


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _with_http_url(given: dict[str, str]) -> dict[str, str]:
    """The settings with the URL of a WebSocket as what its pages have, and its dialect said."""
    scheme, colon, rest = given["mcp_url"].partition("://")
    if not colon or scheme.lower() not in ("ws", "wss"):
        return given
    url = f"{'https' if scheme.lower() == 'wss' else 'http'}://{rest}"
    return {**given, "mcp_url": url, "mcp_dialect": given["mcp_dialect"] or "websocket"}


def guess_dialect(url: str, command: tuple[str, ...]) -> str:
    """What can be said of a dialect without asking the server."""
    if command:
        return AUTO
    if not url:
        return "streamable"  # the embedded server speaks both eras; most clients are of this one
    return dialect_of_path(urlsplit(url).path) or AUTO


def _arguments(text: str, problems: list[str]) -> dict[str, Any]:
    try:
        arguments = strict_json.parse(text or "{}")
    except ValueError as error:
        arguments = None
        problems.append(f"MCP_ARGUMENTS is not JSON ({error})")
    else:
        if not isinstance(arguments, dict):
            problems.append(f"MCP_ARGUMENTS: a JSON object is needed, not {_shortened(text)}")
    return arguments if isinstance(arguments, dict) else {}

"""Every client of the benchmark: how it is started, and how many calls it says it made."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import versions
from install import HERE, Tools

CLIENTS = HERE / "clients"
PATH = "/mcp/tools/call"

_FIXED_BODY = '{"jsonrpc":"2.0","id":1,"method":"list_databases","params":{"_client_id":"client_1"}}'
_ENGINE = CLIENTS / "engine_client.py"


class TallyError(Exception):
    """What a client printed says nothing of how many calls it made."""


@dataclass(frozen=True)
class Tally:
    """What a client says of its run.

    Args:
        calls: that ended, right or wrong.
        errors: calls that went wrong, of those that the client can tell.
    """

    calls: int
    errors: int


def read_json_line(printed: str) -> Tally:
    """From the last line that is a JSON object: ``{"calls": 9, "errors": 0}``.

    Raises:
        TallyError: there is none.
    """
    for line in reversed(printed.splitlines()):
        if line.startswith("{"):
            found = json.loads(line)
            return Tally(found["calls"], found["errors"])
    raise TallyError("it printed no line of JSON")


def read_hey(printed: str) -> Tally:
    """From hey's summary: its count per status, and of calls that had no answer.

    Raises:
        TallyError: there is none.
    """
    by_status = {int(status): int(calls) for status, calls in re.findall(r"\[(\d{3})]\s+(\d+) responses", printed)}
    unanswered = sum(map(int, re.findall(r"^\s+\[(\d+)]\s+\w+ ", printed.partition("Error distribution:")[2], re.M)))
    calls = sum(by_status.values()) + unanswered
    if calls == 0:
        raise TallyError("it printed no summary")
    return Tally(calls, calls - by_status.get(200, 0))


@dataclass(frozen=True)
class Client:
    """One client of the benchmark.

    Args:
        name: in the table.
        checked: whether it makes unique ids and checks each answer.
        version: tool or package and its version.
        command: of port, concurrency and seconds.
        read_tally: of what it printed.
        mode: how the server answers it, ``json`` or ``sse``.
    """

    name: str
    checked: bool
    version: str
    command: Callable[[int, int, int], list[str]]
    read_tally: Callable[[str], Tally] = read_json_line
    mode: str = "json"


def engine() -> Iterator[Client]:
    """The project's own engine: the plain dialect, the official one, and the official one with answers as streams."""
    version = f"mcp_chaos {versions.python_package(Path(sys.executable), 'chaostoolkit-mcp')}"
    kinds = (("", "jsonrpc", "json"), (" streamable", "streamable", "json"), (" streamable, SSE", "streamable", "sse"))
    for suffix, dialect, mode in kinds:

        def command(port: int, concurrency: int, seconds: int, dialect: str = dialect) -> list[str]:
            return [sys.executable, str(_ENGINE), str(port), str(concurrency), str(seconds), dialect]

        yield Client(f"mcp_chaos{suffix}", True, version, command, mode=mode)


def python_rivals(python: Path) -> Iterator[Client]:
    """Scripts of ours on aiohttp and httpx; Locust by its own command."""
    for name in ("aiohttp", "httpx"):

        def script(port: int, concurrency: int, seconds: int, name: str = name) -> list[str]:
            return [str(python), str(CLIENTS / f"{name}_client.py"), str(port), str(concurrency), str(seconds)]

        yield Client(name, True, f"{name} {versions.python_package(python, name)}", script)

    for name, user in (("Locust FastHttpUser", "FastUser"), ("Locust HttpUser", "RequestsUser")):

        def locust(port: int, concurrency: int, seconds: int, user: str = user) -> list[str]:
            users = ["--users", str(concurrency), "--spawn-rate", str(concurrency), "--run-time", f"{seconds}s"]
            where = ["--locustfile", str(CLIENTS / "locustfile.py"), "--host", f"http://127.0.0.1:{port}"]
            return [str(python), "-m", "locust", "--headless", "--only-summary", *where, *users, user]

        yield Client(name, True, f"Locust {versions.python_package(python, 'locust')}", locust)


def wrk(binary: Path) -> Iterator[Client]:
    """One thread of wrk, with a script that checks and with a request made beforehand."""
    for name, script, checked in (("wrk, Lua", "wrk.lua", True), ("wrk, fixed body", "wrk_fixed.lua", False)):

        def command(port: int, concurrency: int, seconds: int, script: str = script) -> list[str]:
            load = ["--threads", "1", "--connections", str(concurrency), "--duration", f"{seconds}s"]
            return [str(binary), *load, "--script", str(CLIENTS / script), f"http://127.0.0.1:{port}{PATH}"]

        yield Client(name, checked, f"wrk {versions.wrk(binary)}", command)


def k6(binary: Path) -> Iterator[Client]:
    """As many virtual users of k6 as calls at a time."""

    def command(port: int, concurrency: int, seconds: int) -> list[str]:
        load = ["--vus", str(concurrency), "--duration", f"{seconds}s", "--quiet", "--no-usage-report"]
        return [str(binary), "run", *load, "--env", f"URL=http://127.0.0.1:{port}{PATH}", str(CLIENTS / "k6.js")]

    yield Client("k6", True, f"k6 {versions.go_program(binary)}", command)


def hey(binary: Path) -> Iterator[Client]:
    """A run of hey, which can only send one body and looks at nothing but the status."""

    def command(port: int, concurrency: int, seconds: int) -> list[str]:
        load = ["-z", f"{seconds}s", "-c", str(concurrency), "-m", "POST", "-T", "application/json"]
        return [str(binary), *load, "-d", _FIXED_BODY, f"http://127.0.0.1:{port}{PATH}"]

    yield Client("hey, fixed body", False, f"hey {versions.go_program(binary)}", command, read_hey)


def all_clients(tools: Tools) -> list[Client]:
    """Those that are there, our own first."""
    clients = list(engine())
    for find, where in ((python_rivals, tools.python), (k6, tools.k6), (wrk, tools.wrk), (hey, tools.hey)):
        if where is not None:
            clients += find(where)
    return clients

"""One try: a command in a folder of its own, and the moment at which something is done to it."""

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mcp_chaos.config.settings import KEYS
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.machine.parts import Part
from mcp_chaos.machine.processes import MARKER
from tests.e2e.conftest import activity, short_experiment
from tests.torture.servers import LANE, STDIO

_START_S = 40.0


@dataclass
class Try:
    """One command in a folder of its own.

    Args:
        lane: which command.
        trouble: what is done to it.
        moment: the event of a run after which it is done.
        wait_s: how long after that.
        folder: of this try.
        toxiproxy: the Toxiproxy that it is given.
        part: the process of that.
        url: of the server that it is given.
    """

    lane: str
    trouble: str
    moment: str
    wait_s: float
    folder: Path
    toxiproxy: ToxiproxyServer
    part: Part
    url: str
    problems: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    terminal: int | None = None

    @property
    def pid(self) -> int:
        """Of the command."""
        assert self.process is not None
        return self.process.pid

    def runs(self) -> list[Path]:
        """The run folders that were made."""
        return sorted({*self.folder.glob("runs/*"), *self.folder.glob("**/mcp_chaos_runs/*")})

    def events(self) -> str:
        """What the runs have put on record so far."""
        return "".join(
            (run / "events.jsonl").read_text(errors="replace")
            for run in self.runs()
            if (run / "events.jsonl").is_file()
        )

    def processes(self) -> list[psutil.Process]:
        """All that was started by this try: its folder is in the command line, or in the environment."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                    continue
                told = [*process.cmdline(), process.environ().get("TMPDIR", ""), process.environ().get(MARKER, "")]
                if any(str(self.folder) in word for word in told):
                    found.append(process)
        return found

    def watchdogs(self) -> list[psutil.Process]:
        """The watchdogs of its runs."""
        return [process for process in self.processes() if "mcp_chaos.faults.watchdog" in process.cmdline()]


def environment(tried: Try) -> dict[str, str]:
    """What a command finds."""
    env = {name: value for name, value in os.environ.items() if name.lower() not in KEYS and name != MARKER}
    env |= {"TMPDIR": str(tried.folder / "tmp"), "MCP_CHAOS_RUNS": str(tried.folder / "runs")}
    stdio = f"/usr/bin/env -i {sys.executable} {tried.folder}/stdio.py {tried.folder}"
    match tried.lane:
        case "doctor" | "init":
            return {**env, "MCP_COMMAND": f"{stdio} slow", "MCP_TOOL": "look"}
        case "chaos run, stdio":
            return {**env, "MCP_COMMAND": stdio}
        case "chaos run, embedded":
            return env
        case "pytest, own Toxiproxy":
            return {**env, "MCP_URL": tried.url}
    return {**env, "MCP_URL": tried.url, "TOXIPROXY_URL": tried.toxiproxy.url}


def command(tried: Try) -> list[str]:
    """The command line of a try."""
    experiment = str(tried.folder / "experiment.json")
    cli = [sys.executable, "-m", "mcp_chaos.cli"]
    match tried.lane.split(",")[0]:
        case "chaos run":
            return [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file", "run", experiment]
        case "gate":
            return [*cli, "gate", experiment]
        case "load":
            fault = "add_latency latency_ms=30 from_s=0.5 for_s=60"
            numbers = ["--duration-s", "60", "--users", "4", "--cycle-s", "0.5", "--requests-per-user", "1"]
            return [*cli, "load", "sustained", *numbers, "--workers", "2", "--deadline-s", "3", "--fault", fault]
        case "pytest":
            plugin = ["-p", "no:cacheprovider", "-c", "/dev/null"]
            base = ["--rootdir", str(tried.folder), "--basetemp", str(tried.folder / "base")]
            return [sys.executable, "-m", "pytest", *plugin, *base, str(tried.folder / "test_lane.py")]
    return [*cli, tried.lane]


def start(tried: Try) -> None:
    """Start the command; one whose terminal will be closed has one."""
    for name in ("tmp", "here"):
        (tried.folder / name).mkdir()
    method = short_experiment(activity("black_hole", after_s=60))
    (tried.folder / "experiment.json").write_text(json.dumps(method))
    (tried.folder / "stdio.py").write_text(STDIO)
    (tried.folder / "test_lane.py").write_text(LANE)
    with (tried.folder / "output.txt").open("wb") as output:
        stdin: int | None = subprocess.DEVNULL
        if tried.trouble == "terminal closed":
            tried.terminal, stdin = pty.openpty()
        tried.process = subprocess.Popen(
            command(tried),
            env=environment(tried),
            cwd=tried.folder / "here",
            stdin=stdin,
            stdout=stdin if tried.terminal is not None else output,
            stderr=stdin if tried.terminal is not None else output,
            start_new_session=True,
            preexec_fn=_take_terminal if tried.terminal is not None else None,
        )
        if tried.terminal is not None and stdin is not None:
            os.close(stdin)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def read_terminal(tried: Try) -> None:
    """Take what the command writes, or it stands still when the terminal is full."""
    if tried.terminal is None:
        return
    os.set_blocking(tried.terminal, False)
    with suppress(OSError):
        while os.read(tried.terminal, 65536):
            pass


def wait_for(tried: Try, what: Callable[[], object], timeout_s: float, poll_s: float = 0.1) -> bool:
    """Wait for something; whether it came in time."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        read_terminal(tried)
        if what():
            return True
        time.sleep(poll_s)
    return False


def reach_the_moment(tried: Try) -> bool:
    """Wait for the moment of a try; false where the command ended before."""
    assert tried.process is not None
    process = tried.process
    has_runs = tried.lane not in ("doctor", "init")

    def came() -> bool:
        if process.poll() is not None:
            return True
        if has_runs:
            return f'"{tried.moment}"' in tried.events()
        return any(str(tried.folder) in word for p in tried.processes() for word in p.cmdline() if "-c" not in word)

    if not wait_for(tried, came, _START_S):
        tried.problems.append(f"the moment '{tried.moment}' did not come")
    time.sleep(tried.wait_s)
    return process.poll() is None

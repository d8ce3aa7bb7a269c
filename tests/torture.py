"""Kill and stop everything that starts something, at random moments, and look at what is left: ``make torture``.

Each try starts one command, waits for a moment of it, does one thing to it, and then looks: no toxic, no proxy, no
process, no temporary folder, no entry in the register of this machine; ``mcp-chaos report`` reads what is there, and
never says *pass*. What was tried is drawn from a seed, so a row can be tried again.
"""

import argparse
import json
import os
import pty
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from mcp_chaos.config.settings import KEYS
from mcp_chaos.errors import EXIT_INTERNAL, EXIT_PASS, EXIT_USAGE, McpChaosError
from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.toxiproxy_part import toxiproxy_part
from mcp_chaos.machine.parts import Part
from mcp_chaos.machine.processes import MARKER
from mcp_chaos.machine.register import entries
from tests.conftest import read_request, serving
from tests.e2e.conftest import activity, short_experiment

PAGE = Path("docs/safety.md")
BEGIN, END = "<!-- torture: written by make torture -->", "<!-- /torture -->"
_START_S, _END_S, _CLEAN_S = 40.0, 45.0, 25.0

STDIO = """
import json, signal, subprocess, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1]], start_new_session=True)
tool = {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
for line in sys.stdin:
    message = json.loads(line)
    if message["method"] == "tools/call" and sys.argv[2:] == ["slow"]:
        time.sleep(60)
    opened = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"}}
    results = {"initialize": opened, "ping": {}, "tools/list": {"tools": [tool]}, "tools/call": {"content": []}}
    result = results.get(message["method"])
    answer = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
    if "id" in message:
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], **answer}), flush=True)
time.sleep(600)
"""
"""A stdio server that ignores signals and the end of its input, and starts a process in a session of its own."""

LANE = """
import time

def test_a_lane(faulted_lane):
    with faulted_lane.fault("add_latency", latency_ms=50):
        time.sleep(60)
"""


def answer(connection: socket.socket) -> None:
    """A sound MCP server, one connection of it."""
    tool = {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    results = {
        "initialize": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "serverInfo": {"name": "x", "version": "1"},
        },
        "tools/list": {"tools": [tool]},
        "tools/call": {"content": [{"type": "text", "text": "seen"}]},
        "ping": {},
    }
    while request := read_request(connection):
        body = request.partition(b"\r\n\r\n")[2]
        message = json.loads(body) if body else {"method": "ping", "id": 1}
        result = results.get(str(message["method"]))
        told = {"error": {"code": -32601, "message": "no"}} if result is None else {"result": result}
        text = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), **told}).encode()
        status = "202 Accepted" if "id" not in message else "200 OK"
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        connection.sendall(head.encode() + text)


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


def kill(*processes: psutil.Process | None) -> None:
    """Kill processes without a word."""
    for process in processes:
        with suppress(psutil.Error):
            if process is not None:
                process.kill()


def no_room(tried: Try) -> None:
    """No file of the command and what it started can grow, as on a disk that is full."""
    for process in tried.processes():
        with suppress(psutil.Error):
            process.rlimit(psutil.RLIMIT_FSIZE, (0, 0))


def remove_runs(tried: Try) -> None:
    """Remove the run folders."""
    for run in tried.runs():
        shutil.rmtree(run, ignore_errors=True)


def cli(tried: Try, *words: str) -> str:
    """Use ``mcp-chaos`` as a person would in another shell."""
    argv = [sys.executable, "-m", "mcp_chaos.cli", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90, stdin=subprocess.DEVNULL)
    if done.returncode == EXIT_INTERNAL or "Traceback" in done.stderr:
        tried.problems.append(f"mcp-chaos {words[0]}: {done.stderr[-200:]}")
    return done.stdout


def suspend(tried: Try) -> None:
    """Suspend the command, and wait for longer than a fault may stay."""
    assert tried.process is not None
    tried.process.send_signal(signal.SIGSTOP)
    if tried.lane in ("doctor", "init"):
        return
    if not wait_for(tried, lambda: '"run_suspended"' in tried.events(), _CLEAN_S):
        tried.problems.append("the watchdog did not note that it was suspended")
    if tried.lane != "chaos run, embedded" and any(state.toxics for state in tried.toxiproxy.proxies().values()):
        tried.problems.append("a toxic was in place though the run was suspended")


def _signal(number: int) -> Callable[[Try], None]:
    return lambda tried: os.kill(tried.pid, number)


def _after(first: Callable[[Try], None], number: int) -> Callable[[Try], None]:
    def act(tried: Try) -> None:
        first(tried)
        os.kill(tried.pid, number)

    return act


def _kill_watchdog(tried: Try) -> None:
    kill(*tried.watchdogs())
    time.sleep(1.5)  # it is replaced meanwhile


def _kill_both(tried: Try) -> None:
    kill(*tried.watchdogs(), psutil.Process(tried.pid))
    assert tried.process is not None
    tried.process.wait()
    cli(tried, "heal")


def _close_terminal(tried: Try) -> None:
    assert tried.terminal is not None
    os.close(tried.terminal)
    tried.terminal = None


def _stop(tried: Try) -> None:
    for run in tried.runs()[-1:]:
        cli(tried, "stop", str(run))


def _suspend_and_stop(tried: Try) -> None:
    suspend(tried)
    _stop(tried)


def _kill_toxiproxy(tried: Try) -> None:
    tried.part.child.signal(signal.SIGKILL)
    tried.part.child.wait(5)


TROUBLES: dict[str, Callable[[Try], None]] = {
    "TERM": _signal(signal.SIGTERM),
    "INT": _signal(signal.SIGINT),
    "HUP": _signal(signal.SIGHUP),
    "KILL": _signal(signal.SIGKILL),
    "terminal closed": _close_terminal,
    "full disk, TERM": _after(no_room, signal.SIGTERM),
    "full disk, KILL": _after(no_room, signal.SIGKILL),
    "folder removed, TERM": _after(remove_runs, signal.SIGTERM),
    "folder removed, KILL": _after(remove_runs, signal.SIGKILL),
    "watchdog killed, then KILL": _after(_kill_watchdog, signal.SIGKILL),
    "killed with its watchdog, heal": _kill_both,
    "Toxiproxy dead, TERM": _after(_kill_toxiproxy, signal.SIGTERM),
    "suspended, then KILL": _after(suspend, signal.SIGKILL),
    "suspended, then stop": _suspend_and_stop,
    "stop": _stop,
}
LANES = (
    "chaos run",
    "chaos run, embedded",
    "chaos run, stdio",
    "gate",
    "load",
    "pytest",
    "pytest, own Toxiproxy",
    "doctor",
    "init",
)
MOMENTS = ("run_started", "toxiproxy_ready", "load_started", "fault_injecting", "fault_injected", "fault_proven")


def applies(lane: str, trouble: str) -> bool:
    """Whether something can be done to a command: one without a run folder has none to be removed, and so on."""
    if lane in ("doctor", "init"):
        return not any(word in trouble for word in ("folder", "Toxiproxy", "stop"))
    if "Toxiproxy" in trouble:
        return lane in ("chaos run", "gate", "load", "pytest")
    return True


def moment_for(lane: str, rng: random.Random) -> str:
    """A moment that comes in a command."""
    known = [moment for moment in MOMENTS if not (lane.startswith("pytest") and moment == "load_started")]
    return rng.choice(known)


def look(tried: Try) -> None:
    """Look at what is left."""
    assert tried.process is not None
    if not wait_for(tried, lambda: tried.process is not None and tried.process.poll() is not None, _END_S):
        tried.problems.append("the command did not end")
        kill(psutil.Process(tried.pid))
    wait_for(tried, lambda: not tried.processes(), _CLEAN_S, 0.3)
    tried.problems += [f"a process is left: {' '.join(p.cmdline())[:160]}" for p in tried.processes()]
    if tried.part.child.alive:
        left = tried.toxiproxy.proxies()
        tried.problems += [f"a proxy is left: {name} {list(state.toxics)}" for name, state in left.items()]
    there = [path.name for path in (tried.folder / "tmp").iterdir()]
    tried.problems += [f"a temporary folder is left: {name}" for name in there]
    if "Toxiproxy dead" not in tried.trouble:  # which is not known to have forgotten what it was told
        tried.problems += [f"still in the register: {e.run}" for e in entries() if tried.folder in e.run.parents]
    output = (tried.folder / "output.txt").read_text(errors="replace")
    if "Traceback" in output and not tried.lane.startswith("pytest"):
        tried.problems.append(f"a traceback: {output[output.index('Traceback') :][-300:]}")
    tried.problems += [problem for run in tried.runs() for problem in _report(run)]


def _report(run: Path) -> Iterator[str]:
    """What is wrong with what ``report`` says of a run."""
    argv = [sys.executable, "-m", "mcp_chaos.cli", "report", str(run), "--html", os.devnull]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)
    allowed = [1, 3, 4] if (run / "manifest.json").is_file() else [EXIT_USAGE]
    if run.parent.name == "mcp_chaos_runs":  # a lane of pytest by itself has no thresholds, so no verdict
        allowed.append(EXIT_USAGE)
    if done.returncode == EXIT_PASS or "Verdict: pass" in done.stdout:
        yield f"report says pass of {run.name}"
    elif done.returncode not in allowed:
        yield f"report exits {done.returncode}: {done.stderr[-200:]}"


@contextmanager
def own_toxiproxy(folder: Path) -> Iterator[tuple[Part, ToxiproxyServer]]:
    """A Toxiproxy that is not that of a run."""
    part = toxiproxy_part(toxiproxy_install.ensure(print), folder)
    part.start()
    try:
        part.wait_until_it_answers()
        yield part, ToxiproxyServer(f"http://127.0.0.1:{part.port.number}")
    finally:
        part.stop()


def one(lane: str, trouble: str, rng: random.Random, url: str) -> Try:
    """Make one try; its problems are what was left."""
    with ExitStack() as stack:
        base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture_", ignore_cleanup_errors=True)))
        folder = base / "try"
        folder.mkdir()
        part, server = stack.enter_context(own_toxiproxy(base))
        tried = Try(lane, trouble, moment_for(lane, rng), rng.uniform(0, 0.5), folder, server, part, url)
        try:
            start(tried)
            if reach_the_moment(tried):
                TROUBLES[trouble](tried)
            else:
                tried.problems.append("it had ended before anything was done to it")
            look(tried)
        except (McpChaosError, OSError, psutil.Error, subprocess.SubprocessError) as error:
            tried.problems.append(f"the try itself broke: {error!r}")
        finally:
            if tried.terminal is not None:
                os.close(tried.terminal)
            kill(*tried.processes())
            if tried.process is not None:
                tried.process.wait()
            if tried.problems:
                sys.stdout.write((folder / "output.txt").read_text(errors="replace")[-1500:])
    return tried


def render(rows: list[Try], seed: int, words: str) -> str:
    """The table of what was tried and what held."""
    tried = Counter((row.lane, row.trouble) for row in rows)
    bad = Counter((row.lane, row.trouble) for row in rows if row.problems)
    lanes = [lane for lane in LANES if any(row.lane == lane for row in rows)]
    held = sum(not row.problems for row in rows)
    lines = [
        BEGIN,
        "",
        f"`{words}`, seed {seed}, {datetime.now(UTC):%Y-%m-%d}, {sys.platform}, Python {sys.version.split()[0]}: "
        f"{held} of {len(rows)} tries left nothing. Each cell: how many left nothing, of how many.",
        "",
        f"| | {' | '.join(lanes)} |",
        f"| --- | {' | '.join('---' for _ in lanes)} |",
    ]
    for trouble in TROUBLES:
        cells = [
            f"{tried[lane, trouble] - bad[lane, trouble]}/{tried[lane, trouble]}" if tried[lane, trouble] else "–"
            for lane in lanes
        ]
        lines.append(f"| {trouble} | {' | '.join(cells)} |")
    lines += ["", *[f"- {row.lane}, {row.trouble}: {row.problems[0]}" for row in rows if row.problems]]
    return "\n".join(lines).rstrip() + f"\n\n{END}"


def plan(tries: int, rng: random.Random, lanes: list[str], troubles: list[str]) -> list[tuple[str, str]]:
    """What is tried: all pairs in an order of chance, again and again until there are enough."""
    pairs = [(lane, trouble) for lane in lanes for trouble in troubles if applies(lane, trouble)]
    chosen: list[tuple[str, str]] = []
    while pairs and len(chosen) < tries:
        chosen += rng.sample(pairs, len(pairs))
    return chosen[:tries]


def main() -> int:
    """Make so many tries and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=210)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lane", action="append", choices=LANES, help="only these")
    parser.add_argument("--trouble", action="append", choices=TROUBLES, help="only these")
    parser.add_argument("--no-page", action="store_true", help=f"leave {PAGE} as it is")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    rows = []
    with serving(answer) as server:
        url = f"http://127.0.0.1:{server.port}/mcp"
        for lane, trouble in plan(given.tries, rng, given.lane or list(LANES), given.trouble or list(TROUBLES)):
            began_s = time.monotonic()
            row = one(lane, trouble, random.Random(rng.random()), url)
            rows.append(row)
            what = f"{lane} | {trouble} | {row.moment} + {row.wait_s:.2f} s | {time.monotonic() - began_s:.0f} s"
            sys.stdout.write(f"{len(rows)}: {what} | {'; '.join(row.problems) or 'nothing left'}\n")
            sys.stdout.flush()
    if not given.no_page:
        words = f"python -m tests.torture --tries {given.tries} --seed {given.seed}"
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        PAGE.write_text(before + render(rows, given.seed, words) + rest.partition(END)[2], encoding="utf-8")
    return int(any(row.problems for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""Makes so many tries, and writes the table of ``docs/safety.md``."""

import argparse
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from mcp_chaos.errors import McpChaosError
from tests.conftest import serving
from tests.torture.left import look
from tests.torture.servers import answer, own_toxiproxy
from tests.torture.table import PAGE, heading, row_line, write_table
from tests.torture.tried import Try, reach_the_moment, start
from tests.torture.troubles import TROUBLES, kill, unfreeze

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
            unfreeze(tried)
            if tried.process is not None:
                tried.process.wait()
            if tried.problems:
                sys.stdout.write((folder / "output.txt").read_text(errors="replace")[-1500:])
    return tried


def plan(tries: int, rng: random.Random, lanes: list[str], troubles: list[str]) -> list[tuple[str, str]]:
    """What is tried: all pairs in an order of chance, again and again until there are enough."""
    pairs = [(lane, trouble) for lane in lanes for trouble in troubles if applies(lane, trouble)]
    chosen: list[tuple[str, str]] = []
    while pairs and len(chosen) < tries:
        chosen += rng.sample(pairs, len(pairs))
    return chosen[:tries]


def main() -> int:
    """Make so many tries, or write the table of those that were made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=210)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lane", action="append", choices=LANES, help="only these")
    parser.add_argument("--trouble", action="append", choices=TROUBLES, help="only these")
    parser.add_argument("--table-of", nargs="+", type=Path, metavar="OUTPUT", help=f"write {PAGE} from earlier outputs")
    given = parser.parse_args()
    if given.table_of:
        write_table([path.read_text(encoding="utf-8") for path in given.table_of], list(LANES), list(TROUBLES))
        return 0
    said = heading(f"python -m tests.torture {shlex.join(sys.argv[1:])}", given.seed)
    sys.stdout.write(f"{said}\n")
    rng = random.Random(given.seed)
    failures = 0
    for number in (signal.SIGHUP, signal.SIGINT):  # ignored where this was started in the background, and inherited
        signal.signal(number, signal.SIG_DFL)
    with serving(answer) as server:
        url = f"http://127.0.0.1:{server.port}/mcp"
        pairs = plan(given.tries, rng, given.lane or list(LANES), given.trouble or list(TROUBLES))
        for count, (lane, trouble) in enumerate(pairs, 1):
            began_s = time.monotonic()
            row = one(lane, trouble, random.Random(rng.random()), url)
            failures += bool(row.problems)
            moment = f"{row.moment} + {row.wait_s:.2f} s"
            sys.stdout.write(f"{row_line(count, row, moment, time.monotonic() - began_s)}\n")
            sys.stdout.flush()
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())

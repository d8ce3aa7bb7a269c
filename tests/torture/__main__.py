"""Makes so many tries, and writes the table of ``docs/safety.md``."""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psutil

from mcp_chaos.errors import McpChaosError
from tests.conftest import serving
from tests.torture.left import look
from tests.torture.servers import answer, own_toxiproxy
from tests.torture.tried import Try, reach_the_moment, start
from tests.torture.troubles import TROUBLES, kill

PAGE = Path("docs/safety.md")
BEGIN, END = "<!-- torture: written by make torture -->", "<!-- /torture -->"

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
    for number in (signal.SIGHUP, signal.SIGINT):  # ignored where this was started in the background, and inherited
        signal.signal(number, signal.SIG_DFL)
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

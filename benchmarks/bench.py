"""Measure all there is to measure, print it, and write it to ``results.md``.

Usage: bench.py [--rounds 5] [--measured-s 3] [--only cost,timing,proxy,million]
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable

import million
import proxy
import rig
import timing
import versions
from install import HERE, InstallError, install
from measure import CLIENT_CORE, SERVER_CORE
from rivals import all_clients

_CONCURRENCIES = (1, 10, 50, 200)


def main() -> int:
    """Install, measure, print and write; the exit status."""
    options = _options()
    # Neither leaves server and client behind; in a background job Python would ignore the first of them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    if not {CLIENT_CORE, SERVER_CORE} <= os.sched_getaffinity(0):
        sys.exit("the client and the server need a core each")
    try:
        tools = install()
    except InstallError as error:
        sys.exit(f"no echo server: {error}")
    os.sched_setaffinity(0, {CLIENT_CORE})
    sections: dict[str, tuple[str, Callable[[], str]]] = {
        "cost": (
            "What a checked call costs",
            lambda: rig.report(tools, all_clients(tools), _CONCURRENCIES, options.rounds, options.measured_s),
        ),
        "timing": ("Timing", lambda: timing.report(tools.echo, options.rounds)),
        "proxy": ("Through Toxiproxy", lambda: proxy.report(tools.echo, options.rounds)),
        "million": ("A million calls", lambda: million.report(tools.echo)),
    }
    text = f"# Results\n\nBy `make bench`; {_setting()}.\n"
    for name in options.only or sections:
        title, report = sections[name]
        text += f"\n## {title}\n\n{report()}"
    sys.stdout.write(text)
    if not options.only:
        (HERE / "results.md").write_text(text, encoding="utf-8")
    return 0


def _end(number: int, _: object) -> None:
    sys.exit(128 + number)


def _setting() -> str:
    cores = f"client on core {CLIENT_CORE}, server (`echo.c`) on core {SERVER_CORE}"
    return f"{versions.machine()}, {versions.compiler()}; {cores}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What a checked call costs: our engine and its rivals.")
    parser.add_argument("--rounds", type=int, default=5, help="5 and more for figures to keep")
    parser.add_argument("--measured-s", type=int, default=2, help="seconds per client, concurrency and round")
    parser.add_argument("--only", type=lambda text: text.split(","), help="some sections, which are printed only")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

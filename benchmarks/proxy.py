"""What Toxiproxy costs per call when it does nothing: the ceiling of every load that goes through it."""

import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from engine import load
from measure import SERVER_CORE, echo_server

from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.toxiproxy_part import toxiproxy_part

_CALLS = 30_000
_CONCURRENCIES = (1, 10, 50)


def report(echo: Path, rounds: int) -> str:
    """Run and tell, in Markdown.

    Args:
        echo: the compiled server.
        rounds: the medians of so many are told.
    """
    lines = [
        f"Toxiproxy {toxiproxy_install.VERSION} without a toxic, on the server's core; bursts of {_CALLS} calls, "
        f"medians over {rounds} rounds of one direct and one proxied run.",
        "",
        "| concurrency | direct calls/s | through Toxiproxy calls/s | CPU of Toxiproxy µs per call |",
        "| --- | --- | --- | --- |",
    ]
    with echo_server(echo, 0.0, "json") as port, _proxy(port) as (proxied, process):
        for concurrency in _CONCURRENCIES:
            found = [_round(port, proxied, process, concurrency) for _ in range(rounds)]
            direct, through, cpu_us = (statistics.median(column) for column in zip(*found, strict=True))
            lines.append(f"| {concurrency} | {direct:.0f} | {through:.0f} | {cpu_us:.0f} |")
    return "\n".join(lines) + "\n"


@contextmanager
def _proxy(port: int) -> Iterator[tuple[int, psutil.Process]]:
    with TemporaryDirectory() as folder:
        part = toxiproxy_part(toxiproxy_install.ensure(lambda _: None), Path(folder))
        part.start()
        try:
            part.wait_until_it_answers()
            assert part.child.pid is not None
            process = psutil.Process(part.child.pid)
            for thread in process.threads():
                os.sched_setaffinity(thread.id, {SERVER_CORE})
            server = ToxiproxyServer(f"http://127.0.0.1:{part.port.number}")
            yield server.create_proxy("bench", "127.0.0.1:0", f"127.0.0.1:{port}").port, process
        finally:
            part.stop()


def _round(port: int, proxied: int, process: psutil.Process, concurrency: int) -> tuple[float, float, float]:
    """Calls/s direct, calls/s through the proxy, and its CPU in µs per call."""
    burst = ("burst", "--requests", str(_CALLS), "--concurrency", str(concurrency))
    direct = load(port, *burst)["throughput"]
    before = sum(process.cpu_times()[:2])
    through = load(proxied, *burst)["throughput"]
    return direct, through, 1e6 * (sum(process.cpu_times()[:2]) - before) / _CALLS

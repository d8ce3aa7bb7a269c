"""Run one client against the echo server and see what a call costs it.

A client and the server have a core each. What a call costs is the slope between two runs, a short and a long one::

    CPU per call = (CPU of the long run - CPU of the short run) / (calls of the long run - calls of the short run)

So imports, compilation, connecting and warming up, which both runs have alike, are in nobody's figures; for programs in
Python and Go they would be a tenth and more of a run of a few seconds. CPU is user and system time of the process and
of all its children that it waited for, as the kernel tells at its end. Calls per second are the slope's, too.
"""

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rivals import Client, Tally, TallyError

CLIENT_CORE = 0
SERVER_CORE = 1
SHORT_S = 1
_START_LIMIT_S = 60.0


class MeasureError(Exception):
    """A run that says nothing about the client's speed; says why in a line for people."""


@dataclass(frozen=True)
class Sample:
    """What one client showed at one concurrency in one round.

    Args:
        cpu_us_per_call: user and system time.
        calls_per_s: while warm.
    """

    cpu_us_per_call: float
    calls_per_s: float


@contextmanager
def echo_server(binary: Path, delay_ms: float, mode: str) -> Iterator[int]:
    """The server on a core of its own; gives its port.

    Args:
        binary: compiled from ``echo.c``.
        delay_ms: of each answer.
        mode: ``json`` or ``sse``.
    """
    with subprocess.Popen([binary, "0", str(delay_ms), mode], stdout=subprocess.PIPE, text=True) as process:
        try:
            os.sched_setaffinity(process.pid, {SERVER_CORE})
            assert process.stdout is not None
            word, _, port = process.stdout.readline().partition(" ")
            if word != "port":
                raise MeasureError("the echo server did not start")
            yield int(port)
        finally:
            process.terminate()


def sample(client: Client, port: int, concurrency: int, measured_s: int) -> Sample:
    """Measure a client once; the process that asks must be on ``CLIENT_CORE``, which its children inherit.

    Args:
        client: to run, twice.
        port: of the server.
        concurrency: calls at a time.
        measured_s: by which the long run is longer than the short one.

    Raises:
        MeasureError: a run failed, or a call of it did.
    """
    short_cpu_s, short = _run(client, port, concurrency, SHORT_S)
    long_cpu_s, long = _run(client, port, concurrency, SHORT_S + measured_s)
    calls = long.calls - short.calls
    if calls <= 0:
        raise MeasureError(f"{long.calls} calls in the long run, {short.calls} in the short one")
    return Sample((long_cpu_s - short_cpu_s) * 1e6 / calls, calls / measured_s)


def _run(client: Client, port: int, concurrency: int, seconds: int) -> tuple[float, Tally]:
    """CPU seconds and tally of one run."""
    # Files, because a pipe would have us read while the client runs on the same core.
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as complaints:
        command = client.command(port, concurrency, seconds)
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=complaints)
        cpu_s = _wait(process, seconds + _START_LIMIT_S)
        printed.seek(0)
        complaints.seek(0)
        try:
            tally = client.read_tally(printed.read())
        except TallyError as error:
            raise MeasureError(f"exit status {process.returncode}, {error}; {_last_words(complaints.read())}") from None
    if tally.errors or process.returncode:
        raise MeasureError(f"exit status {process.returncode}, {tally.errors} of {tally.calls} calls failed")
    return cpu_s, tally


def _last_words(complaints: str) -> str:
    """The last line that says something; exception groups end in a frame of dashes."""
    lines = [line.strip(" |") for line in complaints.splitlines() if any(map(str.isalpha, line))]
    return lines[-1] if lines else "it complained of nothing"


def _wait(process: subprocess.Popen[bytes], limit_s: float) -> float:
    """Wait for the end, by force after ``limit_s``; the CPU seconds that the process and its children took."""
    killer = threading.Timer(limit_s, process.kill)
    killer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        killer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime

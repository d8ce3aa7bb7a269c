"""What is done to a command."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from mcp_chaos.errors import EXIT_INTERNAL
from tests.torture.tried import Try, wait_for

_SUSPENDED_S = 25.0


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


def freeze(tried: Try) -> None:
    """Let nothing be written to the run folders but what is open; root can do all else."""
    subprocess.run(["chattr", "-R", "+i", *map(str, tried.runs())], check=False, stderr=subprocess.DEVNULL)


def unfreeze(tried: Try) -> None:
    """Take that back."""
    subprocess.run(["chattr", "-R", "-i", *map(str, tried.runs())], check=False, stderr=subprocess.DEVNULL)


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
    if not wait_for(tried, lambda: '"run_suspended"' in tried.events(), _SUSPENDED_S):
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
    "folder read-only, TERM": _after(freeze, signal.SIGTERM),
    "folder read-only, KILL": _after(freeze, signal.SIGKILL),
    "watchdog killed, then KILL": _after(_kill_watchdog, signal.SIGKILL),
    "killed with its watchdog, heal": _kill_both,
    "Toxiproxy dead, TERM": _after(_kill_toxiproxy, signal.SIGTERM),
    "suspended, then KILL": _after(suspend, signal.SIGKILL),
    "suspended, then stop": _suspend_and_stop,
    "stop": _stop,
}

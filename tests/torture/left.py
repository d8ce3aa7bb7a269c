"""What is left of a command."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from mcp_chaos.errors import EXIT_PASS, EXIT_USAGE
from mcp_chaos.machine.register import entries
from tests.torture.tried import Try, wait_for
from tests.torture.troubles import kill

_END_S, _CLEAN_S = 45.0, 25.0


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

"""The process that lets Locust make one load: ``python -m mcp_chaos.load.locust.process SPEC RUN_FOLDER``.

Locust runs headless as a child, on ``locustfile.py``, whose users write their calls to the run folder; the result is
made from them here, as that of any load. SIGTERM and SIGINT end it properly.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mcp_chaos.history.calls_file import StepReader
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.health import generator
from mcp_chaos.load.locust.history import RUN_VARIABLE, SPEC_VARIABLE
from mcp_chaos.load.main import STARTED
from mcp_chaos.load.results import Tally, summary
from mcp_chaos.load.shapes import Locust
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock

_POLL_S = 0.05


def command(spec: LoadSpec) -> list[str]:
    """Locust's command line for a load."""
    shape = spec.shape
    assert isinstance(shape, Locust)
    locustfile = Path(__file__).with_name("locustfile.py")
    argv = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless", "--only-summary"]
    argv += ["--users", str(shape.users), "--spawn-rate", str(shape.spawn_rate_per_s)]
    argv += ["--run-time", f"{max(1, round(shape.duration_s))}s", "--exit-code-on-error", "0"]
    argv += ["--stop-timeout", f"{math.ceil(spec.deadline_s)}s"]
    return argv + (["--processes", str(spec.workers)] if spec.workers > 1 else [])


def main() -> None:
    """The command line."""
    spec_path, folder = Path(sys.argv[1]), RunFolder.open(Path(sys.argv[2]))
    spec = LoadSpec.from_json(json.loads(spec_path.read_text(encoding="utf-8")))
    clock = Clock(spec.clock_offset_ns)
    env = {**os.environ, SPEC_VARIABLE: str(spec_path), RUN_VARIABLE: str(folder.path)}
    locust = subprocess.Popen(command(spec), env=env)
    stopped: list[int] = []

    def stop(number: int, _: object) -> None:
        stopped.append(number)
        locust.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if not _has_begun(locust, folder, spec.name):
        raise SystemExit(locust.returncode or 1)
    began = time.monotonic()
    print(STARTED, flush=True)
    code = locust.wait()
    seconds = time.monotonic() - began
    folder.event(clock.now_ns(), "load_ended", load=spec.name)
    if code and not stopped:
        raise SystemExit(code)
    tally = Tally(StepReader(folder, spec.name).take())
    result = spec.shape.result([], tally, seconds)
    unmeasured = {**generator([]), "kept_up": None, "why_not": "Locust does not tell how late it sends"}
    told = summary(tally, seconds, unmeasured)
    folder.write(f"result-{spec.name}.json", {**result, "stopped_early": bool(stopped), "summary": told})


def _has_begun(locust: subprocess.Popen[bytes], folder: RunFolder, load: str) -> bool:
    """Wait until the load has begun, of which the locustfile writes the event; whether it has."""
    while locust.poll() is None:
        if any(event.kind == "load_started" and event.data["load"] == load for event in folder.events()):
            return True
        time.sleep(_POLL_S)
    return False


if __name__ == "__main__":
    main()

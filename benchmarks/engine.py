"""Our own engine as anyone runs it: ``mcp-chaos load ... --json``, pinned to the client's core."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import CLIENT_CORE, MeasureError

_LIMIT_S = 600.0


def load(port: int, *options: str, path: str = "/mcp/tools/call", keep: Path | None = None) -> dict[str, Any]:
    """Make a load and return the one result that it prints.

    Args:
        port: of the server on loopback.
        options: of ``mcp-chaos load``, its shape first.
        path: of the endpoint; says the dialect too.
        keep: where to keep the run; nowhere when ``None``.

    Raises:
        MeasureError: it failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "MCP_CHAOS_RUNS": str(keep or scratch)}
        url = ["--url", f"http://127.0.0.1:{port}{path}"]
        command: Sequence[str] = [sys.executable, "-m", "mcp_chaos.cli", "load", *options, *url, "--json"]
        run = subprocess.run(
            ["taskset", "--cpu-list", str(CLIENT_CORE), *command],
            env=env,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
    if not run.stdout:
        raise MeasureError(f"mcp-chaos load {' '.join(options)} failed: {run.stderr.strip()}")
    (result,) = json.loads(run.stdout)["loads"].values()
    if result["failed_requests"]:
        raise MeasureError(f"{result['failed_requests']} calls failed: {result['summary']['reasons']}")
    return dict(result)

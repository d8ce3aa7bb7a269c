"""Our own engine as it runs in production: the worker, with deadlines, records on disk, and the result at the end.

Usage: engine_client.py PORT CONCURRENCY SECONDS DIALECT
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from mcp_chaos.history.folder import SCHEMA, RunFolder
from mcp_chaos.load.main import lead
from mcp_chaos.load.shape import MAX_REQUESTS
from mcp_chaos.load.shapes import Burst
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.workload import Workload

_PATH = "/mcp/tools/call"
_DEADLINE_S = 10.0


async def main(port: int, concurrency: int, seconds: float, dialect: str) -> int:
    """Make checked calls until time is up; the exit status."""
    target = Target("127.0.0.1", port, f"127.0.0.1:{port}", _PATH, dialect)
    shape = Burst(MAX_REQUESTS, concurrency)
    spec = LoadSpec("bench", target, shape, Workload.of(ToolCall("list_databases")), _DEADLINE_S, seed=1)
    with tempfile.TemporaryDirectory() as root:
        folder = RunFolder.create(Path(root), "bench")
        folder.write("manifest.json", {"schema": SCHEMA, "thresholds": {}})
        asyncio.get_running_loop().call_later(seconds, os.kill, os.getpid(), signal.SIGTERM)  # ends it properly
        await lead(spec, folder.path / "load-bench.json", folder)
        result = folder.read("result-bench.json")
    counts = {"calls": result["total_requests"], "errors": result["failed_requests"]}
    sys.stdout.write(json.dumps(counts) + "\n")
    return int(counts["errors"] > 0)


if __name__ == "__main__":
    sys.exit(uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4])))

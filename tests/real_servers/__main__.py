"""Runs the shipped experiment against every server and writes ``docs/targets.md`` and its data."""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.real_servers.servers import SERVERS, Server, environment
from tests.real_servers.table import EXPERIMENTS, Row, read_row, render

DOCS = Path("docs")


def run(server: Server, experiment: str, folder: Path) -> Row:
    """One run against one server."""
    with server.running(folder) as settings:
        env = environment({**settings, "MCP_CHAOS_RUNS": str(folder / "runs")})
        chaos = [str(Path(sys.executable).with_name("chaos")), "--no-version-check", "--no-log-file"]
        journal = ["--journal-path", str(folder / "journal.json")]
        said = subprocess.run(
            [*chaos, "run", *journal, experiment], env=env, capture_output=True, text=True, check=False
        )
    runs = list((folder / "runs").glob("*"))
    if not runs or not (runs[0] / "verdict.json").exists():
        raise SystemExit(f"{server.name} over {server.over}: there is no verdict\n{said.stdout}\n{said.stderr}")
    return read_row(server.name, server.over, Path(experiment).stem, runs[0])


def main() -> None:
    """All servers, or those whose name has a word in it that was given."""
    rows = []
    for server in SERVERS:
        if not all(word in f"{server.name} {server.over}" for word in sys.argv[1:]):
            continue
        for experiment in EXPERIMENTS:
            if experiment in server.experiments:
                folder = Path(tempfile.mkdtemp(prefix="mcp_chaos_targets_"))
                row = run(server, f"experiments/{experiment}.yaml", folder)
                sys.stdout.write(f"{row.server}, {row.over}, {row.dialect}, {experiment}: {row.verdict} {row.why}\n")
                sys.stdout.flush()
                rows.append(row)
                shutil.rmtree(folder)
    if not sys.argv[1:]:
        (DOCS / "targets.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
        (DOCS / "targets.md").write_text(render(rows))


if __name__ == "__main__":
    main()

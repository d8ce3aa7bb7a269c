"""Keeps a run folder of the current format in ``tests/history/formats``: ``make run-folder``.

One folder per format stays there, so that a reader which no longer reads it is noticed.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.formats import FORMAT

FORMATS = Path(__file__).parent / "history" / "formats"
_LOGS = shutil.ignore_patterns("*.log", "journal.json", "report.txt")


def keep(run: Path, to: Path) -> None:
    """Copy what a reader takes of a run folder, without what tells of the machine it was made on."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(run, to, ignore=_LOGS)
    folder = RunFolder(to)
    folder.write(
        "manifest.json", {**folder.read("manifest.json"), "platform": "Linux", "process": {"pid": 1, "started": ""}}
    )


def main() -> None:
    """Make the run and keep its folder."""
    with tempfile.TemporaryDirectory() as made:
        shutil.copy(FORMATS / "experiment.yaml", made)
        command = [
            sys.executable,
            "-m",
            "chaostoolkit",
            "--no-version-check",
            "--no-log-file",
            "run",
            "experiment.yaml",
        ]
        subprocess.run(command, cwd=made, check=True)
        (run,) = (Path(made) / "runs").iterdir()
        verdict = json.loads((run / "verdict.json").read_text())["verdict"]
        if verdict != "pass":
            raise SystemExit(f"The run's verdict is '{verdict}', so it is not kept. Make it again on an idle machine.")
        keep(run, FORMATS / str(FORMAT))


if __name__ == "__main__":
    main()

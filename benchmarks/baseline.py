"""How often the comparison with a baseline is wrong: false alarms of an unchanged server, and misses of a slower one.

Usage: baseline.py [--kept 20] [--unchanged 50] [--slower 20]

Each run is ``mcp-chaos gate experiments/steady_pace.yaml`` with the quick profile, on the reference server; each query
of its warehouse takes 50 ms, as real ones take at the least. The slower server has the planted defect
``slower_by_a_fifth``. Takes 13 s a run; nothing else should keep the machine busy.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENT = ROOT / "experiments" / "steady_pace.yaml"
PROFILE = ROOT / "experiments" / "profiles" / "quick.yaml"


def gate(folder: Path, *options: str, defect: str = "") -> dict[str, object]:
    """One gate; what came of its experiment."""
    command = [sys.executable, "-m", "mcp_chaos.cli", "gate", str(EXPERIMENT), "--var-file", str(PROFILE)]
    made = subprocess.run(
        [
            *command,
            "--var",
            "ramp_max_users:int=2",
            "--var",
            "sustained_duration_s:int=8",
            "--retries",
            "0",
            "--json",
            "gate.json",
            *options,
        ],
        cwd=folder,
        env={
            **os.environ,
            "MCP_CHAOS_LAB_DEFECT": defect,
            "MCP_CHAOS_LAB_QUERY_MS": "50",
            "MCP_CHAOS_RUNS": str(folder / "runs"),
        },
        capture_output=True,
        text=True,
    )
    if made.returncode not in (0, 1, 3):
        sys.exit(made.stderr)
    (experiment,) = json.loads((folder / "gate.json").read_text())["experiments"]
    sys.stderr.write("; ".join([experiment["outcome"], *experiment["regressions"]]) + "\n")
    return dict(experiment)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in {"kept": 20, "unchanged": 50, "slower": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    counts = parser.parse_args()
    with TemporaryDirectory() as root:
        folder = Path(root)
        for _ in range(counts.kept):
            gate(folder, "--save-baseline", "baseline.json")
        compared = ("--baseline", "baseline.json")
        unchanged = [gate(folder, *compared)["outcome"] for _ in range(counts.unchanged)]
        slower = [gate(folder, *compared, defect="slower_by_a_fifth")["outcome"] for _ in range(counts.slower)]
    sys.stdout.write("| server | runs | regressed | pass | other |\n| --- | ---: | ---: | ---: | ---: |\n")
    for name, outcomes in (("unchanged", unchanged), ("a fifth slower", slower)):
        alarms, passed = outcomes.count("regressed"), outcomes.count("pass")
        other = len(outcomes) - alarms - passed
        sys.stdout.write(f"| {name} | {len(outcomes)} | {alarms} | {passed} | {other} |\n")


if __name__ == "__main__":
    main()

"""Which experiment finds which planted defect, and whether the sound server is accused: ``make matrix``.

Every defect is put before the experiment that has to find it, and every experiment before the sound server. A defect
that was missed, one that never bit and a sound server that was accused make the exit code 1.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mcp_chaos import __version__
from mcp_chaos.lab.defects import VARIABLE, Defect
from mcp_chaos.lab.planted.registry import FILE_VARIABLE

FOUND_BY = {
    Defect.NO_BACKEND_RECOVERY: ("backend_outage.json", "flaky_backend.yaml"),
    Defect.BLOCKS_ON_BACKEND: ("stalled_backend.yaml", "slow_backend.yaml"),
    Defect.HANGS_AFTER_CUT: (
        "network_partition.yaml",
        "connection_resets.yaml",
        "abort_storm.yaml",
        "steady_pace.yaml",
    ),
    Defect.KEEPS_PLACES_OF_LOST_CLIENTS: ("abandoned_clients.yaml",),
    Defect.KEEPS_DESCRIPTORS_OF_LOST_CLIENTS: ("abandoned_clients.yaml",),
    Defect.KEEPS_PLACES_OF_LOST_HANDSHAKES: ("abandoned_clients.yaml",),
    Defect.POISONS_SESSIONS: ("abandoned_clients.yaml", "truncated_answers.yaml", "one_way_partition.yaml"),
    Defect.SPINS_AFTER_LOST_CLIENTS: ("abandoned_clients.yaml",),
    Defect.LOCKS_READS: ("abandoned_clients.yaml",),
    Defect.MIXES_UP_ANSWERS: ("cross_talk.yaml",),
    Defect.ANSWERS_LOST_SESSIONS_400: ("session_rules.yaml",),
    Defect.STOPS_SESSIONS_BY_CANCELLATION: ("session_rules.yaml",),
    Defect.FORGETS_IDLE_SESSIONS_BADLY: ("session_rules.yaml",),
    Defect.RESETS_IDLE_CONNECTIONS: ("session_rules.yaml",),
    Defect.KEEPS_ENDED_SESSIONS: ("session_rules.yaml",),
    Defect.SLOWS_WITH_EACH_SESSION: ("session_rules.yaml",),
    Defect.NEVER_FORGIVES_BAD_REQUESTS: ("session_rules.yaml",),
    Defect.READS_ONE_PIECE: ("session_rules.yaml", "slow_network.yaml"),
    Defect.LOSES_CALLS_AT_ONCE: ("session_rules.yaml",),
    Defect.STREAMS_TAKE_PLACES: ("session_rules.yaml",),
    Defect.BROADCASTS_ANSWERS: ("session_rules.yaml",),
    Defect.BROADCASTS_UNDELIVERED: ("session_rules.yaml",),
    Defect.BREAKS_ON_SECOND_STREAM: ("session_rules.yaml",),
    Defect.REPLAYS_OTHER_STREAMS: ("session_rules.yaml",),
    Defect.LOCKS_WRITES: ("session_rules.yaml",),
    Defect.KEEPS_LOGS_OF_ENDED_SESSIONS: ("abandoned_clients.yaml",),
    Defect.KEEPS_OPENED_SESSIONS: ("session_rules.yaml",),
    Defect.LEAVES_THREADS: ("session_rules.yaml",),
    Defect.LEAVES_CHILDREN: ("abandoned_clients.yaml",),
    Defect.HEALTH_STAYS_DOWN: ("abandoned_clients.yaml",),
    Defect.HEALTH_SAYS_WELL: ("abandoned_clients.yaml",),
    Defect.WORKS_OFF_THE_ABANDONED: ("server_pause.yaml",),
}
"""Which experiments have to find a defect. Of the other defects, one is found by comparison with earlier runs only
(``slower_by_a_fifth``), and one is no defect of the server (``bypasses_proxy``)."""

_EXPERIMENTS = Path("experiments")
_RUN_LIMIT_S = 300


@dataclass(frozen=True)
class Row:
    """One run.

    Args:
        defect: empty for the sound server.
        experiment: its file.
        verdict: of the run.
        bites: how often the defect bit.
        why: the first reason.
    """

    defect: str
    experiment: str
    verdict: str
    bites: int
    why: str

    @property
    def problem(self) -> str:
        """What is wrong with this row, in words; empty when it is as it should be."""
        if not self.defect:
            return "" if self.verdict != "fail" else "the sound server was accused"
        if not self.bites:
            return "the defect never bit"
        return "" if self.verdict == "fail" else "the defect was missed"


def run(defect: str, experiment: str) -> Row:
    """One run of an experiment, with the quick profile's numbers."""
    with tempfile.TemporaryDirectory(prefix="mcp_chaos_matrix_") as folder:
        bites = Path(folder) / "bites"
        env = {**os.environ, VARIABLE: defect, FILE_VARIABLE: str(bites), "MCP_CHAOS_RUNS": f"{folder}/runs"}
        command = [sys.executable, "-m", "chaostoolkit", "--no-version-check", "--no-log-file", "run"]
        command += ["--journal-path", f"{folder}/journal.json", "--var-file", str(_EXPERIMENTS / "profiles/quick.yaml")]
        said = subprocess.run(
            [*command, str(_EXPERIMENTS / experiment)],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=_RUN_LIMIT_S,
        )
        verdicts = list(Path(folder).glob("runs/*/verdict.json"))
        if not verdicts:
            return Row(defect, experiment, "none", 0, said.stdout[-300:])
        verdict = json.loads(verdicts[0].read_text(encoding="utf-8"))
        count = int(bites.read_text(encoding="utf-8") or 0) if bites.exists() else 0
        return Row(defect, experiment, verdict["verdict"], count, verdict["reasons"][0])


def render(rows: list[Row]) -> str:
    """The rows as ``docs/matrix.md``."""
    lines = [
        "# Which experiment finds which planted defect",
        "",
        f"Written by `make matrix` on {datetime.now(UTC):%Y-%m-%d} with mcp_chaos {__version__}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores, and the numbers of `experiments/profiles/quick.yaml`.",
        "",
        "| planted defect | experiment | verdict | bites | first reason |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.defect or '*(the sound server)*'} | {row.experiment} | {row.verdict} | {row.bites} | "
        f"{row.why.replace('|', '/')[:200]} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run all, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="defects and experiments; all without any")
    parser.add_argument("--defect-runs", type=int, default=3)
    parser.add_argument("--sound-runs", type=int, default=10)
    given = parser.parse_args()
    experiments = sorted(path.name for path in _EXPERIMENTS.iterdir() if path.suffix in (".yaml", ".json"))
    pairs = [(d.value, name) for d, names in FOUND_BY.items() for name in names for _ in range(given.defect_runs)]
    pairs += [("", experiment) for experiment in experiments for _ in range(given.sound_runs)]
    rows = []
    for defect, experiment in pairs:
        if given.names and not {defect, experiment} & set(given.names):
            continue
        rows.append(run(defect, experiment))
        row = rows[-1]
        name = defect or "sound"
        sys.stdout.write(f"{name}, {experiment}: {row.verdict}, {row.bites} bites {row.problem} | {row.why[:160]}\n")
        sys.stdout.flush()
    if not given.names:
        Path("docs/matrix.md").write_text(render(rows), encoding="utf-8")
    return int(any(row.problem for row in rows))


if __name__ == "__main__":
    sys.exit(main())

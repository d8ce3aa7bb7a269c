"""The table of ``docs/targets.md``: a row from a run, and the page from its rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_chaos.history.calls import Outcome, Reason
from mcp_chaos.history.folder import RunFolder

EXPERIMENTS = ("network_partition", "stalled_backend")

HEAD = """# Servers it was tried with

Made by `make targets`, every cell from a run of a shipped experiment against the real server on one machine; CI makes
some of the runs again and compares. *Dialect* is what was found by asking, unless it was set; *faults* counts those
that the canary felt; *sessions lost* those that the server forgot. A *fail* is the server's, and its first reason says
why.

"""


@dataclass(frozen=True)
class Row:
    """What became of one run."""

    server: str
    over: str
    experiment: str
    dialect: str
    calls: int
    ok_fraction: float
    sessions_lost: int
    faults: str
    verdict: str
    why: str


def read_row(server: str, over: str, experiment: str, run: Path) -> Row:
    """The row of a run, from its files."""
    folder = RunFolder.open(run)
    verdict: dict[str, Any] = folder.read("verdict.json")
    calls = folder.calls("sustained")
    faults = verdict["faults"]
    return Row(
        server=server,
        over=over,
        experiment=experiment,
        dialect=folder.read("manifest.json")["dialect"],
        calls=len(calls),
        ok_fraction=float((calls["outcome"] == Outcome.OK).mean()),
        sessions_lost=int((calls["reason"] == Reason.SESSION_LOST).sum()),
        faults=f"{sum(bool(fault['proof']) for fault in faults)} of {len(faults)}",
        verdict=verdict["verdict"],
        why="" if verdict["verdict"] == "pass" else verdict["reasons"][0],
    )


def render(rows: list[Row]) -> str:
    """The page."""
    parts = [HEAD]
    for experiment in EXPERIMENTS:
        parts.append(f"## `{experiment}.yaml`\n\n")
        parts.append("| server | over | dialect | calls | ok | sessions lost | faults | verdict |\n")
        parts.append("| --- | --- | --- | ---: | ---: | ---: | --- | --- |\n")
        for row in rows:
            if row.experiment == experiment:
                verdict = f"**{row.verdict}**" + (f": {row.why}" if row.why else "")
                parts.append(
                    f"| {row.server} | {row.over} | `{row.dialect}` | {row.calls} | {row.ok_fraction:.0%} "
                    f"| {row.sessions_lost} | {row.faults} | {verdict} |\n"
                )
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


def read_rows(path: Path) -> list[Row]:
    """The rows that were kept beside the page."""
    return [Row(**row) for row in json.loads(path.read_text())]

"""Run folders made by hand, for reports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mcp_chaos.history.calls import Lane, Reason
from mcp_chaos.history.events import Event
from mcp_chaos.history.folder import RunFolder
from tests.histories import a_history, every, fault

HOSTILE = "</script><script>window.hacked=1</script>"
START_S = 1_795_000_000


def write_run(
    root: Path,
    title: str = "network partition",
    reason: Reason = Reason.REFUSED,
    more: Sequence[Event] = (),
    seconds: float = 12,
    **manifest: Any,
) -> RunFolder:
    """A run with a partition from 3 to 5 s, in which calls failed; with text that would like to be a script.

    Args:
        root: of runs.
        title: of the experiment.
        reason: why the calls failed.
        more: events, such as other faults.
        seconds: how long it takes.
        manifest: what else is in it.
    """
    at = START_S
    rows = [
        *every(0.1, at, at + 3),
        *every(0.1, at + 3, at + 5, reason=reason),
        *every(0.1, at + 5, at + seconds, took_ms=20),
        *every(0.5, at, at + seconds, lane=Lane.CONTROL, took_ms=5),
    ]
    made = a_history(
        rows,
        [*fault(at + 3, at + 5, proof=f"refused {HOSTILE}"), *more],
        {"recovery": ["success_fraction >= 0.99"], "fault": ["success_fraction >= 0"]},
        (at, at + seconds),
    )
    folder = RunFolder.create(root, title)
    folder.write_manifest(
        {
            **made.manifest,
            "experiment": title,
            "target": HOSTILE,
            "command": "chaos run x.yaml",
            "run_id": folder.run_id,
            **manifest,
        },
    )
    for event in made.events:
        folder.event(event.at_ns, event.kind, **event.data)
    made.calls["sustained"].tofile(folder.calls_path("sustained"))
    operations = [{"tool": HOSTILE}]
    folder.write("load-sustained.json", {"workload": {"kinds": [{"name": "x", "operations": operations}]}})
    return folder

"""What judgements of a run are made from, read back from its files."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mcp_chaos.history.bad_answers import BadAnswer
from mcp_chaos.history.calls import Calls
from mcp_chaos.history.events import Event
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.server_samples import ProcessSample, SelfReport

_NAMED_AFTER = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class History:
    """All of a run that judgements are made from.

    Args:
        manifest: what the run was told.
        events: in the order of their time.
        calls: by load name.
        expected_calls: how many the result of each load counted; a load that was killed has none.
        deadlines_s: of the calls of each load, where it is known.
        bad_answers: the first bad answers to the calls of each load.
        process_samples: what the server's process held; empty where it could not be seen.
        self_reports: what the server said of itself; empty where it says nothing.
    """

    manifest: dict[str, Any]
    events: list[Event]
    calls: dict[str, Calls]
    expected_calls: dict[str, int] = field(default_factory=dict)
    deadlines_s: dict[str, float] = field(default_factory=dict)
    bad_answers: dict[str, list[BadAnswer]] = field(default_factory=dict)
    process_samples: list[ProcessSample] = field(default_factory=list)
    self_reports: list[SelfReport] = field(default_factory=list)

    @classmethod
    def read(cls, folder: RunFolder) -> "History":
        """Read it back from the files of a run, finished or killed.

        Raises:
            HistoryError: the files are not those of a run.
        """
        manifest, events = folder.manifest(), folder.events()
        names = folder.load_names(events)
        counted = {load: folder.expected_calls(load) for load in names}
        expected = {load: count for load, count in counted.items() if count is not None}
        deadlines = {load: folder.deadline_s(load) for load in names}
        known = {load: deadline_s for load, deadline_s in deadlines.items() if deadline_s is not None}
        bad_answers = {load: folder.bad_answers(load) for load in names}
        return cls(
            manifest,
            events,
            {load: folder.calls(load) for load in names},
            expected,
            known,
            bad_answers,
            folder.process_samples(),
            folder.self_reports(),
        )


def began_ns(folder: RunFolder, history: History) -> int:
    """When a run began: at its first event, or where it has none when its folder was made, as its name tells."""
    if history.events:
        return history.events[0].at_ns
    moment = folder.run_id.partition("-")[0]
    try:
        made = datetime.strptime(moment, _NAMED_AFTER).replace(tzinfo=UTC)
    except ValueError:  # somebody gave it another name
        return (folder.path / "manifest.json").stat().st_mtime_ns
    return round(made.timestamp() * 1e3) * 1_000_000

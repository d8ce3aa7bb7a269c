"""What happened in a run: calls, events and observations, append-only, as files in one folder.

The history comes first. Every judgement is a pure function of it and can be made again from the files, also when
the run was killed: a torn last line or record is left out, all before it is kept.

The files of a run folder are described in ``docs/run-folder.md``; ``history/schemas`` has JSON Schemas of them.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from mcp_chaos import __version__
from mcp_chaos.errors import HistoryError, UnwrittenError
from mcp_chaos.history import strict_json
from mcp_chaos.history.bad_answers import BadAnswer
from mcp_chaos.history.calls import CALL, Calls, read_calls
from mcp_chaos.history.event_kinds import KINDS, is_valid
from mcp_chaos.history.events import Event
from mcp_chaos.history.files import to_json, write_atomically
from mcp_chaos.history.formats import FORMAT, as_current
from mcp_chaos.history.json_lines import JsonLines
from mcp_chaos.history.regular_file import read_regular
from mcp_chaos.history.server_samples import ProcessSample, SelfReport

_MOST_S = 1e9
_MAX_JSON_BYTES = 64 * 1024 * 1024

_MAPPINGS = ("assumptions", "numbers", "toxiproxy", "versions")
"""What is a mapping in a manifest, where it is there at all."""

_LOAD_NAME = re.compile(r"[\w-]{1,200}")
_MAX_LOAD_NAME_BYTES = 200
"""A file's name has at most 255, and a load's is a part of several."""


def can_name_a_load(name: object) -> bool:
    """Whether the files of a load can have this name."""
    return isinstance(name, str) and bool(_LOAD_NAME.fullmatch(name)) and len(name.encode()) <= _MAX_LOAD_NAME_BYTES


class RunFolder:
    """The files of one run.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events_file = JsonLines(path / "events.jsonl")
        self.observations_file = JsonLines(path / "observations.jsonl")
        self._server_process_file = JsonLines(path / "server-process.jsonl")
        self._server_says_file = JsonLines(path / "server-says.jsonl")
        self.recorded: list[Event] = []
        self._write_error = ""

    @classmethod
    def create(cls, root: Path, experiment: str) -> "RunFolder":
        """A new folder ``<UTC time>-<experiment>`` below ``root``.

        Raises:
            HistoryError: the folder cannot be made; nothing was started.
        """
        slug = re.sub(r"[^a-z0-9]+", "-", experiment.lower()).strip("-")[:60] or "experiment"
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"
        path = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            for number in count(1):  # another run of this name may begin in the same millisecond
                path = root.resolve() / (f"{moment}-{slug}" if number == 1 else f"{moment}-{slug}-{number}")
                with suppress(FileExistsError):
                    path.mkdir()
                    break
        except OSError as error:
            raise HistoryError(
                f"The folder for this run cannot be made: {path} ({error.strerror}). Nothing was started. "
                "Set MCP_CHAOS_RUNS to a folder that can be written."
            ) from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """The folder of an earlier run.

        Raises:
            HistoryError: it is not one.
        """
        if not (path / "manifest.json").is_file():
            raise HistoryError(f"{path} is not a run folder: it has no manifest.json. Runs are kept in runs/.")
        return cls(path.resolve())

    @property
    def run_id(self) -> str:
        """The name of the folder, unique per run."""
        return self.path.name

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file of the run.

        Raises:
            UnwrittenError: it cannot be written.
        """
        try:
            write_atomically(self.path / name, to_json(value))
        except OSError as error:
            raise self._unwritten(error) from None

    def check_written(self) -> None:
        """Check that all that this process recorded is in the files.

        Raises:
            UnwrittenError: something is not, so that the run proves nothing.
        """
        if self._write_error:
            raise UnwrittenError(self._write_error)

    def read(self, name: str) -> Any:
        """Read a JSON file of the run.

        Raises:
            HistoryError: it is missing or not JSON.
        """
        try:
            return strict_json.parse(read_regular(self.path / name, _MAX_JSON_BYTES).decode("utf-8"))
        except (OSError, ValueError) as error:
            raise HistoryError(f"{self.path / name} cannot be read ({error}). The run was left as it is.") from None

    def write_manifest(self, facts: Mapping[str, Any]) -> None:
        """Write what the run was told, with the format of the folder and the version that writes it.

        Raises:
            UnwrittenError: it cannot be written.
        """
        self.write("manifest.json", {"format": FORMAT, "mcp_chaos": __version__, **facts})

    def manifest(self) -> dict[str, Any]:
        """What the run was told, as the current format has it.

        Raises:
            HistoryError: it is missing or damaged, or of a format that is not read.
        """
        manifest = self.read("manifest.json")
        if not isinstance(manifest, dict):
            raise HistoryError(f"{self.path / 'manifest.json'} is damaged: it is no mapping. It was left as it is.")
        manifest = as_current(manifest, self.path)
        if "thresholds" not in manifest:
            raise HistoryError(f"{self.path / 'manifest.json'} has no thresholds, so the run cannot be judged.")
        wrong = [name for name in _MAPPINGS if not isinstance(manifest.get(name) or {}, dict)]
        if wrong:
            raise HistoryError(
                f"{self.path / 'manifest.json'} is damaged: '{wrong[0]}' is no mapping. It was left as it is."
            )
        return manifest

    def event(self, at_ns: int, kind: str, **data: Any) -> Event:
        """Append an event and return it.

        One that cannot be written stands in the way of nothing, see ``check_written``; but for those that tell what is
        about to be changed, which whoever cleans up after this process has to find.

        Raises:
            UnwrittenError: it is one of these.
        """
        event = Event(at_ns, kind, data)
        try:
            self.events_file.append({"at_ns": at_ns, "kind": kind, **data})
        except OSError as error:
            unwritten = self._unwritten(error)
            if kind in KINDS and KINDS[kind].is_promise:
                raise unwritten from None
        self.recorded.append(event)
        return event

    def observation(self, at_ns: int, probe: str, reading: Any) -> None:
        """Append the reading of a probe; as with events, one that cannot be written stands in the way of nothing."""
        self._append(self.observations_file, {"at_ns": at_ns, "probe": probe, "reading": reading})

    def server_sample(self, sample: ProcessSample | SelfReport) -> None:
        """Append what was seen of the server; one that cannot be written stands in the way of nothing."""
        file = self._server_process_file if isinstance(sample, ProcessSample) else self._server_says_file
        self._append(file, sample.to_json())

    def _append(self, file: JsonLines, record: dict[str, Any]) -> None:
        try:
            file.append(record)
        except OSError as error:
            self._unwritten(error)

    def process_samples(self) -> list[ProcessSample]:
        """What the server's process held, in the order of time.

        Raises:
            HistoryError: a line is something else.
        """
        return _whole(self._server_process_file, ProcessSample.from_json)

    def self_reports(self) -> list[SelfReport]:
        """What the server said of itself, in the order of time.

        Raises:
            HistoryError: a line is something else.
        """
        return _whole(self._server_says_file, SelfReport.from_json)

    def readable_events(self) -> list[Event]:
        """The events that can be read, in the order of their time, for whoever has to clean up after a run."""
        found = [Event(r.pop("at_ns", None), r.pop("kind", None), r) for r in self.events_file.readable()]
        return sorted((event for event in found if is_valid(event)), key=lambda event: event.at_ns)

    def _unwritten(self, error: OSError) -> UnwrittenError:
        self._write_error = self._write_error or (
            f"The files of the run in {self.path} could not be written ({error.strerror}), so it proves nothing. "
            "What it had changed was taken back, and all that it had started was ended. Make room, and run it again."
        )
        return UnwrittenError(self._write_error)

    def events(self) -> list[Event]:
        """All events in the order of their time.

        Raises:
            HistoryError: one of them is not what an event of its kind is.
        """
        found = []
        for record in self.events_file.read():
            event = Event(record.pop("at_ns", None), record.pop("kind", None), record)
            if not is_valid(event):
                raise HistoryError(
                    f"{self.events_file.path} has an event that is not whole: {event.kind!r} at {event.at_ns!r}. "
                    "The run was left as it is."
                )
            found.append(event)
        return sorted(found, key=lambda event: event.at_ns)

    def calls_path(self, load: str, worker: int = 0) -> Path:
        """Where the calls are that one process of a load made."""
        return self.path / (f"calls-{load}.{worker}.bin" if worker else f"calls-{load}.bin")

    def calls_paths(self, load: str) -> list[Path]:
        """The files with calls of a load that are there."""
        return [p for p in (self.calls_path(load), *sorted(self.path.glob(f"calls-{load}.*.bin"))) if p.exists()]

    def calls(self, load: str) -> Calls:
        """The calls of a load in the order they ended, of all its processes; a torn last record is left out."""
        parts = [read_calls(path) for path in self.calls_paths(load)]
        if len(parts) == 1:
            return parts[0]
        merged = np.concatenate(parts) if parts else np.empty(0, dtype=CALL)
        return merged[np.argsort(merged["done_ns"], kind="stable")]

    def expected_calls(self, load: str) -> int | None:
        """How many calls the result of a load counted; ``None`` where there is no result, as of a load that was killed.

        Raises:
            HistoryError: the result has no such count.
        """
        name = f"result-{load}.json"
        if not (self.path / name).exists():
            return None
        result = self.read(name)
        summary = result.get("summary") if isinstance(result, dict) else None
        count = summary.get("calls") if isinstance(summary, dict) else None
        if type(count) is not int or count < 0:
            raise HistoryError(f"{self.path / name} does not say how many calls were made. It was left as it is.")
        return count

    def bad_answers_file(self, load: str) -> JsonLines:
        """Where the first bad answers to calls of a load are."""
        return JsonLines(self.path / f"bad-answers-{load}.jsonl")

    def bad_answers(self, load: str) -> list[BadAnswer]:
        """The first bad answers to calls of a load.

        Raises:
            HistoryError: one of them is something else.
        """
        return _whole(self.bad_answers_file(load), BadAnswer.from_json)

    def deadline_s(self, load: str) -> float | None:
        """The deadline of the calls of a load; ``None`` where its record is not there or does not say."""
        try:
            record = self.read(f"load-{load}.json")
        except HistoryError:
            return None
        found = record.get("deadline_s") if isinstance(record, dict) else None
        if not isinstance(found, int | float) or isinstance(found, bool) or not 0 < found < _MOST_S:
            return None
        return float(found)

    def load_names(self, events: Iterable[Event]) -> list[str]:
        """The loads that events of the run tell of, in the order they were started.

        Raises:
            HistoryError: one of them has a name that names no file.
        """
        names = [str(event.data["load"]) for event in events if event.kind == "load_started"]
        for name in names:
            if not _LOAD_NAME.fullmatch(name):
                raise HistoryError(
                    f"{self.events_file.path} has a load that cannot be named {name[:80]!r}. The run was left as it is."
                )
        return names


_Record = TypeVar("_Record")


def _whole(file: JsonLines, read: Callable[[dict[str, Any]], _Record | None]) -> list[_Record]:
    """The records of a file.

    Raises:
        HistoryError: a line is something else.
    """
    found = [read(record) for record in file.read()]
    whole = [record for record in found if record is not None]
    if len(whole) < len(found):
        raise HistoryError(f"{file.path} has a line that does not belong there. The run was left as it is.")
    return whole

"""Calls on their way to disk, and back from there in parts."""

from collections.abc import Iterator
from pathlib import Path

from mcp_chaos.history.calls import Calls, in_parts
from mcp_chaos.history.folder import RunFolder


class CallsFile:
    """Calls on their way to disk: gathered in memory, written when flushed.

    Args:
        path: the file, made anew.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._pending = bytearray()

    def write(self, record: bytes) -> None:
        """Take a packed call."""
        self._pending += record

    def flush(self) -> None:
        """Write what is pending."""
        while self._pending:
            del self._pending[: self._file.write(self._pending)]

    def close(self) -> None:
        """Write the rest."""
        try:
            self.flush()
        finally:
            self._file.close()


class StepReader:
    """Reads the calls of a load step by step, from the files of all its processes.

    Args:
        folder: of the run.
        load: its name.
    """

    def __init__(self, folder: RunFolder, load: str) -> None:
        self._folder = folder
        self._load = load
        self._read: dict[Path, int] = {}

    def take(self) -> Iterator[Calls]:
        """What was written since this was last asked, in parts."""
        for path in self._folder.calls_paths(self._load):
            for part in in_parts(path, self._read.get(path, 0)):
                self._read[path] = self._read.get(path, 0) + len(part)
                yield part

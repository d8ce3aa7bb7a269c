"""Append-only files of JSON lines."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mcp_chaos.errors import HistoryError
from mcp_chaos.history import strict_json
from mcp_chaos.history.regular_file import read_regular

_MAX_BYTES = 512 * 1024 * 1024


class JsonLines:
    """An append-only file of JSON lines, safe to write from threads; each line is one ``write`` call.

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None

    def hold(self, descriptor: int) -> None:
        """Read from an open file where the path is gone, as when the folder of a run has been removed."""
        self._held = descriptor

    def append(self, record: dict[str, Any]) -> None:
        """Add one line. Processes may share the file: ``O_APPEND`` keeps lines whole.

        Raises:
            OSError: it cannot be written; what was written of it was taken back.
        """
        line = json.dumps(record, sort_keys=True, allow_nan=False, default=str).encode() + b"\n"
        # What somebody has put in its place must not be waited for (O_NONBLOCK: a pipe that nobody reads).
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o644)
        try:
            left = line
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            _take_back(descriptor, len(line) - len(left))
            raise
        finally:
            os.close(descriptor)

    def read(self) -> Iterator[dict[str, Any]]:
        """The records in order; a last line without its end is left out.

        Raises:
            HistoryError: it cannot be read, or a line in the middle is not a JSON object.
        """
        for number, line in enumerate(self._lines(), start=1):
            record = _record_of(line)
            if record is None:
                raise HistoryError(f"{self.path}, line {number}, is not a JSON object. The run was left as it is.")
            yield record

    def readable(self) -> list[dict[str, Any]]:
        """The records that can be read, whatever else is in the file, for whoever has to clean up after it."""
        try:
            return [record for line in self._lines() if (record := _record_of(line)) is not None]
        except HistoryError:
            return []

    def _lines(self) -> list[bytes]:
        """The lines that have an end."""
        try:
            if self.path.exists():
                return read_regular(self.path, _MAX_BYTES).split(b"\n")[:-1]
            if self._held is not None:
                return os.pread(self._held, os.fstat(self._held).st_size, 0).split(b"\n")[:-1]
        except OSError as error:
            raise HistoryError(f"{self.path} cannot be read ({error}). The run was left as it is.") from None
        return []


def _take_back(descriptor: int, written_bytes: int) -> None:
    """Cut off the beginning of a line that could not be written to its end, unless somebody has gone on after it."""
    with suppress(OSError):
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        if written_bytes and os.fstat(descriptor).st_size == end:
            os.ftruncate(descriptor, end - written_bytes)


def _record_of(line: bytes) -> dict[str, Any] | None:
    try:
        record = strict_json.parse(line.decode("utf-8"))
    except ValueError:
        return None
    return record if isinstance(record, dict) else None

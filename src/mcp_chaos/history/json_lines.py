"""Append-only files of JSON lines."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcp_chaos.errors import HistoryError
from mcp_chaos.history import strict_json


class JsonLines:
    """An append-only file of JSON lines, safe to write from threads; each line is one ``write`` call.

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: dict[str, Any]) -> None:
        """Add one line. Processes may share the file: ``O_APPEND`` keeps lines whole."""
        line = json.dumps(record, sort_keys=True, allow_nan=False, default=str).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            while line:
                line = line[os.write(descriptor, line) :]
        finally:
            os.close(descriptor)

    def read(self) -> Iterator[dict[str, Any]]:
        """The records in order; a last line without its end is left out.

        Raises:
            HistoryError: it cannot be read, or a line in the middle is not a JSON object.
        """
        try:
            lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        except OSError as error:
            raise HistoryError(f"{self.path} cannot be read ({error}). The run was left as it is.") from None
        for number, line in enumerate(lines[:-1], start=1):
            record = _record_of(line)
            if record is None:
                raise HistoryError(f"{self.path}, line {number}, is not a JSON object. The run was left as it is.")
            yield record


def _record_of(line: bytes) -> dict[str, Any] | None:
    try:
        record = strict_json.parse(line.decode("utf-8"))
    except ValueError:
        return None
    return record if isinstance(record, dict) else None

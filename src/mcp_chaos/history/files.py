"""How a run's files are written."""

import json
import os
import threading
from pathlib import Path
from typing import Any


def to_json(value: Any) -> str:
    """JSON with sorted keys and no NaN: an invalid number is a bug here, not in whoever reads the file."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, default=str) + "\n"


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new text, never half of it.

    A device or a pipe stays what it is, and is written to.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8", errors="replace")
        return
    path = path.resolve()  # a link stays one
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    temporary.write_text(text, encoding="utf-8", errors="replace")
    temporary.replace(path)

"""Writes workload files."""

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes what a workload file holds, as JSON or as bytes; the file's path."""

    def written(content: Any, name: str = "w.yaml") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(path)

    return written

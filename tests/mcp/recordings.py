"""Recorded exchanges with servers of the official SDK, headers and bodies, as Python literals in text files."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "recordings"
FILES = sorted(path.stem for path in FOLDER.glob("*.txt"))


@dataclass(frozen=True)
class Exchange:
    """One request and its answer."""

    title: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    headers: dict[str, str]
    body: bytes


def exchanges(name: str) -> dict[str, Exchange]:
    """The exchanges of one recording by title."""
    return {exchange.title: exchange for exchange in _parse((FOLDER / f"{name}.txt").read_text(encoding="utf-8"))}


def _parse(text: str) -> Iterator[Exchange]:
    for block in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        lines = block.splitlines()
        answer = next((i for i, line in enumerate(lines) if re.match(r"\s+<- \d{3} \{", line)), None)
        if answer is None or not lines[1].strip().startswith("req-headers"):
            continue
        status, headers = lines[answer].strip().removeprefix("<- ").split(" ", 1)
        yield Exchange(
            title=lines[0].strip(),
            request_headers=ast.literal_eval(lines[1].split(":", 1)[1].strip()),
            request_body=lines[2].split(":", 1)[1].strip(),
            status=int(status),
            headers={name.lower(): value for name, value in ast.literal_eval(headers).items()},
            body=ast.literal_eval(lines[answer + 1].strip()).encode(),
        )

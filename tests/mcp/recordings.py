"""Recorded exchanges with servers of the official SDK, headers and bodies, as Python literals in text files."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcp_chaos.mcp.event_stream import EventStream
from mcp_chaos.mcp.message import Message, parse_message

FOLDER = Path(__file__).parent / "recordings"
FILES = sorted(path.stem for path in FOLDER.glob("*.txt") if "modern" not in path.stem)
MODERN = sorted(path.stem for path in FOLDER.glob("*modern*.txt"))


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


def answers(name: str) -> dict[str, Exchange]:
    """The answers of a recording of the stateless era by title; it tells nothing of the requests."""
    found = {}
    for block in re.split(r"^## ", (FOLDER / f"{name}.txt").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head = re.match(r"(.+) -> (\d{3}) (\{.*\})\n\s+(.+)", block)
        if head is not None:
            title, status, headers, body = head.groups()
            found[title] = Exchange(
                title, {}, "", int(status), ast.literal_eval(headers), ast.literal_eval(body).encode()
            )
    return found


def message_of(exchange: Exchange) -> Message | None:
    """The JSON-RPC response in an answer, from a body or from a stream."""
    kind = exchange.headers.get("content-type", "")
    if kind.startswith("text/event-stream"):
        found = [parse_message(data) for data in EventStream().feed(exchange.body)]
        return next((m for m in found if m is not None and "method" not in m), None)
    return parse_message(exchange.body) if kind.startswith("application/json") else None

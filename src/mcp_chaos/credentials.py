"""Headers that carry credentials: from the environment or a file, and never in anything that is kept.

    MCP_TOKEN        a bearer token
    MCP_TOKEN_FILE   a file that holds one
    MCP_HEADERS      a JSON object of headers, such as {"X-Api-Key": "..."}

Every process of a run reads them for itself: they are in no experiment, whose configuration goes into Chaos Toolkit's
journal, in no file of the run, and on no command line.
"""

import json
import os
import re
from pathlib import Path

from mcp_chaos.errors import UsageError

TOKEN = "MCP_TOKEN"
TOKEN_FILE = "MCP_TOKEN_FILE"
HEADERS = "MCP_HEADERS"
VARIABLES = (TOKEN, TOKEN_FILE, HEADERS)

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?")
_OURS = frozenset(
    {"host", "content-length", "content-type", "accept", "transfer-encoding", "connection", "upgrade"}
    | {"mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"}
)
_MOST_BYTES = 16 * 1024
_SHORTEST_SECRET = 4


def credential_headers() -> list[tuple[str, str]]:
    """The headers that every request to the server carries besides.

    Raises:
        UsageError: with every problem at once, none of which shows a secret.
    """
    problems: list[str] = []
    headers = _given_headers(problems)
    token = _token(problems)
    if token:
        if any(name.lower() == "authorization" for name, _ in headers):
            problems.append(
                f"{HEADERS} has Authorization, and {TOKEN} or {TOKEN_FILE} gives a token; unset one of them"
            )
        headers.append(("Authorization", f"Bearer {token}"))
    problems += [problem for name, value in headers for problem in _header_problems(name, value)]
    if problems:
        raise UsageError(problems, "The credentials cannot be used, and nothing was started")
    return headers


def redacted(text: str) -> str:
    """A text of the server's without the credentials it was sent, which some servers repeat in their errors."""
    try:
        values = [value for _, value in credential_headers()]
    except UsageError:
        return text
    for value in values:
        for secret in (value, value.removeprefix("Bearer ")):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "[redacted]")
    return text


def _token(problems: list[str]) -> str:
    token, path = os.environ.get(TOKEN, "").strip(), os.environ.get(TOKEN_FILE, "").strip()
    if token and path:
        problems.append(f"{TOKEN} and {TOKEN_FILE} are both given; unset one of them")
    if not path:
        return token
    try:
        return _read(Path(path)).strip()
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{TOKEN_FILE}: {path} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})")
        return ""


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES).decode("ascii")


def _given_headers(problems: list[str]) -> list[tuple[str, str]]:
    text = os.environ.get(HEADERS, "").strip()
    if not text:
        return []
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        problems.append(f'{HEADERS}: a JSON object of texts is needed, such as {{"X-Api-Key": "..."}}')
        return []
    return list(found.items())


def _header_problems(name: str, value: str) -> list[str]:
    if not _NAME.fullmatch(name):
        return [f"{HEADERS}: {name!r} is not the name of a header"]
    if name.lower() in _OURS:
        return [f"{HEADERS}: {name} is made by the protocol and cannot be given"]
    return [] if _VALUE.fullmatch(value) else [f"the value of {name} is not one that a header can have"]

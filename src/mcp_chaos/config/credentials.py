"""Headers that carry credentials: from the environment or a file, and never in anything that is kept.

    MCP_TOKEN        a bearer token
    MCP_TOKEN_FILE   a file that holds one
    MCP_HEADERS      a JSON object of headers, such as {"X-Api-Key": "..."}
    MCP_OAUTH_...    a client whose tokens are got from an authorization server (``oauth.py``)

Every process of a run reads them for itself: they are in no experiment, whose configuration goes into Chaos Toolkit's
journal, in no file of the run, and on no command line.
"""

import os
import re
from pathlib import Path

from mcp_chaos.config import oauth
from mcp_chaos.errors import UsageError
from mcp_chaos.history import strict_json
from mcp_chaos.history.regular_file import read_regular

TOKEN = "MCP_TOKEN"
TOKEN_FILE = "MCP_TOKEN_FILE"
HEADERS = "MCP_HEADERS"
VARIABLES = (TOKEN, TOKEN_FILE, HEADERS, *oauth.VARIABLES)

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?")
_OURS = frozenset(
    {"host", "content-length", "content-type", "accept", "transfer-encoding", "connection", "upgrade"}
    | {"mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"}
)
_MOST_BYTES = 16 * 1024
_SHORTEST_SECRET = 4
_OFTEN_S = 0.5
_FILE_AGE_S = 30.0


def credential_headers() -> list[tuple[str, str]]:
    """The headers that every request to the server carries besides.

    Raises:
        UsageError: with every problem at once, none of which shows a secret.
        TargetError: an authorization server gives no token.
    """
    problems = credential_problems()
    if problems:
        raise UsageError(problems, "The credentials cannot be used, and nothing was started")
    headers = _given_headers([])
    token = oauth.token() if oauth.is_wanted() else _token([])
    return [*headers, ("Authorization", f"Bearer {token}")] if token else headers


def credential_problems() -> list[str]:
    """What is wrong with the credentials as they are given, in words that show no secret; nobody is asked."""
    problems: list[str] = []
    headers = _given_headers(problems)
    token = _token(problems)
    if oauth.is_wanted():
        problems += oauth.problems()
        if token:
            problems.append(f"MCP_OAUTH_... gets a token, and {TOKEN} or {TOKEN_FILE} gives one; unset one of them")
    if (token or oauth.is_wanted()) and any(name.lower() == "authorization" for name, _ in headers):
        problems.append(f"{HEADERS} has Authorization, and a token is given or got besides; unset one of them")
    given = [*headers, *([("Authorization", f"Bearer {token}")] if token else [])]
    return problems + [problem for name, value in given for problem in _header_problems(name, value)]


def fresh_for_s() -> float | None:
    """After how long the headers should be made anew; ``None`` when they stay as they are."""
    if oauth.is_wanted():
        return max(_OFTEN_S, oauth.valid_for_s())
    return _FILE_AGE_S if os.environ.get(TOKEN_FILE, "").strip() else None


def redacted(text: str) -> str:
    """A text of the server's without the credentials it was sent, which some servers repeat in their errors."""
    values = [*(value for _, value in _given_headers([])), *filter(None, [_token([])]), *oauth.known_secrets()]
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
    return read_regular(path, _MOST_BYTES).decode("ascii")


def _given_headers(problems: list[str]) -> list[tuple[str, str]]:
    text = os.environ.get(HEADERS, "").strip()
    if not text:
        return []
    try:
        found = strict_json.parse(text)
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

"""Tokens by OAuth 2.0 client credentials: got when they are needed first, and anew before they expire.

    MCP_OAUTH_TOKEN_URL            the token endpoint of the authorization server
    MCP_OAUTH_CLIENT_ID            who asks
    MCP_OAUTH_CLIENT_SECRET        its secret, or
    MCP_OAUTH_CLIENT_SECRET_FILE   a file that holds it
    MCP_OAUTH_SCOPE                what is asked for; empty for what the client is given anyway
    MCP_OAUTH_RESOURCE             the MCP server the token is for, where the authorization server wants to know

Source: RFC 6749, section 4.4 (the grant) and 2.3.1 (the client's secret by HTTP Basic); RFC 8707 (``resource``).
"""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx

from mcp_chaos.config.tls import context_for
from mcp_chaos.errors import TargetError
from mcp_chaos.history.regular_file import read_regular
from mcp_chaos.machine.exchange import fetch
from mcp_chaos.machine.printable import printable

TOKEN_URL = "MCP_OAUTH_TOKEN_URL"
CLIENT_ID = "MCP_OAUTH_CLIENT_ID"
CLIENT_SECRET = "MCP_OAUTH_CLIENT_SECRET"  # the name of a variable
CLIENT_SECRET_FILE = "MCP_OAUTH_CLIENT_SECRET_FILE"
SCOPE = "MCP_OAUTH_SCOPE"
RESOURCE = "MCP_OAUTH_RESOURCE"
VARIABLES = (TOKEN_URL, CLIENT_ID, CLIENT_SECRET, CLIENT_SECRET_FILE, SCOPE, RESOURCE)

_TIMEOUT_S = 10.0
_MARGIN_S = 30.0
_SHORTEST_S = 1.0
_WITHOUT_EXPIRY_S = 3600.0
_MOST_BYTES = 16 * 1024


@dataclass(frozen=True)
class _Token:
    value: str
    until_s: float


_lock = threading.Lock()
_tokens: dict[tuple[str, ...], _Token] = {}


def is_wanted() -> bool:
    """Whether anything of OAuth is set."""
    return any(_given(name) for name in VARIABLES)


def problems() -> list[str]:
    """What is wrong with the settings, in words that show no secret; nobody is asked."""
    if not is_wanted():
        return []
    found = [
        f"{name} is needed, as others of MCP_OAUTH_... are given" for name in (TOKEN_URL, CLIENT_ID) if not _given(name)
    ]
    if bool(_given(CLIENT_SECRET)) == bool(_given(CLIENT_SECRET_FILE)):
        found.append(f"one of {CLIENT_SECRET} and {CLIENT_SECRET_FILE} is needed, and not both")
    if _given(TOKEN_URL) and not _may_have_the_secret(_given(TOKEN_URL)):
        found.append(f"{TOKEN_URL}: a URL with https is needed, for a secret is sent there")
    if _given(CLIENT_SECRET_FILE):
        found += _file_problems(Path(_given(CLIENT_SECRET_FILE)))
    return found


def _may_have_the_secret(url: str) -> bool:
    try:
        where = urlsplit(url)
        is_there = bool(where.hostname) and where.port != 0
    except ValueError:
        return False
    is_here = where.hostname in ("localhost", "127.0.0.1", "::1")
    return is_there and url.isascii() and (where.scheme == "https" or (where.scheme == "http" and is_here))


def token() -> str:
    """A token that is valid for a while yet.

    Raises:
        TargetError: the authorization server gives none; says why.
    """
    key = tuple(_given(name) for name in VARIABLES)
    with _lock:
        known = _tokens.get(key)
        if known is None or known.until_s <= time.monotonic():
            known = _tokens[key] = _ask()
        return known.value


def known_secrets() -> list[str]:
    """What must not be shown: the tokens that were got, and the client's secret."""
    return [*(known.value for known in _tokens.values()), *filter(None, [_given(CLIENT_SECRET)])]


def valid_for_s() -> float:
    """How long the token of now is good for; 0 when there is none."""
    known = _tokens.get(tuple(_given(name) for name in VARIABLES))
    return max(0.0, known.until_s - time.monotonic()) if known else 0.0


def _ask() -> _Token:
    url = _given(TOKEN_URL)
    form = {"grant_type": "client_credentials", "scope": _given(SCOPE), "resource": _given(RESOURCE)}
    try:
        answer = fetch(
            "POST",
            url,
            _TIMEOUT_S,
            client={"verify": context_for(url)},
            data={key: value for key, value in form.items() if value},
            auth=(quote(_given(CLIENT_ID), safe=""), quote(_secret(), safe="")),
            headers={"Accept": "application/json"},
        )
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError) as error:
        raise TargetError(f"No token could be got from {TOKEN_URL} ({_without_query(url)}): {error}.") from None
    return _taken(url, answer.status_code, body if isinstance(body, dict) else {})


def _taken(url: str, status: int, body: dict[str, object]) -> _Token:
    value, kind = body.get("access_token"), str(body.get("token_type", "bearer"))
    if status != 200 or not isinstance(value, str) or not value or kind.lower() != "bearer":
        said = ": ".join(printable(str(body[key]))[:200] for key in ("error", "error_description") if key in body)
        for secret in known_secrets():
            said = said.replace(secret, "[redacted]")
        raise TargetError(
            f"{TOKEN_URL} ({_without_query(url)}) gave no bearer token: HTTP {status}{f', {said}' if said else ''}. "
            f"See that {CLIENT_ID}, its secret and {SCOPE} are right."
        )
    expires = body.get("expires_in")
    good_s = float(expires) if isinstance(expires, int | float) and expires > 0 else _WITHOUT_EXPIRY_S
    # A token that hardly lives longer than the margin is used for half its life.
    return _Token(value, time.monotonic() + max(_SHORTEST_S, good_s - _MARGIN_S, good_s / 2))


def _secret() -> str:
    path = _given(CLIENT_SECRET_FILE)
    return read_regular(Path(path), _MOST_BYTES).decode("utf-8").strip() if path else _given(CLIENT_SECRET)


def _file_problems(path: Path) -> list[str]:
    try:
        read_regular(path, _MOST_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [f"{CLIENT_SECRET_FILE}: {path} cannot be read ({getattr(error, 'strerror', None) or 'it is not text'})"]
    return []


def _given(name: str) -> str:
    return os.environ.get(name, "").strip()


def _without_query(url: str) -> str:
    return urlsplit(url)._replace(query="").geturl()

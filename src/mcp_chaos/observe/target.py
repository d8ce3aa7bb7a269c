"""What is known of a target before it is loaded: that it answers, and which call to make."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from mcp_chaos.config.credentials import credential_headers, redacted
from mcp_chaos.config.tls import context_for
from mcp_chaos.errors import TargetError
from mcp_chaos.history.calls import Reason
from mcp_chaos.machine.exchange import fetch
from mcp_chaos.machine.printable import printable
from mcp_chaos.mcp import McpCall
from mcp_chaos.observe.advice import REPLICAS
from mcp_chaos.observe.client import McpClient
from mcp_chaos.observe.transport import server_name


@dataclass(frozen=True)
class Health:
    """The answer of ``/health``.

    Args:
        status: what the server says, ``healthy`` when all is well; ``unreachable`` when it says nothing.
        http_status: of HTTP, 0 when there was no answer.
    """

    status: str
    http_status: int


def read_health(url: str, deadline_s: float, host_header: str | None = None) -> Health:
    """Ask ``/health``. A server that does not answer is a reading too, not an error."""
    try:
        answer = _get(url, deadline_s, host_header)
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
    except (httpx.HTTPError, ValueError):
        return Health("unreachable", 0)
    status = body.get("status") if isinstance(body, dict) else None
    status = redacted(str(status or ("healthy" if answer.status_code == 200 else "unknown")))
    return Health(status, answer.status_code)


def read_status(url: str, deadline_s: float, host_header: str | None = None) -> dict[str, Any]:
    """The counters of ``/status``; empty when there are none, or when a credential is among them."""
    try:
        body = _get(url, deadline_s, host_header).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return body if isinstance(body, dict) and redacted(json.dumps(body)) == json.dumps(body) else {}


def list_tools(url: str, dialect: str, deadline_s: float) -> list[dict[str, Any]]:
    """The tools that a server offers.

    Raises:
        TargetError: it does not answer, or does not list them.
    """
    with McpClient(url, dialect, deadline_s) as client:
        client.open()
        return client.list_tools()


def check_offered(url: str, tools: Sequence[dict[str, Any]], wanted: Iterable[str], where: str) -> None:
    """Check that a server offers some tools.

    Raises:
        TargetError: names those that it does not.
    """
    names = [str(offered.get("name")) for offered in tools]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise TargetError(
            f"{url} does not offer the tool{'s' * (len(missing) > 1)} {', '.join(map(repr, missing))} ({where}); "
            f"it offers {printable(', '.join(names)) or 'none'}."
        )


def check_answers(
    url: str, dialect: str, operation: McpCall, deadline_s: float, host_header: str | None = None
) -> None:
    """Open a fresh session and make a real call.

    Raises:
        TargetError: the server does not answer, or answers with an error; says which.
    """
    with McpClient(url, dialect, deadline_s, host_header) as client:
        client.open()
        reason = client.call(operation)
    if reason is not Reason.OK:
        what = f"{reason.title}{f' ({REPLICAS})' if reason is Reason.SESSION_LOST else ''}"
        raise TargetError(f"{url} answered the call of '{printable(operation.name)}' with {what}.")


def _get(url: str, deadline_s: float, host_header: str | None) -> httpx.Response:
    headers = [*([("Host", host_header)] if host_header else []), *credential_headers()]
    tls = {"verify": context_for(url)}
    return fetch("GET", url, deadline_s, client=tls, headers=headers, extensions=server_name(host_header))

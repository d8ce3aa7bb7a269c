"""What a bad first answer means, and what to do about it. Pure: from an answer to words."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from mcp_chaos.config.credentials import credential_headers
from mcp_chaos.config.tls import CA_FILE
from mcp_chaos.machine.printable import printable
from mcp_chaos.mcp.message import EVENT_STREAM, JSON, Message, error_text

_MCP_KINDS = (JSON, EVENT_STREAM, "")
_DESCRIPTION = re.compile(r'error_description="([^"]{1,200})"')

_HTTP_2 = ("no application protocol", "illegal request line")
"""OpenSSL's words, and h11's for an answer whose first byte is no text: an HTTP/2 frame begins with its length."""

REPLICAS = (
    "it gave this session a moment ago and does not know it: this looks like several replicas behind one address, each "
    "with sessions of its own; let the balancer send each Mcp-Session-Id to one replica, or let them share sessions"
)
"""What a session means that is lost as soon as it is there."""

_MEANINGS = {
    403: "it knows who asks and refuses; see that the credentials have the rights (scopes) that its tools need",
    404: "there is no MCP endpoint at this path; common ones are /mcp and /sse",
    405: "it takes no POST here; is MCP_URL its MCP endpoint?",
    406: "it sends neither JSON nor an event stream; is there a gateway before it that changes the Accept header?",
    415: "it does not take JSON; is MCP_URL its MCP endpoint?",
    429: "it limits the rate of its clients, and this one has had its share; wait, or raise the limit for the test",
    500: "the server has an error of its own; its log says which",
    502: "a gateway answered in the place of the server, which is down or refuses it",
    503: "the server, or a gateway before it, says that it cannot answer now",
    504: "a gateway answered in the place of the server, which was too slow for it",
}


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Args:
        status: of HTTP; 200 where there is no HTTP around messages.
        message: of JSON-RPC; ``None`` when there is none.
        kind: the content type, lower case, without parameters.
        session_id: of the header.
        headers: of the answer, names in lower case.
    """

    status: int
    message: Message | None
    kind: str = ""
    session_id: str | None = None
    headers: Mapping[str, str] | None = None


def describe(answer: Answer) -> str:
    """An answer in words: ``HTTP 401: wrong token``."""
    said = error_text(answer.message)
    return f"HTTP {answer.status}" + (f": {said}" if said else "")


def advice(url: str, host: str, answer: Answer, *, session_lost: bool = False) -> str:
    """What an answer that is not what was asked for means, in brackets; empty when nothing is known of it.

    Args:
        url: that was asked.
        host: what the server was called.
        answer: of the server.
        session_lost: whether it does not know the session that it gave a moment ago.
    """
    found = REPLICAS if session_lost else printable(_meaning(url, host, answer))
    return f" ({found})" if found else ""


def _meaning(url: str, host: str, answer: Answer) -> str:
    headers = answer.headers or {}
    if 300 <= answer.status < 400:
        there = urljoin(url, headers.get("location", ""))
        return f"it redirects to {there}, which is not followed: the load would go elsewhere; set MCP_URL to it"
    if answer.status == 401:
        return _unauthorized(headers.get("www-authenticate", ""))
    if answer.status == 421:
        return (
            f"its Host check does not know the name {host}; use in MCP_URL the name that its own clients use, "
            "or add this one to the hosts it allows"
        )
    if answer.status in _MEANINGS and not (answer.status < 500 and _is_html(answer)):
        return _MEANINGS[answer.status]
    if answer.kind not in _MCP_KINDS:
        return f"it answered {answer.kind}, which is not MCP; is this the server's MCP endpoint?"
    if answer.status == 200 and answer.message is None:
        return "what it answered is no JSON-RPC; is this the server's MCP endpoint?"
    return ""


def _is_html(answer: Answer) -> bool:
    return answer.kind == "text/html" and answer.status not in (403, 404, 429)


def _unauthorized(challenge: str) -> str:
    described = _DESCRIPTION.search(challenge)
    why = f": {described.group(1)}" if described else ""
    if any(name.lower() == "authorization" for name, _ in credential_headers()):
        return f"it does not accept the token it was sent{why}; a token that has expired has to be got anew"
    return (
        f"it wants credentials{why}; give them in MCP_TOKEN, MCP_TOKEN_FILE or MCP_HEADERS, "
        "or have a token got: MCP_OAUTH_CLIENT_ID"
    )


def network_advice(text: str) -> str:
    """What went wrong on the way to a server, and what to do where that is known.

    Args:
        text: of httpx's error.
    """
    text = printable(text)
    if "Hostname mismatch" in text or "IP address mismatch" in text:
        return f"{text}. Its certificate is for another name: use that name in MCP_URL"
    if "certificate has expired" in text:
        return f"{text}. It has to be renewed"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        what = "It signed its certificate itself" if "self-signed certificate" in text else "Nobody vouches for it"
        return f"{text}. {what}: where you trust it, name its certificate, or that of its authority, in {CA_FILE}"
    if any(words in text for words in _HTTP_2) or ("illegal status line" in text and "\\x00" in text):
        return "it answers in HTTP/2 only, and this speaks HTTP/1.1; let it, or a proxy before it, accept both"
    if "illegal status line" in text:
        return f"it does not speak HTTP ({text}); is it TLS, and the URL http?"
    if "WRONG_VERSION_NUMBER" in text or "record layer failure" in text:
        return f"it does not speak TLS ({text}); is the URL to be http?"
    return text


def shown(url: str) -> str:
    """A URL for people: without its query, which may be a secret."""
    parts = urlsplit(url)
    return parts._replace(query="...").geturl() if parts.query else url

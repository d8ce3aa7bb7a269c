"""Which URLs and hosts may be given: nothing with secrets, and no machine that nobody allowed."""

import re
from collections.abc import Collection
from urllib.parse import parse_qsl, urlsplit

from mcp_chaos.machine.loopback import is_loopback

_PRODUCTION = re.compile(r"(^|[.-])(prod|prd|production|live)\d*([.-]|$)", re.IGNORECASE)

_SECRET = re.compile(r"key|token|secret|passw|auth|sig(nature)?$|credential", re.IGNORECASE)


def is_port(text: str) -> bool:
    """Whether a text is the number of a port."""
    return text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) < 65536


def url_problems(name: str, url: str, allowed: set[str], production: set[str]) -> list[str]:
    """What keeps a URL from being used, each with the name of its setting."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        return [f"{name}: {_without_secrets(url)!a} has characters that no URL has; write them as %.."]
    try:
        parts = urlsplit(url)
        port_is_good = parts.port != 0
    except ValueError as error:
        return [f"{name}: {_without_secrets(url)!r} is not a URL ({error})"]
    schemes = ("http", "https") if name == "MCP_URL" else ("http",)
    if parts.scheme not in schemes or not parts.hostname or not port_is_good:
        return [f"{name}: a URL such as http://127.0.0.1:8000/mcp is needed, not {_without_secrets(url)!r}"]
    if parts.username or parts.password:
        return [f"{name}: a URL with a user name or password would end up in logs; leave them out"]
    secrets = [key for key, _ in parse_qsl(parts.query, keep_blank_values=True) if _SECRET.search(key)]
    if secrets:
        return [f"{name}: '{secrets[0]}' in a URL would end up in logs; leave it out, and see MCP_HEADERS"]
    return [f"{name}: {problem}" for problem in host_problems(parts.hostname, allowed, production)]


def host_problems(host: str, allowed: Collection[str], production: Collection[str]) -> list[str]:
    """What keeps the network of a machine from being broken."""
    if is_loopback(host):
        return []
    if host.lower() not in allowed:
        return [
            f"{host} is not this machine. To break the network of another, allow it by name: "
            f"MCP_CHAOS_ALLOW_HOSTS={host}"
        ]
    if _PRODUCTION.search(host) and host.lower() not in production:
        return [f"{host} looks like production. If you mean it, say it twice: MCP_CHAOS_ALLOW_PRODUCTION={host} too"]
    return []


def _without_secrets(url: str) -> str:
    """A URL to show: without what stands before the host, which may be a password."""
    start, at, rest = url.rpartition("@")
    return f"{start.partition('//')[0]}//...@{rest}" if at else url

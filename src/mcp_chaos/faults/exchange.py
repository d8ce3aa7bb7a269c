"""The first harmless exchange of a protocol: what a client says on a new connection, and when the answer is whole.

Sources: PostgreSQL, "Message Formats" (SSLRequest, answered by one byte); MySQL, "Protocol::Handshake" (the server
speaks first); Redis, "Inline commands"; RFC 8446, section 5.1 (a record's head says how long it is).
"""

import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

_TLS_HEAD_BYTES = 5
_MYSQL_HEAD_BYTES = 4
_MYSQL_PROTOCOLS = (9, 10)
_MYSQL_ERROR = 0xFF
_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@dataclass(frozen=True)
class Saying:
    """What an exchange is to be about, as far as its protocol has such a thing.

    Args:
        path: of a page.
        host: what the server is called.
        extra_bytes: by how many bytes it is to be longer.
        closes: whether the server is asked to close after its answer.
    """

    path: str
    host: str
    extra_bytes: int = 0
    closes: bool = False


@dataclass(frozen=True)
class Exchange:
    """The first exchange of a protocol.

    Args:
        name: of the protocol.
        request: what the client says; empty bytes where the server speaks first.
        is_whole: whether what arrived is the whole answer.
        repeats: whether it can be said again and again on one connection, and be made longer.
        server_speaks_first: whether the client says nothing.
    """

    name: str
    request: Callable[[Saying], bytes]
    is_whole: Callable[[bytes], bool]
    repeats: bool = False
    server_speaks_first: bool = False


def _http_request(saying: Saying) -> bytes:
    lines = [
        f"GET {saying.path} HTTP/1.1",
        f"Host: {saying.host}",
        "Accept: */*",
        "User-Agent: mcp_chaos-canary",
    ]
    lines += ["Connection: close"] if saying.closes else []
    lines += [f"X-Padding: {'p' * saying.extra_bytes}"] if saying.extra_bytes else []
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _is_whole_http(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
        if name == b"transfer-encoding":
            return body.endswith(b"0\r\n\r\n")
    return True


def _ping(saying: Saying) -> bytes:
    return b"PING %b\r\n" % (b"p" * saying.extra_bytes) if saying.extra_bytes else b"PING\r\n"


def _is_whole_redis(data: bytes) -> bool:
    """A line, or, where it echoes what it was sent, a second one."""
    return data.endswith(b"\r\n") and data.count(b"\r\n") >= (2 if data.startswith(b"$") else 1)


def _client_hello(_: Saying) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def _is_whole_record(data: bytes) -> bool:
    return len(data) >= _TLS_HEAD_BYTES and len(data) >= _TLS_HEAD_BYTES + int.from_bytes(data[3:5], "big")


def _is_whole_packet(data: bytes) -> bool:
    return len(data) >= _MYSQL_HEAD_BYTES + int.from_bytes(data[:3], "little")


def _nothing(_: Saying) -> bytes:
    return b""


HTTP = Exchange("HTTP", _http_request, _is_whole_http, repeats=True)
REDIS = Exchange("Redis", _ping, _is_whole_redis, repeats=True)
POSTGRESQL = Exchange("PostgreSQL", lambda _: _SSL_REQUEST, bool)
TLS = Exchange("TLS", _client_hello, _is_whole_record)
MYSQL = Exchange("MySQL", _nothing, _is_whole_packet, server_speaks_first=True)
GREETING = Exchange("a greeting", _nothing, bool, server_speaks_first=True)

TRIED = (GREETING, POSTGRESQL, REDIS, HTTP, TLS)
"""In this order: each is said to servers of the others at most once, and none of them takes harm from it."""


def recognised(asked: Exchange, answer: bytes) -> Exchange | None:
    """The protocol of a server by how it answered; some say in their own protocol that they do not understand.

    Args:
        asked: what it was asked.
        answer: the first that it said.
    """
    if answer.startswith(b"HTTP/"):
        return HTTP
    if answer[:2] in (b"\x15\x03", b"\x16\x03"):
        return TLS
    if asked.server_speaks_first and answer:
        return MYSQL if _is_mysql(answer) else GREETING
    if asked is POSTGRESQL and answer in (b"S", b"N"):
        return POSTGRESQL
    return REDIS if asked is REDIS and answer.startswith((b"+PONG", b"-")) else None


def _is_mysql(greeting: bytes) -> bool:
    """Whether it is the first packet of a conversation, a handshake or a refusal."""
    is_first = len(greeting) > _MYSQL_HEAD_BYTES and greeting[3] == 0 and _is_whole_packet(greeting)
    return is_first and greeting[_MYSQL_HEAD_BYTES] in (*_MYSQL_PROTOCOLS, _MYSQL_ERROR)

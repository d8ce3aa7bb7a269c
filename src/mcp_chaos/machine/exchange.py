"""One HTTP exchange that ends: a deadline for all of it together, a limit for what is read, and no redirects.

The timeouts of HTTP clients are per read, so that whoever sends a byte now and then is never late.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import httpx

from mcp_chaos.machine.loopback import check_address, check_addresses, is_loopback_name

T = TypeVar("T")

MAX_BYTES = 1024 * 1024
_CONNECTING = "connection.connect_tcp.started"
_CONNECTED = "connection.connect_tcp.complete"


class TooLargeError(httpx.TransportError):
    """An answer was longer than it may be; the rest was not read."""


def within(deadline_s: float, exchange: Callable[[], T]) -> T:
    """The result of a blocking exchange, if it comes in time.

    Args:
        deadline_s: for all of it.
        exchange: made in a thread of its own, which is left alone after the deadline; it has to end by itself.

    Raises:
        TimeoutError: it did not come.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def act() -> None:
        try:
            results.append(exchange())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=act, name="exchange", daemon=True)
    thread.start()
    thread.join(deadline_s)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no whole answer within {deadline_s:g} s")
    return results[0]


def limited(chunks: Iterable[bytes], deadline_s: float, max_bytes: int = MAX_BYTES) -> bytes:
    """A body from its chunks.

    Args:
        chunks: as they arrive.
        deadline_s: for the whole body from now on.
        max_bytes: that it may have.

    Raises:
        TooLargeError: it is longer.
        TimeoutError: it takes longer.
    """
    until = time.monotonic() + deadline_s
    body = b""
    for chunk in chunks:
        body += chunk
        if len(body) > max_bytes:
            raise TooLargeError(f"it sent more than {max_bytes} bytes")
        if time.monotonic() > until:
            raise TimeoutError(f"no whole answer within {deadline_s:g} s")
    return body


def staying_here() -> Callable[[str, dict[str, Any]], None]:
    """``trace`` of one request with httpx: judges where it leads before it connects, and before it sends anything.

    Raises (what it returns):
        httpx.ConnectError: a name of this machine leads to another.
    """
    hosts: list[str] = []

    def trace(name: str, info: dict[str, Any]) -> None:
        if name == _CONNECTING:
            hosts[:] = [info["host"]]
            _check_name(info["host"], info["port"])
        elif name == _CONNECTED:
            try:
                _check_peer(hosts[0], info["return_value"])
            except httpx.ConnectError:
                info["return_value"].close()
                raise

    return trace


def staying_here_async() -> Callable[[str, dict[str, Any]], Awaitable[None]]:
    """As :func:`staying_here`, for ``httpx.AsyncClient``."""
    hosts: list[str] = []

    async def trace(name: str, info: dict[str, Any]) -> None:
        if name == _CONNECTING:
            hosts[:] = [info["host"]]
            await asyncio.to_thread(_check_name, info["host"], info["port"])
        elif name == _CONNECTED:
            try:
                _check_peer(hosts[0], info["return_value"])
            except httpx.ConnectError:
                await info["return_value"].aclose()
                raise

    return trace


def _check_name(host: str, port: int) -> None:
    if is_loopback_name(host):
        try:
            check_addresses(host, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as error:
            raise httpx.ConnectError(str(error)) from None


def _check_peer(host: str, stream: Any) -> None:
    try:
        check_address(host, stream.get_extra_info("server_addr")[0])
    except OSError as error:
        raise httpx.ConnectError(str(error)) from None


def fetch(
    method: str,
    url: str,
    deadline_s: float,
    *,
    max_bytes: int = MAX_BYTES,
    client: dict[str, Any] | None = None,
    **request: Any,
) -> httpx.Response:
    """The response to a request, read to its end.

    Args:
        method: of HTTP.
        url: of the request; a redirect is an answer like any other.
        deadline_s: for name, connection, head and body together.
        max_bytes: that the body may have.
        client: arguments of ``httpx.Client``.
        request: arguments of ``httpx.Client.stream``.

    Raises:
        httpx.HTTPError: no answer, or one that is too long (``TooLargeError``) or too late (``httpx.ReadTimeout``).
        httpx.InvalidURL: the URL cannot be called.
    """

    def exchange() -> httpx.Response:
        extensions = {**request.get("extensions", {}), "trace": staying_here()}
        options = {"trust_env": False, "follow_redirects": False, **(client or {})}
        with (
            httpx.Client(timeout=deadline_s, **options) as made,
            made.stream(method, url, **{**request, "extensions": extensions}) as response,
        ):
            body = limited(response.iter_bytes(), deadline_s, max_bytes)
        headers = [(k, v) for k, v in response.headers.raw if k.lower() not in (b"content-encoding", b"content-length")]
        return httpx.Response(response.status_code, headers=headers, content=body, request=response.request)

    try:
        return within(deadline_s, exchange)
    except TimeoutError as error:
        raise httpx.ReadTimeout(str(error)) from None

"""Which names and addresses are of this machine, and connections that are not led away from it.

A name of this machine (``localhost``, ``me.localhost``) needs nobody's leave to be tested, so what it resolves to is
judged whenever a connection is made: the very addresses that are connected to. Other hosts are allowed by their names.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

AddressInfo = tuple[Any, Any, int, str, Any]
"""As ``socket.getaddrinfo`` has it: family, kind, protocol, canonical name, address."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


class ElsewhereError(OSError):
    """A name of this machine leads to another one; nothing was sent there."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its address or by its name."""
    return _is_loopback_address(host) or is_loopback_name(host)


@lru_cache
def is_loopback_name(host: str) -> bool:
    """Whether a host is a name of this machine, which may resolve to anything all the same."""
    return host.lower() == "localhost" or host.lower().endswith(".localhost")


def check_address(host: str, address: str) -> None:
    """Check where a name of this machine leads; every other host may lead anywhere.

    Args:
        host: as it was given.
        address: that it resolved to, or that was connected to.

    Raises:
        ElsewhereError: to another machine.
    """
    if is_loopback_name(host) and not _is_loopback_address(address):
        raise ElsewhereError(
            f"{host} is a name of this machine, and resolves to {address}, which is another; nothing was sent there. "
            "To test that one, name it by a host that is allowed (MCP_CHAOS_ALLOW_HOSTS)"
        )


def check_addresses(host: str, found: Sequence[AddressInfo]) -> Sequence[AddressInfo]:
    """What a host resolved to, if a connection may be made to all of it.

    Raises:
        ElsewhereError: a name of this machine leads to another.
    """
    for *_, address in found:
        check_address(host, str(address[0]))
    return found


def connect(host: str, port: int, timeout_s: float) -> socket.socket:
    """A blocking connection.

    Args:
        host: name or address.
        port: of it.
        timeout_s: for each address, and for whatever is done with the connection.

    Raises:
        OSError: it cannot be had.
    """
    if not is_loopback_name(host):
        return socket.create_connection((host, port), timeout_s)
    found = check_addresses(host, socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    for *_, address in found[:-1]:
        try:
            return socket.create_connection(address[:2], timeout_s)
        except OSError:
            continue
    return socket.create_connection(found[-1][4][:2], timeout_s)


async def open_connection(
    make: Callable[[], P], host: str, port: int, **options: Any
) -> tuple[asyncio.BaseTransport, P]:
    """A connection of the running loop, as its ``create_connection`` makes it; an address costs no more than that.

    Args:
        make: the protocol.
        host: name or address.
        port: of it.
        options: of ``create_connection``; with TLS, ``server_hostname`` among them.

    Raises:
        OSError: it cannot be had.
    """
    loop = asyncio.get_running_loop()
    if not is_loopback_name(host):
        return await loop.create_connection(make, host, port, **options)
    return await loop.create_connection(make, sock=await open_socket(host, port), **options)


async def open_socket(host: str, port: int, prepare: Callable[[socket.socket], None] = lambda _: None) -> socket.socket:
    """A connected socket that does not block.

    Args:
        host: name or address.
        port: of it.
        prepare: sets the options of a socket before it is connected.

    Raises:
        OSError: it cannot be had.
    """
    loop = asyncio.get_running_loop()
    found = check_addresses(host, await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    errors = []
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            prepare(sock)
            await loop.sock_connect(sock, address)
        except OSError as error:
            errors.append(error)
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise errors[-1] if errors else OSError(f"{host} resolves to nothing")


@lru_cache
def _is_loopback_address(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False

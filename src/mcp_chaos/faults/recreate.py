"""Delete a proxy and create it again as it was, without the toxics of a run.

Toxiproxy 2.12 takes 5 s, or for ever, to remove a toxic that holds answers back while clients give up; a proxy that is
made anew heals in 10 ms, at the price of every connection on it. What it was is written down before it is deleted, so
that whoever cleans up after a run that died between the two calls can create it.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from typing import Any

from mcp_chaos.errors import ToxiproxyError
from mcp_chaos.faults.fault import ToxicSettings
from mcp_chaos.faults.toxiproxy import ProxyState, ToxiproxyServer

_PORT_TIMEOUT_S = 2.0
_POLL_S = 0.05

Record = Callable[..., Any]
"""Writes an event: its kind, then its data by name."""


def without(state: ProxyState, toxics: Collection[str]) -> ProxyState:
    """A proxy as it would be without some toxics."""
    return replace(state, toxics={name: toxic for name, toxic in state.toxics.items() if name not in toxics})


def recreate_proxy(server: ToxiproxyServer, wanted: ProxyState, record: Record) -> None:
    """Delete a proxy, if it is there, and create it as it is wanted.

    Args:
        server: the Toxiproxy.
        wanted: the proxy with the toxics that are to stay.
        record: told what is about to be deleted, and when it is back.

    Raises:
        ToxiproxyError: it was not possible; the proxy may be missing.
    """
    toxics = {name: asdict(toxic) for name, toxic in wanted.toxics.items()}
    record(
        "proxy_recreating",
        proxy=wanted.name,
        listen=wanted.listen,
        upstream=wanted.upstream,
        enabled=wanted.enabled,
        toxics=toxics,
    )
    server.delete_proxy(wanted.name)
    restore_proxy(server, wanted)
    record("proxy_recreated", proxy=wanted.name)


def restore_proxy(server: ToxiproxyServer, wanted: ProxyState) -> None:
    """Create a proxy where it is missing, and bring back the toxics that it should have. May be repeated.

    Raises:
        ToxiproxyError: it was not possible.
    """
    if wanted.name not in server.proxies():
        _create(server, wanted)
    for name, toxic in wanted.toxics.items():
        server.put_toxic(wanted.name, name, toxic)
    if server.proxy(wanted.name).enabled != wanted.enabled:
        server.set_enabled(wanted.name, wanted.enabled)


def recorded_proxy(data: dict[str, Any]) -> ProxyState:
    """The proxy of a ``proxy_recreating`` event."""
    toxics = {name: ToxicSettings(**toxic) for name, toxic in data["toxics"].items()}
    return ProxyState(data["proxy"], data["listen"], data["upstream"], data["enabled"], toxics)


def _create(server: ToxiproxyServer, wanted: ProxyState) -> None:
    """Create it, down as long as toxics are missing; its port may be in use for a moment after a deletion."""
    until = time.monotonic() + _PORT_TIMEOUT_S
    while True:
        try:
            is_up = wanted.enabled and not wanted.toxics
            server.create_proxy(wanted.name, wanted.listen, wanted.upstream, enabled=is_up)
            return
        except ToxiproxyError:
            if time.monotonic() > until:
                raise
            time.sleep(_POLL_S)

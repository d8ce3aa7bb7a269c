"""All admin traffic with Toxiproxy, over toxiproxy-python.

The library is asked for and unmaintained. What is taken from it: its HTTP consumer, its records and its exceptions.
What is filled in here: a consumer per server (the library's host and port are class globals, so two servers could not
be addressed), a timeout for every request, updates, populate, metrics, quoting of names, and answers of 5xx; every
failure becomes a :class:`ToxiproxyError`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from toxiproxy.api import APIConsumer, validate_response
from toxiproxy.exceptions import InvalidToxic, NotFound, ProxyExists
from toxiproxy.toxic import Toxic

from mcp_chaos.errors import ToxiproxyError, UsageError
from mcp_chaos.faults.fault import ToxicSettings
from mcp_chaos.machine.exchange import TooLargeError, limited, within
from mcp_chaos.machine.loopback import ElsewhereError, connect, is_loopback_name
from mcp_chaos.machine.printable import printable

DEFAULT_TIMEOUT_S = 5.0
_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class ProxyState:
    """A proxy as Toxiproxy reports it.

    Args:
        name: of the proxy.
        listen: ``host:port`` it listens on.
        upstream: ``host:port`` it connects to.
        enabled: whether it is up.
        toxics: by name.
    """

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: dict[str, ToxicSettings]

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.listen.rpartition(":")[2])


class ToxiproxyServer:
    """One Toxiproxy server.

    Args:
        url: of its API, for example ``http://127.0.0.1:8474``.
        timeout_s: for each request.

    Raises:
        UsageError: the URL is not one of an HTTP server.
    """

    def __init__(self, url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme != "http" or not parts.hostname or parts.path or _bad_port(self.url):
            raise UsageError(f"The URL of Toxiproxy's API looks like http://127.0.0.1:8474, not {url!r}.")
        self.host = parts.hostname
        host = f"[{self.host}]" if ":" in self.host else self.host
        self._consumer: Any = type("Consumer", (APIConsumer,), {"host": host, "port": parts.port or 8474})
        # No proxy from the environment may come between, and its user agent is not a browser's (which gets a 403).
        self._options: dict[str, Any] = {
            "timeout": timeout_s,
            "proxies": {"http": None, "all": None},
            "headers": {"User-Agent": "mcp_chaos"},
            "allow_redirects": False,
            "stream": True,
            "hooks": {"response": self._read},
        }
        self._timeout_s = timeout_s

    def version(self) -> str:
        """The version of the server, for example ``2.12.0``."""
        told = self._json(lambda: self._consumer.get("/version", **self._options), "say its version").get("version")
        if not isinstance(told, str):
            raise ToxiproxyError(f"What answers at {self.url} is not Toxiproxy: it does not say its version.")
        return told

    def proxies(self) -> dict[str, ProxyState]:
        """All proxies by name."""
        found = self._json(lambda: self._consumer.get("/proxies", **self._options), "list its proxies")
        return {name: _proxy_state(values) for name, values in found.items()}

    def proxy(self, name: str) -> ProxyState:
        """One proxy."""
        return _proxy_state(
            self._json(lambda: self._consumer.get(_path(name), **self._options), f"show the proxy '{name}'")
        )

    def populate(self, proxies: Iterable[dict[str, str]]) -> None:
        """Create proxies, or bring those with the same name to these addresses. One that is down stays down."""
        self._json(lambda: self._consumer.post("/populate", json=list(proxies), **self._options), "create the proxies")

    def create_proxy(self, name: str, listen: str, upstream: str, *, enabled: bool = True) -> ProxyState:
        """Create a proxy, up unless it is to be down."""
        body = {"name": name, "listen": listen, "upstream": upstream, "enabled": enabled}
        return _proxy_state(
            self._json(
                lambda: self._consumer.post("/proxies", json=body, **self._options),
                f"create the proxy '{name}' on {listen}",
            )
        )

    def set_enabled(self, name: str, enabled: bool) -> ProxyState:
        """Take a proxy up or down."""
        what = f"take the proxy '{name}' {'up' if enabled else 'down'}"
        return _proxy_state(self._json(lambda: self._patch(_path(name), {"enabled": enabled}), what))

    def delete_proxy(self, name: str) -> None:
        """Remove a proxy; one that is not there is no error."""
        self._remove(_path(name), f"remove the proxy '{name}'")

    def put_toxic(self, proxy: str, name: str, settings: ToxicSettings) -> ToxicSettings:
        """Add a toxic, or bring the one of that name to these settings; then read it back.

        Raises:
            ToxiproxyError: it was refused, or what is read back is not what was sent.
        """
        body: dict[str, Any] = {"toxicity": settings.toxicity, "attributes": settings.attributes}
        if name in self.proxy(proxy).toxics:
            self._json(lambda: self._patch(_path(proxy, name), body), f"update the toxic '{name}'")
        else:
            body |= {"name": name, "type": settings.type, "stream": settings.stream}
            url = f"{_path(proxy)}/toxics"
            self._json(lambda: self._consumer.post(url, json=body, **self._options), f"add the toxic '{name}'")
        found = self.proxy(proxy).toxics.get(name)
        if found != settings:
            raise ToxiproxyError(
                f"Toxiproxy at {self.url} took the toxic '{name}' on '{proxy}', "
                f"but reads back {found} instead of {settings}."
            )
        return found

    def delete_toxic(self, proxy: str, name: str) -> None:
        """Remove a toxic; one that is not there is no error."""
        self._remove(_path(proxy, name), f"remove the toxic '{name}' from '{proxy}'")

    def reset(self) -> None:
        """Remove *all* toxics of all proxies and take all proxies up, other people's too."""
        self._ask(lambda: self._consumer.post("/reset", **self._options), "reset")

    def metrics(self) -> str:
        """Its own metrics in Prometheus text; the server has them only when started with ``-proxy-metrics``."""
        return str(self._ask(lambda: self._consumer.get("/metrics", **self._options), "show its metrics").text)

    def _at_its_address(self, request: Callable[[], requests.Response]) -> requests.Response:
        """Make a request of an address: a name of this machine is resolved here, where it can be judged."""
        if is_loopback_name(self.host):
            with connect(self.host, self._consumer.port, self._timeout_s) as connection:
                address = connection.getpeername()[0]
            self._consumer.host = f"[{address}]" if ":" in address else address
        return request()

    def _read(self, response: requests.Response, **_: Any) -> requests.Response:
        """Read the body of a response, which ``requests`` itself would read without an end."""
        try:
            response._content = limited(response.iter_content(65536), self._timeout_s, _MAX_BYTES)
        finally:
            response.close()
        return response

    def _patch(self, path: str, body: dict[str, Any]) -> requests.Response:
        url = f"http://{self._consumer.host}:{self._consumer.port}{path}"
        response: requests.Response = validate_response(requests.patch(url, json=body, **self._options))  # noqa: S113
        return response

    def _remove(self, path: str, what: str) -> None:
        try:
            self._ask(lambda: self._consumer.delete(path, **self._options), what)
        except _GoneError:
            return

    def _json(self, request: Callable[[], requests.Response], what: str) -> dict[str, Any]:
        try:
            answer = self._ask(request, what).json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ToxiproxyError(
                f"What answers at {self.url} is not Toxiproxy: asked to {what}, it sent no JSON object."
            )
        return answer

    def _ask(self, request: Callable[[], requests.Response], what: str) -> requests.Response:
        try:
            response = within(self._timeout_s, lambda: self._at_its_address(request))
        except (requests.Timeout, TimeoutError):
            raise ToxiproxyError(
                f"Toxiproxy at {self.url} was asked to {what} and did not answer within {self._timeout_s:g} s. "
                "Whether it was done is not known; restart Toxiproxy to be sure."
            ) from None
        except TooLargeError as error:
            raise ToxiproxyError(f"What answers at {self.url} is not Toxiproxy: asked to {what}, {error}.") from None
        except OSError as error:  # those of requests among them
            raise ToxiproxyError(
                f"Toxiproxy at {self.url} cannot be reached to {what} ({_cause(error)}). "
                "Start it, or unset TOXIPROXY_URL so that the run starts its own."
            ) from None
        except NotFound as error:
            raise _GoneError(f"Toxiproxy at {self.url} was asked to {what}: not found ({_text(error)}).") from None
        except (ProxyExists, InvalidToxic) as error:
            raise ToxiproxyError(f"Toxiproxy at {self.url} refused to {what}: {_text(error)}.") from None
        if response.status_code >= 300:
            raise ToxiproxyError(
                f"Toxiproxy at {self.url} could not {what}: HTTP {response.status_code}, {_said(response.content)}."
            )
        return response


class _GoneError(ToxiproxyError):
    """What was asked about is not there."""


def _path(proxy: str, toxic: str | None = None) -> str:
    path = f"/proxies/{quote(proxy, safe='')}"
    return path if toxic is None else f"{path}/toxics/{quote(toxic, safe='')}"


def _proxy_state(values: dict[str, Any]) -> ProxyState:
    try:
        toxics = [Toxic(**toxic) for toxic in values["toxics"]]
        return ProxyState(
            name=values["name"],
            listen=values["listen"],
            upstream=values["upstream"],
            enabled=values["enabled"],
            toxics={t.name: ToxicSettings(t.type, t.stream, float(t.toxicity), dict(t.attributes)) for t in toxics},
        )
    except (KeyError, TypeError) as error:
        raise ToxiproxyError(
            f"Toxiproxy described a proxy in a way that is not understood ({error!r}): {values}."
        ) from None


def _bad_port(url: str) -> bool:
    try:
        return urlsplit(url).port == 0
    except ValueError:
        return True


def _cause(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, ElsewhereError):
        return text
    return "connection refused" if "refused" in text else "name not known" if "resolve" in text else text[:120]


def _text(error: Exception) -> str:
    return _said(error.args[0] if error.args else b"")


def _said(content: bytes | str) -> str:
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    return printable(text).strip().rstrip(".")[:200] or "it gave no reason"

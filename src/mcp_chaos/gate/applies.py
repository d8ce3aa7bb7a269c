"""Whether an experiment can say anything of a server: what it needs, and what is missing."""

from collections.abc import Callable, Mapping
from typing import Any

from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import TargetError
from mcp_chaos.mcp import TransportKind, dialects_over
from mcp_chaos.observe.era import find_dialect
from mcp_chaos.run.trial import DEADLINE_S
from mcp_chaos.toolkit.preflight import EXTENSION, NEEDS
from mcp_chaos.workload.file import AUTO


def _lacks_backend_proxy(settings: Settings) -> str:
    if settings.embedded or settings.toxiproxy_url is not None:
        return ""
    return "it needs a proxy before the server's backend: put one there in a Toxiproxy of your own (TOXIPROXY_URL)"


def _lacks_posts(settings: Settings) -> str:
    dialect = settings.dialect
    if dialect == AUTO and settings.mcp_url and not settings.command:
        try:
            dialect = find_dialect(settings.mcp_url, DEADLINE_S)
        except TargetError:
            return ""  # the run says what is wrong with it
    spoken = dialects_over(TransportKind.POST)
    if dialect in (*spoken, AUTO):
        return ""
    return f"its clients speak {', '.join(spoken)}, and this server is spoken to in '{dialect}'"


def _lacks_server_process(settings: Settings) -> str:
    if settings.embedded or settings.command or settings.server_pid is not None:
        return ""
    return "it stops the server's process for a while: name one that may be stopped (MCP_SERVER_PID)"


_LACKS: dict[str, Callable[[Settings], str]] = dict(
    zip(NEEDS, (_lacks_backend_proxy, _lacks_posts, _lacks_server_process), strict=True)
)


def why_not_applicable(experiment: Mapping[str, Any], settings: Settings) -> str:
    """What an experiment lacks on a server, in words; empty when it applies."""
    blocks = experiment.get("extensions") or []
    needs = [
        need for b in blocks if isinstance(b, Mapping) and b.get("name") == EXTENSION for need in b.get("needs", ())
    ]
    return next((why for need in needs if need in _LACKS and (why := _LACKS[need](settings))), "")

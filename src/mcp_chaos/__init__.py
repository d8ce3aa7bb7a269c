"""Chaos Toolkit extension that breaks the network of MCP servers on purpose and judges how they take it."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "discover"]


def discover(discover_system: bool = True) -> Any:
    """What ``chaos discover chaostoolkit-mcp`` shows: the actions and the probes.

    Args:
        discover_system: ignored; there is no system to look at.

    Returns:
        The discovery document of Chaos Toolkit.
    """
    # Imported here: load workers import this package too, and start twice as fast without chaoslib.
    from chaoslib.discovery.discover import discover_actions, discover_probes, initialize_discovery_result

    found = initialize_discovery_result("chaostoolkit-mcp", __version__, "mcp")
    found["activities"].extend(discover_actions("mcp_chaos.actions"))
    found["activities"].extend(discover_probes("mcp_chaos.probes"))
    return found

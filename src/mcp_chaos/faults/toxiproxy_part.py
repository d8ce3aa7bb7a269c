"""The Toxiproxy server as a part of a run."""

from pathlib import Path

from mcp_chaos.machine.parts import LOOPBACK, Part, ReservedPort, answers


def toxiproxy_part(binary: Path, folder: Path) -> Part:
    """The Toxiproxy server, its API on loopback (it has no authentication)."""
    port = ReservedPort()
    argv = [str(binary), "-host", LOOPBACK, "-port", str(port.number)]
    url = f"http://{LOOPBACK}:{port.number}/version"
    return Part("toxiproxy", argv, port, lambda: answers(url, status=200), folder, {"LOG_LEVEL": "warn"})

"""The embedded server and its warehouse, as parts of a run."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from mcp_chaos.errors import PartError, UsageError
from mcp_chaos.lab.defects import planted_defect
from mcp_chaos.machine.parts import LOOPBACK, Part, ReservedPort, answers

RATE_VARIABLE = "MCP_CHAOS_LAB_RATE_PER_S"
QUERY_VARIABLE = "MCP_CHAOS_LAB_QUERY_MS"
_MAX_SHOWN = 80


def warehouse(folder: Path) -> Part:
    """The warehouse.

    Raises:
        UsageError: ``MCP_CHAOS_LAB_QUERY_MS`` is no time.
    """
    _check_query()
    port = ReservedPort()
    argv = [sys.executable, "-m", "mcp_chaos.lab.warehouse", str(port.number)]
    # fakesnow makes a folder for uploads at its start and never removes it.
    scratch = folder / "warehouse.tmp"
    scratch.mkdir(exist_ok=True)
    url = f"http://{LOOPBACK}:{port.number}/"
    return Part("warehouse", argv, port, lambda: answers(url), folder, {"TMPDIR": str(scratch)}, scratch)


def _number(variable: str, needed: str) -> None:
    given = os.environ.get(variable, "0")
    if not re.fullmatch(r"\d{1,9}(\.\d+)?", given):
        raise UsageError(f"{variable}: {needed}, not {given[:_MAX_SHOWN]!r}.")


def lab_problems() -> list[str]:
    """What is wrong with the settings of the embedded parts, in words."""
    problems: list[str] = []
    checks: tuple[Callable[[], object], ...] = (_check_query, _check_rate, planted_defect)
    for check in checks:
        try:
            check()
        except UsageError as error:
            problems += error.problems
    return problems


def _check_query() -> None:
    _number(QUERY_VARIABLE, "milliseconds that a query takes longer are needed, 0 for none")


def _check_rate() -> None:
    _number(RATE_VARIABLE, "calls per second and client are needed, 0 for no limit")


def server(folder: Path, backend_port: int) -> Part:
    """The reference MCP server; it answers when a query has come back from the warehouse.

    Raises:
        UsageError: ``MCP_CHAOS_LAB_RATE_PER_S`` is no rate.
    """
    _check_rate()
    port = ReservedPort()
    argv = [sys.executable, "-m", "mcp_chaos.lab.server", str(port.number), str(backend_port)]
    url = f"http://{LOOPBACK}:{port.number}/health"
    return Part("server", argv, port, lambda: answers(url, status=200), folder)


def check_lab_is_installed() -> None:
    """Check that the embedded parts can be imported, without importing them.

    Raises:
        PartError: the extra ``lab`` is not installed.
    """
    from importlib.util import find_spec

    missing = [name for name in ("mcp", "fakesnow", "snowflake") if find_spec(name) is None]
    if missing:
        raise PartError(
            f"The embedded server needs {', '.join(missing)}: pip install 'chaostoolkit-mcp[lab]'. "
            "Or set MCP_URL to use your own server. Nothing was started."
        )

"""The run of this process: there is at most one, and actions and probes find it here."""

from mcp_chaos.errors import UsageError
from mcp_chaos.run.run import Run

_current: "Run | None" = None
_refused = False


def begin(run: Run) -> None:
    """Make a run the current one and start it.

    Raises:
        McpChaosError: there is one already, or it cannot be started.
    """
    global _current, _refused
    _refused = False
    if _current is not None:
        raise UsageError("A run is under way in this process already; there can be one at a time.")
    _current = run
    try:
        run.start()
    except BaseException:
        _current = None
        raise


def refuse() -> None:
    """Note that the run could not be started, for which the reason has been told."""
    global _refused
    _refused = True


def was_refused() -> bool:
    """Whether a run of this process could not be started."""
    return _refused


def current() -> Run:
    """The current run.

    Raises:
        UsageError: there is none.
    """
    if _current is None and _refused:
        raise UsageError("The run did not start, so there is nothing to do or to heal; the reason is above.")
    if _current is None:
        raise UsageError(
            "No run is under way, so there is nothing to act on. The experiment needs the control 'mcp_chaos.control' "
            "under 'controls'; check that it is there and spelled so. Nothing was changed."
        )
    return _current


def end() -> None:
    """Close the current run, if there is one; a refusal is over, too."""
    global _current, _refused
    run, _current, _refused = _current, None, False
    if run is not None:
        run.close()

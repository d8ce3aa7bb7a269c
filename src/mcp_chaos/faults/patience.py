"""Whether clients gave up while a fault held their answers back: removing its toxic can freeze Toxiproxy then."""

from mcp_chaos.errors import HistoryError
from mcp_chaos.faults.fault import Fault
from mcp_chaos.faults.kinds import Latency
from mcp_chaos.history.calls import Reason
from mcp_chaos.history.folder import RunFolder

_SAFE_PART = 0.5


def may_have_given_up(folder: RunFolder, fault: Fault, since_ns: int) -> bool:
    """Whether some client may have given up a call since a fault was injected.

    It is known of the run's own loads on the faulted lane only: their calls and deadlines are on file. What a server
    does when its backend is late is not known, nor what clients do that are not of the run.

    Args:
        folder: of the run.
        fault: that is in place.
        since_ns: when it was injected.
    """
    if not fault.holds_answers_back():
        return False
    if fault.proxy != Fault.proxy:
        return True
    try:
        events = folder.events()
        loads = [e.data["load"] for e in events if e.kind == "load_started" and e.data["lane"] == "faulted"]
        return not loads or any(_gave_up(folder, load, fault, since_ns) for load in loads)
    except HistoryError:
        return True


def _gave_up(folder: RunFolder, load: str, fault: Fault, since_ns: int) -> bool:
    spec = folder.read(f"load-{load}.json")
    deadline_s = spec.get("deadline_s") if isinstance(spec, dict) else None
    if not isinstance(deadline_s, int | float):
        return True
    # Calls on their way to the file are not seen, but none of them can be near its deadline then.
    if isinstance(fault, Latency) and (fault.latency_ms + fault.jitter_ms) / 1e3 > _SAFE_PART * deadline_s:
        return True
    calls = folder.calls(load)
    return bool(((calls["done_ns"] > since_ns) & (calls["reason"] == Reason.TIMED_OUT)).any())

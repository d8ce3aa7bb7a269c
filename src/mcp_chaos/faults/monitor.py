"""Look at the proxies of a run twice a second: is each fault still there, and is anything there that is not ours?

Somebody's ``POST /reset`` takes every toxic away, a Toxiproxy that was restarted has forgotten its proxies, and a run
learns of it only by asking.
"""

from collections.abc import Callable, Sequence

from mcp_chaos.errors import ToxiproxyError
from mcp_chaos.faults.fault import Fault, ToxicSettings
from mcp_chaos.faults.kinds import Flap, Partition
from mcp_chaos.faults.toxiproxy import ProxyState
from mcp_chaos.machine.background import Background

INTERVAL_S = 0.5
TIMEOUT_S = 2.0
_MAX_FAILURES = 2

Applied = tuple[Fault, Sequence[str]]
"""A fault that is in place, and the names of its toxics."""


def disturbance(state: ProxyState | None, before: ProxyState, applied: Sequence[Applied]) -> str | None:
    """What somebody else did to a proxy, in words; ``None`` when it is as this run left it.

    Args:
        state: the proxy as it is read back; ``None`` when it is gone.
        before: as it was before the first of the faults.
        applied: the faults of this run that are in place on it.
    """
    if state is None:
        return "the proxy was gone"
    ours: dict[str, ToxicSettings] = {}
    for fault, names in applied:
        ours |= dict(zip(names, fault.toxics(), strict=True))
    if any(name not in state.toxics for name in ours):
        return "its toxic was gone"
    if any(state.toxics[name] != toxic for name, toxic in ours.items()):
        return "its toxic had other settings"
    foreign = sorted(state.toxics.keys() - ours.keys() - before.toxics.keys())
    if foreign:
        return f"a toxic of somebody else was on the proxy ({', '.join(foreign)})"
    if any(isinstance(fault, Flap) for fault, _ in applied):
        return None
    is_cut = any(isinstance(fault, Partition) for fault, _ in applied)
    if state.enabled != (before.enabled and not is_cut):
        return "the proxy was up again" if state.enabled else "the proxy was down"
    return None


class ProxyMonitor(Background):
    """Calls a function twice a second until it is stopped, and tells when it failed twice in a row.

    Args:
        look: reads the proxies back.
        on_unreachable: told the cause, once.
    """

    def __init__(self, look: Callable[[], None], on_unreachable: Callable[[ToxiproxyError], None]) -> None:
        super().__init__("proxy monitor")
        self._look = look
        self._on_unreachable = on_unreachable

    def _go_on(self) -> None:
        failures = 0
        while not self._stopped.wait(INTERVAL_S):
            try:
                self._look()
                failures = 0
            except ToxiproxyError as error:
                failures += 1
                if failures == _MAX_FAILURES:
                    self._on_unreachable(error)

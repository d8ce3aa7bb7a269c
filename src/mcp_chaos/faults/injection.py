"""Inject a fault, prove that it arrived, heal it: each step in the history before the next is taken.

``fault_injecting`` is written *before* Toxiproxy is asked, so whoever cleans up after a killed run knows of everything
that may be in place. Healing removes only what was injected here.
"""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from mcp_chaos.errors import ToxiproxyError, UsageError
from mcp_chaos.faults.canary import Canary
from mcp_chaos.faults.comparison import NotFeltError
from mcp_chaos.faults.fault import Fault, fault_settings
from mcp_chaos.faults.healing import Healer
from mcp_chaos.faults.kinds import Flap, Partition
from mcp_chaos.faults.monitor import ProxyMonitor, disturbance
from mcp_chaos.faults.patience import may_have_given_up
from mcp_chaos.faults.protocol import with_exchange
from mcp_chaos.faults.rarity import LONGEST_PROOF_S
from mcp_chaos.faults.route import Route
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock

Receipt = dict[str, Any]

_POLL_S = 0.02
_FEEL_AGAIN_AFTER_S = 1.5
_FEEL_AGAIN_EVERY_S = 5.0


def toxic_name(run_id: str, fault: Fault, stream: str) -> str:
    """The name of a toxic of ours: one per run, kind and stream, so that doing it twice is doing it once."""
    return f"mcp_chaos.{run_id}.{fault.kind}.{stream}"


def _check_provable(fault: Fault, proof_s: float) -> None:
    """Refuse what would take longer to prove than a fault may wait for.

    Raises:
        UsageError: it would.
    """
    if proof_s > LONGEST_PROOF_S:
        fraction = min(1.0, fault.connection_fraction * proof_s / LONGEST_PROOF_S)
        raise UsageError(
            f"With connection_fraction {fault.connection_fraction:g} it would take about {proof_s:.0f} s to prove that "
            f"'{fault.title()}' arrives, and at most {LONGEST_PROOF_S:g} s are allowed: use {fraction:.2g} or more. "
            "Nothing was changed."
        )


@dataclass
class _Active:
    fault_id: str
    fault: Fault
    receipt: Receipt
    applied: bool = False
    disturbed: bool = False
    stopped: bool = False
    healing: bool = False
    heal_failed: bool = False
    feel_again_at: float = math.inf
    """On the monotonic clock."""

    @property
    def toxics(self) -> list[str]:
        """The names of its toxics."""
        names: list[str] = self.receipt["toxics"]
        return names


class Injector:
    """The faults of one run.

    Args:
        server: the Toxiproxy.
        lanes: the way through each proxy.
        folder: where the history goes.
        clock: of the run.
        restart: starts the run's own Toxiproxy again on its ports; ``None`` where it is somebody else's.
    """

    def __init__(
        self,
        server: ToxiproxyServer,
        lanes: dict[str, Route],
        folder: RunFolder,
        clock: Clock,
        restart: Callable[[], None] | None = None,
    ) -> None:
        self._server = server
        self._lanes = lanes
        self._folder = folder
        self._clock = clock
        self._healer = Healer(server, self._record, restart)
        self._active: dict[tuple[str, str], _Active] = {}
        self._used: set[str] = set()
        self._monitor = ProxyMonitor(self._look_and_feel, self._on_unreachable)
        self._ids = count(1)
        self._hurried = False
        self._lock = threading.RLock()

    def start(self) -> None:
        """Look at the proxies before the first fault too.

        Raises:
            ToxiproxyError: Toxiproxy does not answer.
        """
        self._healer.remember()
        self._monitor.start()

    def inject(self, fault: Fault, for_s: float | None = None) -> Receipt:
        """Put a fault in place and prove it. The same fault again changes nothing and returns its first receipt.

        Args:
            fault: to put in place.
            for_s: how long to hold it before it is healed here, from the moment it was proven; ``None`` for a fault
                that stays in place.

        Returns:
            A receipt: what, where, when, and what the canary felt (``proof``, or ``doubt`` when it felt nothing).

        Raises:
            UsageError: there is no such proxy, or the fault strikes so few connections that it could not be proven.
            ToxiproxyError: it was refused; what was in place of it is removed again.
        """
        active, is_new = self._inject(fault)
        if not is_new:
            return {**active.receipt, "already": True}
        if for_s is not None:
            self._sleep(for_s, active)
            self._heal_unless_stopped(active)
        return active.receipt

    def _inject(self, fault: Fault) -> tuple[_Active, bool]:
        lane = self._lanes[fault.proxy] = with_exchange(self._lane(fault.proxy))
        with self._lock:
            before = self._active.get((fault.proxy, fault.place()))
            if before is not None and before.fault == fault:
                return before, False
            _check_provable(fault, Canary(lane).proof_s(fault))
            if before is not None:
                self._heal_one(before)
            active = self._put(fault)
        self._prove(active, lane)
        return active, True

    def flap(self, fault: Flap) -> Receipt:
        """Take the proxy down and up on a schedule; returns when the last up has come, or the fault is healed.

        Raises:
            UsageError, ToxiproxyError: as :meth:`inject`.
        """
        active, is_new = self._inject(fault)
        if not is_new:
            return {**active.receipt, "already": True}
        for step in range(2 * fault.times - 1):
            is_down = step % 2 == 0
            if not self._sleep((fault.down_ms if is_down else fault.up_ms) / 1e3, active):
                break
            with self._lock:
                if not active.stopped:
                    self._server.set_enabled(fault.proxy, is_down)
        self._heal_unless_stopped(active)
        return active.receipt

    def hurry(self) -> None:
        """Let faults that are held for a time end at once; only sets a flag, so a signal handler may call it."""
        self._hurried = True

    def heal(self, proxy: str | None = None) -> list[str]:
        """Remove what was injected here, all of it or that of one proxy. May be repeated.

        Returns:
            The titles of the faults that were healed.

        Raises:
            ToxiproxyError: after trying all; says what could not be healed.
        """
        healed, troubles = [], []
        with self._lock:
            for active in list(self._active.values()):
                if proxy not in (None, active.fault.proxy):
                    continue
                try:
                    self._heal_one(active)
                    healed.append(active.fault.title())
                except ToxiproxyError as error:
                    if not active.heal_failed:
                        self._event("heal_failed", active, error=str(error))
                    active.heal_failed = True
                    troubles.append(str(error))
        if troubles:
            raise ToxiproxyError("\n".join(dict.fromkeys(troubles)))
        return healed

    def close(self) -> None:
        """Stop looking at the proxies. May be repeated; what is in place stays."""
        self._monitor.stop()

    @property
    def active(self) -> list[Fault]:
        """The faults that are in place now."""
        return [active.fault for active in list(self._active.values())]

    def is_clean(self, proxy: str) -> bool:
        """Whether a proxy is up and has no toxic at all, ours or anybody's.

        Raises:
            UsageError: there is no such proxy.
            ToxiproxyError: Toxiproxy does not answer.
        """
        self._lane(proxy)
        state = self._server.proxy(proxy)
        return state.enabled and not state.toxics

    def _lane(self, proxy: str) -> Route:
        if proxy not in self._lanes:
            raise UsageError(
                f"There is no proxy '{proxy}' in this run; there are {', '.join(self._lanes)}. Nothing was changed."
            )
        return self._lanes[proxy]

    def _put(self, fault: Fault) -> _Active:
        fault_id = f"fault-{next(self._ids)}"
        names = [toxic_name(self._folder.run_id, fault, toxic.stream) for toxic in fault.toxics()]
        receipt: Receipt = {
            "fault_id": fault_id,
            "fault": fault_settings(fault),
            "proxy": fault.proxy,
            "name": fault.title(),
            "toxics": names,
        }
        active = _Active(fault_id, fault, receipt)
        if not self._active:
            self._healer.remember()
        if isinstance(fault, Partition) and not self._server.proxy(fault.proxy).enabled:
            raise ToxiproxyError(
                f"The proxy '{fault.proxy}' is down already, and not by this run. Nothing was changed."
            )
        receipt["injected_at_ns"] = self._event("fault_injecting", active, **receipt)
        # Noted before it is asked for: whatever interrupts the asking, it will be healed.
        self._active[fault.proxy, fault.place()] = active
        try:
            self._apply(fault, names)
        except ToxiproxyError:
            self._healer.undo(fault, names, given_up=False)
            self._event("fault_refused", active)
            del self._active[fault.proxy, fault.place()]
            raise
        self._event("fault_injected", active)
        active.applied = True
        self._used.add(fault.proxy)
        self._monitor.start()
        return active

    def _apply(self, fault: Fault, names: list[str]) -> None:
        if isinstance(fault, Partition):
            state = self._server.set_enabled(fault.proxy, False)
            if state.enabled:
                raise ToxiproxyError(f"Toxiproxy was asked to take '{fault.proxy}' down, but it is still up.")
        for name, toxic in zip(names, fault.toxics(), strict=True):
            self._server.put_toxic(fault.proxy, name, toxic)

    def _heal_unless_stopped(self, active: _Active) -> None:
        with self._lock:
            if not active.stopped:
                self._heal_one(active)

    def _heal_one(self, active: _Active) -> None:
        active.stopped = True
        if not active.healing:
            self._event("fault_healing", active)
            active.healing = True
            try:
                self._look()
            except ToxiproxyError as error:
                self._healer.tell_unreachable(error)
        given_up = active.applied and may_have_given_up(self._folder, active.fault, active.receipt["injected_at_ns"])
        told = self._healer.heal(active.fault, active.toxics, given_up=given_up)
        self._event("fault_healed", active, **told)
        del self._active[active.fault.proxy, active.fault.place()]

    def _on_unreachable(self, error: ToxiproxyError) -> None:
        """Put it on record, and start the run's own Toxiproxy again where no fault would be taken away by that."""
        with self._lock:
            self._healer.tell_unreachable(error)
            if not self._active:  # else the heal does it
                with suppress(ToxiproxyError):
                    self._healer.revive(error)

    def _look_and_feel(self) -> None:
        self._look()
        for active in list(self._active.values()):
            if time.monotonic() >= active.feel_again_at:
                self._feel_again(active)

    def _feel_again(self, active: _Active) -> None:
        """A fault that lasts is felt more than once: it may be in place and do nothing any more."""
        try:
            Canary(self._lanes[active.fault.proxy]).feel(active.fault)
        except NotFeltError as doubt:
            if not active.stopped:
                self._tell_disturbed(active, f"the canary felt it no longer: {doubt}")
        active.feel_again_at = time.monotonic() + _FEEL_AGAIN_EVERY_S

    def _look(self) -> None:
        """Read the proxies back and put on record what somebody else did to them; once for each fault."""
        with self._lock:
            there, before = self._healer.look(), self._healer.before
            for name in sorted(self._used & before.keys()):
                on_it = [active for active in self._active.values() if active.fault.proxy == name and active.applied]
                found = disturbance(there.get(name), before[name], [(a.fault, a.toxics) for a in on_it])
                for active in on_it if found else []:
                    self._tell_disturbed(active, found or "")
                if found and not on_it:
                    self._used.discard(name)
                    self._record("proxy_disturbed", proxy=name, found=found)

    def _tell_disturbed(self, active: _Active, found: str) -> None:
        if active.disturbed:
            return
        active.disturbed = True
        after_s = round((self._clock.now_ns() - active.receipt["injected_at_ns"]) / 1e9, 1)
        data = {"name": active.fault.title(), "proxy": active.fault.proxy, "after_s": after_s, "found": found}
        self._event("fault_disturbed", active, **data)

    def _sleep(self, seconds: float, active: _Active) -> bool:
        """Sleep, unless the fault is to end; whether it is to go on."""
        until = time.monotonic() + seconds
        while not (active.stopped or self._hurried):
            left_s = until - time.monotonic()
            if left_s <= 0:
                return True
            time.sleep(min(left_s, _POLL_S))
        return False

    def _prove(self, active: _Active, lane: Route) -> None:
        began = time.monotonic()
        try:
            active.receipt["proof"] = Canary(lane).feel(active.fault)
            self._event("fault_proven", active, proof=active.receipt["proof"])
            if not isinstance(active.fault, Flap) and active.fault.connection_fraction >= 1:
                active.feel_again_at = time.monotonic() + _FEEL_AGAIN_AFTER_S
        except NotFeltError as doubt:
            active.receipt["doubt"] = str(doubt)
            self._event("fault_unproven", active, doubt=str(doubt))
        active.receipt["proof_took_s"] = round(time.monotonic() - began, 3)

    def _event(self, kind: str, active: _Active, **data: Any) -> int:
        return self._record(kind, **{"fault_id": active.fault_id, **data})

    def _record(self, kind: str, **data: Any) -> int:
        return self._folder.event(self._clock.now_ns(), kind, **data).at_ns

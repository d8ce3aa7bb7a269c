"""Take a fault away: by removing its toxics, by making its proxy anew, or by starting a dead Toxiproxy again."""

from collections.abc import Callable, Sequence
from typing import Any

from mcp_chaos.errors import PartError, ToxiproxyError
from mcp_chaos.faults.fault import Fault
from mcp_chaos.faults.kinds import BlackHole, Partition
from mcp_chaos.faults.monitor import TIMEOUT_S
from mcp_chaos.faults.recreate import Record, recreate_proxy, restore_proxy, without
from mcp_chaos.faults.toxiproxy import ProxyState, ToxiproxyServer


class Healer:
    """Heals the proxies of one run.

    Args:
        server: the Toxiproxy.
        record: writes an event.
        restart: starts the run's own Toxiproxy again on its ports; ``None`` where it is somebody else's.
    """

    def __init__(self, server: ToxiproxyServer, record: Record, restart: Callable[[], None] | None) -> None:
        self._server = server
        self._quick = ToxiproxyServer(server.url, TIMEOUT_S)
        self._record = record
        self._restart = restart
        self._told_unreachable = False
        self._missing: dict[str, ProxyState] = {}
        self.before: dict[str, ProxyState] = {}

    def remember(self) -> None:
        """Note what the proxies are while no fault is in place, starting a dead Toxiproxy of the run's own again.

        Raises:
            ToxiproxyError: it does not answer.
        """
        try:
            self.before = self._server.proxies()
        except ToxiproxyError as error:
            self.revive(error)
            self.before = self._server.proxies()

    def look(self) -> dict[str, ProxyState]:
        """What the proxies are now; waits less long for an answer than anything else does."""
        return self._quick.proxies()

    def tell_unreachable(self, error: ToxiproxyError) -> None:
        """Put on record that Toxiproxy cannot be asked; once, until it is started again."""
        if not self._told_unreachable:
            self._told_unreachable = True
            self._record("toxiproxy_unreachable", error=str(error))

    def heal(self, fault: Fault, toxics: Sequence[str], *, given_up: bool = True) -> dict[str, Any]:
        """Take a fault away, starting a Toxiproxy of the run's own again when it does not answer.

        Returns:
            How it was done, for the history.

        Raises:
            ToxiproxyError: it was not possible.
        """
        try:
            return self.undo(fault, toxics, given_up=given_up)
        except ToxiproxyError as error:
            self.revive(error)
            return {"by": "Toxiproxy was restarted"}

    def undo(self, fault: Fault, toxics: Sequence[str], *, given_up: bool) -> dict[str, Any]:
        """Take a fault away and read back that it is gone.

        Args:
            fault: the fault.
            toxics: the names of its toxics.
            given_up: whether clients may have given up calls that it held back; removing its toxics can freeze then.

        Returns:
            How it was done, for the history.

        Raises:
            ToxiproxyError: it was not possible.
        """
        state, told = self._server.proxies().get(fault.proxy), {}
        is_risky = given_up and fault.holds_answers_back()
        if state is None or is_risky or not self._remove(fault, toxics):
            self._recreate(fault.proxy, toxics, state)
            # Toxiproxy closes the connections that are in a black hole in any case.
            closes_anyway = isinstance(fault, BlackHole) and fault.connection_fraction >= 1
            told = {"proxy_recreated": True, "connections_cut": not closes_anyway}
        state = self._server.proxy(fault.proxy)
        left = [name for name in toxics if name in state.toxics]
        if left or (isinstance(fault, Partition) and not state.enabled):
            raise ToxiproxyError(f"After healing, '{fault.proxy}' still has {', '.join(left) or 'its partition'}.")
        return told

    def _remove(self, fault: Fault, toxics: Sequence[str]) -> bool:
        """Remove the toxics of a fault; false when that failed or froze, and the proxy has to be made anew."""
        if isinstance(fault, Partition):
            self._server.set_enabled(fault.proxy, True)
        try:
            for name in toxics:
                self._quick.delete_toxic(fault.proxy, name)
        except ToxiproxyError:
            return False
        return True

    def _recreate(self, name: str, toxics: Sequence[str], state: ProxyState | None) -> None:
        """Make a proxy anew without some toxics; one that is gone, as it was before."""
        found = state or self._missing.get(name) or self.before.get(name)
        if found is None:
            raise ToxiproxyError(f"The proxy '{name}' is gone, and nobody knows what it was.")
        wanted = without(found, toxics)
        # When it cannot be created now, the next attempt has to know what it was.
        self._missing[name] = wanted
        recreate_proxy(self._server, wanted, self._record)
        del self._missing[name]

    def revive(self, error: ToxiproxyError) -> None:
        """End the run's own Toxiproxy where its API is dead, and start it again on its ports, with the proxies it had.

        Args:
            error: what failed.

        Raises:
            ToxiproxyError: it is somebody else's, or it answers: then the error is about something else.
        """
        if self._answers():
            raise error
        self.tell_unreachable(error)
        if self._restart is None:
            raise error
        try:
            self._restart()
        except PartError as failed:
            raise ToxiproxyError(f"{error}\n{failed}") from None
        self._record("toxiproxy_restarted", error=str(error))
        self._told_unreachable = False
        for state in self.before.values():
            restore_proxy(self._server, state)
            self._record("proxy_recreated", proxy=state.name)

    def _answers(self) -> bool:
        try:
            self.look()
        except ToxiproxyError:
            return False
        return True

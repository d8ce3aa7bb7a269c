"""What a run may have left behind, told from its history alone, and the healing of it by somebody else.

Used by the watchdog when a run died without a word, and by ``mcp-chaos heal``.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mcp_chaos.errors import ToxiproxyError
from mcp_chaos.faults.recreate import Record, recorded_proxy, recreate_proxy, restore_proxy, without
from mcp_chaos.faults.toxiproxy import ProxyState, ToxiproxyServer
from mcp_chaos.history.events import Event
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.processes import children_of_run, end_children, is_alive, is_suspended, resume

_UNREACHABLE_TIMEOUT_S = 3.0
_ENDING_S = 2.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Leftovers:
    """What is not known to have been taken back.

    Args:
        faults: the data of ``fault_injecting`` events.
        proxies: names of proxies that the run created in a Toxiproxy that is not its own.
        missing: proxies that it deleted in order to create them again, and may not have.
    """

    faults: list[dict[str, Any]]
    proxies: list[str]
    missing: list[ProxyState]


def leftovers(events: list[Event]) -> Leftovers:
    """What the events leave open."""
    settled = {e.data["fault_id"] for e in events if e.kind in ("fault_healed", "fault_refused", "fault_ended")}
    faults = [e.data for e in events if e.kind == "fault_injecting" and e.data["fault_id"] not in settled]
    removed = {e.data["proxy"] for e in events if e.kind == "proxy_removed"}
    created = [e.data["proxy"] for e in events if e.kind == "proxy_created"]
    missing: dict[str, ProxyState] = {}
    is_own = any(event.kind == "toxiproxy_ready" and event.data["embedded"] for event in events)
    for event in events if not is_own else ():
        if event.kind == "proxy_recreating":
            missing[event.data["proxy"]] = recorded_proxy(event.data)
        elif event.kind in ("proxy_recreated", "proxy_removed"):
            missing.pop(event.data["proxy"], None)
    return Leftovers(faults, [name for name in created if name not in removed], list(missing.values()))


def clean_up(folder: RunFolder, clock: Clock, why: str) -> list[str]:
    """End the children of a run that is no more and take back what its history leaves open. May be repeated.

    Args:
        folder: of the run.
        clock: of the run, or a new one.
        why: what became of the run; goes into its history when something was left.

    Returns:
        What was done, in words; empty when nothing was left.

    Raises:
        ToxiproxyError: Toxiproxy could not be asked; says what is still in place.
    """
    events = folder.readable_events()
    left = leftovers(events)
    server = next((e.data for e in events if e.kind == "toxiproxy_ready" and not e.data["embedded"]), None)
    # A process that the run was given, and left paused, is not among its children.
    done = [f"continued process {f['pid']}" for f in left.faults if "process" in f and resume(f["process"])]
    try:
        if server is not None and (left.faults or left.proxies or left.missing):
            done += _heal(folder, clock, ToxiproxyServer(server["url"], _UNREACHABLE_TIMEOUT_S), left)
    except ToxiproxyError:
        if server is None or not _has_ended(server.get("process")):
            raise
        server = None
    finally:  # a Toxiproxy that is dead keeps no process alive
        done += [f"ended {name}" for name in end_children(str(folder.path))]
    if server is None:
        # The run's own Toxiproxy is among the children that were ended, and every toxic with it.
        for fault in left.faults:
            folder.event(clock.now_ns(), "fault_healed", fault_id=fault["fault_id"], by="its Toxiproxy was ended")
            done.append(f"healed '{fault['name']}' on {fault['proxy']}")
    if done:
        folder.event(clock.now_ns(), "unfinished", why=why, done=done)
    return done


def _has_ended(process: object) -> bool:
    """Whether the process of a Toxiproxy is known and is no more; one that is about to end is waited for."""
    until = time.monotonic() + _ENDING_S
    while process is not None and is_alive(process) and time.monotonic() < until:
        time.sleep(_POLL_S)
    return process is not None and not is_alive(process)


def take_faults_away(folder: RunFolder, clock: Clock) -> list[str]:
    """Take back the faults of a run that goes on and cannot do so itself, as it is suspended; all else stays.

    Args:
        folder: of the run.
        clock: of the run.

    Returns:
        The titles of the faults that were there, as far as is known.

    Raises:
        ToxiproxyError: Toxiproxy could not be asked.
    """
    events = folder.readable_events()
    faults = leftovers(events).faults
    for fault in faults:
        resume(fault.get("process", {}))
    for process in children_of_run(str(folder.path)) if faults else ():
        if is_suspended(process.pid):
            process.resume()
    # The last one: a run that lost its own Toxiproxy has started another.
    url = next((e.data["url"] for e in reversed(events) if e.kind == "toxiproxy_ready"), None)
    on_network = [fault for fault in faults if "pid" not in fault]
    if url is not None and on_network:
        _take_away(ToxiproxyServer(url, _UNREACHABLE_TIMEOUT_S), on_network, _recorder(folder, clock))
    return [f"{fault['name']} on {fault['proxy']}" for fault in faults]


def _recorder(folder: RunFolder, clock: Clock) -> Record:
    return lambda kind, **data: folder.event(clock.now_ns(), kind, **data)


def _take_away(server: ToxiproxyServer, faults: Sequence[dict[str, Any]], record: Record) -> None:
    there = server.proxies()
    for fault in faults:
        state = there.get(fault["proxy"])
        if state is None:
            continue
        try:
            for toxic in fault["toxics"]:
                server.delete_toxic(state.name, toxic)
            if not fault["toxics"]:
                server.set_enabled(state.name, True)
        except ToxiproxyError:  # which freezes where clients gave up what a toxic holds back
            recreate_proxy(server, without(state, fault["toxics"]), record)


def _heal(folder: RunFolder, clock: Clock, server: ToxiproxyServer, left: Leftovers) -> list[str]:
    done = []
    try:
        for state in left.missing:
            ours = [name for name in state.toxics if name.startswith(f"mcp_chaos.{folder.run_id}.")]
            restore_proxy(server, without(state, ours))
            folder.event(clock.now_ns(), "proxy_recreated", proxy=state.name)
            done.append(f"created the proxy '{state.name}' again")
        record = _recorder(folder, clock)
        for fault in left.faults:
            _take_away(server, [fault], record)
            record("fault_healed", fault_id=fault["fault_id"], by="clean-up")
            done.append(f"healed '{fault['name']}' on {fault['proxy']}")
        for proxy in left.proxies:
            server.delete_proxy(proxy)
            folder.event(clock.now_ns(), "proxy_removed", proxy=proxy)
            done.append(f"removed the proxy '{proxy}'")
    except ToxiproxyError as error:
        names = [f"'{fault['name']}' on {fault['proxy']}" for fault in left.faults]
        names += [f"the proxy '{proxy}'" for proxy in left.proxies]
        missing = ", ".join(f"'{state.name}' ({state.listen} to {state.upstream})" for state in left.missing)
        told = [f"This may still be in place there: {', '.join(names)}."] if names else []
        told += [f"This proxy may be missing there: {missing}."] if missing else []
        raise ToxiproxyError("\n".join([str(error), *told])) from None
    return done

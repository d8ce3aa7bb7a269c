"""What an experiment can do: faults, process faults, loads. Thin: each checks its arguments and asks the current run.

Every fault action takes the proxy (``mcp``: between clients and server; ``backend``: between server and warehouse), a
direction (upstream: towards the server), and the fraction of connections it hits. With ``for_s`` it is held for that
long and healed before the action returns; without, it stays until ``heal``. Each returns a receipt: what was put where,
and what the canary felt.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Dict, List, Optional, Type, TypeVar

from mcp_chaos.clients.fault import behaviour_names
from mcp_chaos.faults.fault import Fault, make_fault
from mcp_chaos.faults.kinds import Bandwidth, BlackHole, DataLimit, Flap, Latency, Partition, Reset, Slicer, SlowClose
from mcp_chaos.faults.process import KILL, PAUSE
from mcp_chaos.guard import guarded
from mcp_chaos.load.checks import check_load, loads_on, make_shape, shape_numbers
from mcp_chaos.run.current import current
from mcp_chaos.workload.file import names_of, read_workload

__all__ = [
    "add_latency",
    "black_hole",
    "flap",
    "heal",
    "kill",
    "limit_bandwidth",
    "limit_data",
    "partition",
    "pause",
    "reset_connections",
    "restart",
    "slice_packets",
    "slow_close",
    "start_clients",
    "start_load",
    "start_locust",
    "stop_load",
    "wait_for_load",
]

R = TypeVar("R")


@guarded
def add_latency(
    latency_ms: int,
    jitter_ms: int = 0,
    direction: str = "downstream",
    connection_fraction: float = 1.0,
    proxy: str = "mcp",
    for_s: Optional[float] = None,
) -> Dict[str, Any]:
    """Hold back every chunk by latency_ms ± jitter_ms, on open connections too."""
    return _inject(Latency, locals())


@guarded
def limit_bandwidth(
    rate_kb_per_s: int,
    direction: str = "downstream",
    connection_fraction: float = 1.0,
    proxy: str = "mcp",
    for_s: Optional[float] = None,
) -> Dict[str, Any]:
    """Give each connection rate_kb_per_s (1 kB = 1000 bytes)."""
    return _inject(Bandwidth, locals())


@guarded
def black_hole(
    direction: str = "both", connection_fraction: float = 1.0, proxy: str = "mcp", for_s: Optional[float] = None
) -> Dict[str, Any]:
    """Let bytes vanish while connections stay open."""
    return _inject(BlackHole, locals())


@guarded
def reset_connections(
    after_ms: int = 0,
    direction: str = "downstream",
    connection_fraction: float = 1.0,
    proxy: str = "mcp",
    for_s: Optional[float] = None,
) -> Dict[str, Any]:
    """Reset connections after_ms after their first bytes, as long as the fault is in place."""
    return _inject(Reset, locals())


@guarded
def slow_close(
    delay_ms: int,
    direction: str = "downstream",
    connection_fraction: float = 1.0,
    proxy: str = "mcp",
    for_s: Optional[float] = None,
) -> Dict[str, Any]:
    """Hold back the end of connections by delay_ms."""
    return _inject(SlowClose, locals())


@guarded
def slice_packets(
    average_size_bytes: int,
    size_variation_bytes: int = 0,
    delay_us: int = 0,
    direction: str = "downstream",
    connection_fraction: float = 1.0,
    proxy: str = "mcp",
    for_s: Optional[float] = None,
) -> Dict[str, Any]:
    """Cut data into small pieces, delay_us apart."""
    return _inject(Slicer, locals())


@guarded
def limit_data(
    limit_bytes: int,
    direction: str = "downstream",
    connection_fraction: float = 1.0,
    proxy: str = "mcp",
    for_s: Optional[float] = None,
) -> Dict[str, Any]:
    """End each connection after limit_bytes."""
    return _inject(DataLimit, locals())


@guarded
def partition(
    direction: str = "both", connection_fraction: float = 1.0, proxy: str = "mcp", for_s: Optional[float] = None
) -> Dict[str, Any]:
    """Take the proxy down: open connections end, new ones are refused, both ways and for everybody."""
    return _inject(Partition, locals())


@guarded
def flap(
    down_ms: int = 500,
    up_ms: int = 500,
    times: int = 3,
    direction: str = "both",
    connection_fraction: float = 1.0,
    proxy: str = "mcp",
) -> Dict[str, Any]:
    """Take the proxy down and up several times; returns after the last time, so run it in the background."""
    return current().inject(make_fault(Flap, **locals()))


@guarded
def start_clients(
    behaviours: str = "all", clients: int = 8, for_s: float = 6.0, deadline_s: float = 5.0
) -> Dict[str, Any]:
    """Let clients misbehave for for_s (leave in calls, never read, never end); returns when they have gone."""
    run = current()
    names = behaviour_names(behaviours)
    environment = run.environment
    run.require_calls("clients that misbehave")
    wires = run.wires(deadline_s)
    receipt: Dict[str, Any] = run.client_faults.run(
        wires, environment.operation, names, clients, for_s, environment.settings.seed
    )
    return receipt


@guarded
def heal(where: Optional[str] = None) -> List[str]:
    """Take back the faults of this run, of one proxy or part, or all; returns which. May be repeated."""
    return current().heal(where)


@guarded
def pause(part: str = "server", for_s: Optional[float] = None) -> Dict[str, Any]:
    """Stop a process of the run's own (server, warehouse) in its tracks: connections stay, nothing answers."""
    receipt = _hurt(part, PAUSE)
    if for_s is not None:
        current().hold(for_s)
        current().heal(part)
    return receipt


@guarded
def kill(part: str = "server") -> Dict[str, Any]:
    """Kill a process of the run's own (server, warehouse) without a word."""
    return _hurt(part, KILL)


@guarded
def restart(part: str = "server") -> Dict[str, Any]:
    """End a process of the run's own and start it again on its port; heals it when it was paused or killed."""
    return current().process_faults.restart(part)


def with_numbers_of_shapes(action: Callable[..., R]) -> Callable[..., R]:
    """An action that shows Chaos Toolkit the numbers of all load shapes as arguments of its own."""
    signature = inspect.signature(action)
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [one for one in signature.parameters.values() if one.kind is positional]
    numbers = [
        inspect.Parameter(name, positional, default=None, annotation=Optional[kind])
        for name, (kind, _) in shape_numbers().items()
    ]
    action.__signature__ = signature.replace(parameters=[*own, *numbers])  # type: ignore[attr-defined]
    return action


@guarded
@with_numbers_of_shapes
def start_load(
    name: str = "load",
    shape: str = "sustained",
    lane: str = "faulted",
    deadline_s: float = 10.0,
    users_from: Optional[str] = None,
    workload: Optional[str] = None,
    workers: int = 1,
    **numbers: Any,
) -> Dict[str, Any]:
    """Start a burst, ramp, sustained or constant load beside this process; other numbers are the specification's.

    With ``lane="both"`` a second one, NAME-control, makes the same calls past the faults.
    """
    run = current()
    given = {key: value for key, value in numbers.items() if value is not None}
    with run.judged_loads.starting(name):
        loads = loads_on(name, lane)
        made = check_load(name, shape, loads[0][1], deadline_s, users_from, given, workers)
        if users_from is not None:
            made = make_shape(shape, **type(made).at_capacity(given, run.loads.ramp(users_from), len(loads)))
        calls = read_workload(*names_of(workload)) if workload else None
        if calls is not None:
            calls = run.environment.check_workload(calls)
        specs = [
            replace(run.loads.spec(load, made, way, deadline_s, calls, workers), users_from=users_from)
            for load, way in loads
        ]
        run.start_loads(specs)
    return {"load": name, "shape": specs[0].to_json()["shape"], "lane": lane}


@guarded
def start_locust(
    name: str = "locust",
    users: int = 10,
    spawn_rate_per_s: float = 10.0,
    duration_s: float = 60.0,
    workload: str = "mcp_user",
    processes: int = 1,
    lane: str = "faulted",
    deadline_s: float = 10.0,
) -> Dict[str, Any]:
    """Let Locust make a load on this machine; its calls count in windows and thresholds as those of any load."""
    return start_load(
        name=name,
        shape="locust",
        lane=lane,
        deadline_s=deadline_s,
        users=users,
        spawn_rate_per_s=spawn_rate_per_s,
        duration_s=duration_s,
        workload=workload,
        workers=processes,
    )


@guarded
def wait_for_load(name: str = "load", timeout_s: float = 3600.0) -> Dict[str, Any]:
    """Wait until a load has ended and return its result in the specification's fields."""
    return current().wait_for_load(name, timeout_s)


@guarded
def stop_load(name: str = "load") -> Dict[str, Any]:
    """End a load early: no new call, those under way until their deadline; return its result."""
    return current().loads.get(name).stop()


def _inject(kind: Type[Fault], given: Dict[str, Any]) -> Dict[str, Any]:
    numbers = {key: value for key, value in given.items() if key != "for_s"}
    return current().inject(make_fault(kind, **numbers), given["for_s"])


def _hurt(part: str, kind: str) -> Dict[str, Any]:
    run = current()
    run.require_calls(f"{kind} {part}")
    return run.process_faults.hurt(part, kind)

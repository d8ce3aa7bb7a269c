"""What an experiment can ask: readings and judgements. A probe changes nothing; what it reads goes into the history."""

import asyncio
from dataclasses import asdict, replace
from typing import Any, Dict

from mcp_chaos.clients.crosstalk import cross_talk, find_echo
from mcp_chaos.clients.growth import growth_in_versions
from mcp_chaos.clients.rules import RULES, Subject, check_rules_in_versions
from mcp_chaos.clients.storm import StormResult
from mcp_chaos.clients.tally import SessionTally, fresh_sessions
from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.guard import guarded
from mcp_chaos.history.calls import LANES, Lane
from mcp_chaos.load.checks import check_load
from mcp_chaos.observe.target import check_answers, read_health, read_status
from mcp_chaos.run.current import current
from mcp_chaos.verdict.evidence import causes_of_all
from mcp_chaos.verdict.figures import FIGURES

__all__ = [
    "answers_are_not_mixed_up",
    "burst",
    "burst_p95_ms",
    "burst_success_fraction",
    "ended_sessions_are_freed",
    "fresh_sessions_answer",
    "fresh_sessions_were_served",
    "health_status",
    "load_reading",
    "protocol_rules_are_kept",
    "proxy_is_clean",
    "server_answers",
    "server_counters",
    "service_is_steady",
    "sessions_outlive_their_calls",
]

_FRESH_DEADLINE_S = 5.0


@guarded
def server_answers(deadline_s: float = 5.0, lane: str = "faulted") -> bool:
    """Whether a fresh session runs a real tool within deadline_s."""
    run = current()
    environment = run.environment
    try:
        check_answers(
            environment.addresses.url(_lane(lane)),
            environment.settings.dialect,
            environment.operation,
            deadline_s,
            environment.addresses.host_header,
        )
    except TargetError as error:
        run.observe("server_answers", {"answers": False, "why": str(error)})
        return False
    run.observe("server_answers", {"answers": True})
    return True


@guarded
def service_is_steady(
    requests: int = 50, concurrency: int = 10, deadline_s: float = 10.0, least_fraction: float = 0.99
) -> bool:
    """Whether a new client is served, a burst of calls is answered well, and no proxy but a clean one is in the way."""
    run = current()
    if not server_answers(deadline_s=min(deadline_s, _FRESH_DEADLINE_S)):
        return False  # with its reason
    dirty = [proxy for proxy in run.environment.ways if not run.injector.is_clean(proxy)]
    if dirty:
        run.observe("service_is_steady", {"why": f"the proxy {' and '.join(dirty)} is down or has a toxic"})
        return False
    return burst_success_fraction(requests, concurrency, deadline_s) >= least_fraction


@guarded
def health_status(deadline_s: float = 5.0, lane: str = "faulted") -> str:
    """What /health says: healthy, unhealthy, unknown, or unreachable."""
    run = current()
    health = read_health(
        run.environment.addresses.url(_lane(lane), "/health"), deadline_s, run.environment.addresses.host_header
    )
    run.observe("health_status", asdict(health))
    return health.status


@guarded
def server_counters(deadline_s: float = 5.0) -> Dict[str, Any]:
    """The counters of /status, over the clean lane; empty when the server has none."""
    run = current()
    environment = run.environment
    counters = read_status(
        environment.addresses.url(Lane.CONTROL, "/status"), deadline_s, environment.addresses.host_header
    )
    run.observe("server_counters", counters)
    return counters


@guarded
def burst(requests: int = 50, concurrency: int = 10, deadline_s: float = 10.0, lane: str = "faulted") -> Dict[str, Any]:
    """Run the specification's basic test and return its result: a burst of requests at a concurrency."""
    return _burst(requests, concurrency, deadline_s, lane)


@guarded
def burst_success_fraction(
    requests: int = 50, concurrency: int = 10, deadline_s: float = 10.0, lane: str = "faulted"
) -> float:
    """The fraction of the basic test's requests that were answered well, 0 to 1."""
    result = _burst(requests, concurrency, deadline_s, lane)
    # A rate limit is the server's right; one that refuses all of them answers nothing.
    refused = result["summary"]["reasons"].get("rate_limited", 0)
    return float(result["successful_requests"] / ((result["total_requests"] - refused) or 1))


@guarded
def burst_p95_ms(requests: int = 50, concurrency: int = 10, deadline_s: float = 10.0, lane: str = "faulted") -> float:
    """The 95th percentile of the basic test's response times in ms; the deadline when nothing was answered."""
    p95_s = _burst(requests, concurrency, deadline_s, lane)["p95_response_time"]
    return float(1e3 * (deadline_s if p95_s is None else p95_s))


@guarded
def fresh_sessions_answer(sessions: int = 5, deadline_s: float = 5.0) -> bool:
    """Whether new clients are served, one after the other: handshake, list of tools, one call, each in deadline_s."""
    run = current()
    found = asyncio.run(fresh_sessions(run.wires(deadline_s), run.environment.operation, sessions))
    run.observe("fresh_sessions_answer", {"served_s": found.served, "why": found.why})
    return not found.failures


@guarded
def fresh_sessions_were_served(least_fraction: float = 0.95) -> bool:
    """Whether sessions that were opened beside the misbehaving clients of start_clients were served."""
    return _observe_sessions(
        "fresh_sessions_were_served", _storm().fresh, "fresh sessions were not served", least_fraction
    )


@guarded
def sessions_outlive_their_calls(least_fraction: float = 0.9) -> bool:
    """Whether clients of start_clients that came back after they had left a call were served, or told 404."""
    what = "clients that left a call and came back were not served"
    return _observe_sessions("sessions_outlive_their_calls", _storm().returned, what, least_fraction)


@guarded
def ended_sessions_are_freed(sessions: int = 50, deadline_s: float = 5.0, limit_s: float = 12.0) -> bool:
    """Whether sessions that were ended leave nothing behind in the server's process, where it can be seen."""
    run = current()
    wires = run.wires(deadline_s)
    if run.server_sample() is None:
        run.observe("ended_sessions_are_freed", {"why": "", "not_applicable": "the server's process cannot be seen"})
        return True
    growth = growth_in_versions(wires, run.environment.operation, run.server_sample, sessions, limit_s)
    why = asyncio.run(growth)
    run.observe("ended_sessions_are_freed", {"why": why})
    return not why


@guarded
def protocol_rules_are_kept(rules: str = "all", deadline_s: float = 5.0) -> bool:
    """Whether the server keeps the specification's rules on sessions, streams and cancellation."""
    run = current()
    names = tuple(RULES) if rules == "all" else tuple(name.strip() for name in rules.split(","))
    unknown = [name for name in names if name not in RULES]
    if unknown:
        raise UsageError(f"rules: there is no {', '.join(unknown)}; there are {', '.join(RULES)}.")
    environment = run.environment
    others = [operation for _, operation in environment.callable_tools()]
    subjects = [Subject(wire, environment.operation, others) for wire in run.wires(deadline_s)]
    broken, missing = asyncio.run(check_rules_in_versions(subjects, names))
    run.observe("protocol_rules_are_kept", {"why": "; ".join(broken), "not_applicable": missing})
    return not broken


@guarded
def answers_are_not_mixed_up(clients: int = 12, calls_per_client: int = 12, deadline_s: float = 5.0) -> bool:
    """Whether every client gets the answer to its own question, while others hang up in the middle of theirs."""
    run = current()
    wire, environment = run.wire(deadline_s), run.environment
    echo = asyncio.run(find_echo(wire, environment.callable_tools()))
    found = asyncio.run(cross_talk(wire, echo, environment.operation, clients, calls_per_client))
    asked = f"{echo.operation.tool}({echo.argument})" if echo else None
    run.observe("answers_are_not_mixed_up", {"echo": asked, "answers": found.answers, "why": found.why})
    return not found.why


@guarded
def proxy_is_clean(proxy: str = "mcp") -> bool:
    """Whether a proxy is up and has no toxic, ours or anybody's."""
    run = current()
    return bool(run.observe("proxy_is_clean", run.injector.is_clean(proxy)))


@guarded
def load_reading(name: str = "load", figure: str = "success_fraction", seconds: float = 5.0) -> float:
    """A figure of a load over its last seconds while it runs, such as success_fraction, p95_ms or calls_per_s."""
    if figure not in FIGURES:
        raise UsageError(f"There is no figure '{figure}'; there are {', '.join(FIGURES)}.")
    run = current()
    value = run.loads.get(name).recent(seconds)[figure]
    if value is None:
        raise UsageError(f"The load '{name}' made no call in the last {seconds:g} s that gives its {figure}.")
    run.observe("load_reading", {"load": name, "figure": figure, "value": value})
    return float(value)


def _storm() -> StormResult:
    storm = current().client_faults.last
    if storm is None:
        raise UsageError(
            "No start_clients has run yet, so no client has left a call and no session was opened beside it."
        )
    return storm


def _observe_sessions(probe: str, sessions: SessionTally, what: str, least_fraction: float) -> bool:
    current().observe(probe, {"served_s": sessions.served, "why": sessions.told(what)})
    return sessions.served_fraction >= least_fraction


def _lane(name: str) -> Lane:
    if name not in LANES:
        raise UsageError(f"There is no lane '{name}'; there are {', '.join(LANES)}.")
    return LANES[name]


def _burst(requests: int, concurrency: int, deadline_s: float, lane: str) -> Dict[str, Any]:
    run = current()
    numbers = {"requests": requests, "concurrency": concurrency}
    name = run.loads.new_name("burst")
    spec = run.loads.spec(name, check_load(name, "burst", lane, deadline_s, None, numbers), lane, deadline_s)
    result = run.loads.run(replace(spec, judged=False))
    why = causes_of_all(run.folder.calls(name), run.folder.bad_answers(name))
    run.observe("burst", {**result, "why": why})
    return result

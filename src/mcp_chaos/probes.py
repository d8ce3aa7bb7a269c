"""What an experiment can ask: readings and judgements. A probe changes nothing; what it reads goes into the history."""

from dataclasses import asdict, replace
from typing import Any, Dict

from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.face import guarded
from mcp_chaos.load.shape import check_load
from mcp_chaos.metrics import FIGURE_NAMES
from mcp_chaos.observe.target import check_answers, read_health, read_status
from mcp_chaos.records import LANES, Lane
from mcp_chaos.run import current

__all__ = [
    "burst",
    "burst_p95_ms",
    "burst_success_fraction",
    "health_status",
    "load_reading",
    "proxy_is_clean",
    "server_answers",
    "server_counters",
]


@guarded
def server_answers(deadline_s: float = 5.0, lane: str = "faulted") -> bool:
    """Whether a fresh session runs a real tool within deadline_s."""
    run = current()
    environment = run.environment
    try:
        check_answers(
            environment.url(_lane(lane)),
            environment.settings.dialect,
            environment.operation,
            deadline_s,
            environment.host_header,
        )
    except TargetError as error:
        run.observe("server_answers", {"answers": False, "why": str(error)})
        return False
    run.observe("server_answers", {"answers": True})
    return True


@guarded
def health_status(deadline_s: float = 5.0, lane: str = "faulted") -> str:
    """What /health says: healthy, unhealthy, unknown, or unreachable."""
    run = current()
    health = read_health(run.environment.url(_lane(lane), "/health"), deadline_s, run.environment.host_header)
    run.observe("health_status", asdict(health))
    return health.status


@guarded
def server_counters(deadline_s: float = 5.0) -> Dict[str, Any]:
    """The counters of /status, over the clean lane; empty when the server has none."""
    run = current()
    environment = run.environment
    counters = read_status(environment.url(Lane.CONTROL, "/status"), deadline_s, environment.host_header)
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
    return float(result["successful_requests"] / result["total_requests"])


@guarded
def burst_p95_ms(requests: int = 50, concurrency: int = 10, deadline_s: float = 10.0, lane: str = "faulted") -> float:
    """The 95th percentile of the basic test's response times in ms; the deadline when nothing was answered."""
    p95_s = _burst(requests, concurrency, deadline_s, lane)["p95_response_time"]
    return float(1e3 * (deadline_s if p95_s is None else p95_s))


@guarded
def proxy_is_clean(proxy: str = "mcp") -> bool:
    """Whether a proxy is up and has no toxic, ours or anybody's."""
    run = current()
    return bool(run.observe("proxy_is_clean", run.injector.is_clean(proxy)))


@guarded
def load_reading(name: str = "load", figure: str = "success_fraction", seconds: float = 5.0) -> float:
    """A figure of a load over its last seconds while it runs, such as success_fraction, p95_ms or calls_per_s."""
    if figure not in FIGURE_NAMES:
        raise UsageError(f"There is no figure '{figure}'; there are {', '.join(FIGURE_NAMES)}.")
    run = current()
    value = getattr(run.load(name).recent(seconds), figure)
    if value is None:
        raise UsageError(f"The load '{name}' made no call in the last {seconds:g} s that gives its {figure}.")
    run.observe("load_reading", {"load": name, "figure": figure, "value": value})
    return float(value)


def _lane(name: str) -> Lane:
    if name not in LANES:
        raise UsageError(f"There is no lane '{name}'; there are {', '.join(LANES)}.")
    return LANES[name]


def _burst(requests: int, concurrency: int, deadline_s: float, lane: str) -> Dict[str, Any]:
    run = current()
    numbers = {"requests": requests, "concurrency": concurrency}
    name = run.new_load_name("burst")
    spec = run.spec(name, check_load(name, "burst", lane, deadline_s, None, numbers), lane, deadline_s)
    result = run.run_load(replace(spec, judged=False))
    run.observe("burst", result)
    return result

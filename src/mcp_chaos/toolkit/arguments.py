"""What the arguments of our actions and probes may be, checked without a run."""

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mcp_chaos import actions, probes
from mcp_chaos.config.settings import Settings
from mcp_chaos.errors import UsageError
from mcp_chaos.faults.fault import make_fault
from mcp_chaos.faults.kinds import FAULTS
from mcp_chaos.history.calls import LANES
from mcp_chaos.load.checks import check_load, loads_on, shape_numbers
from mcp_chaos.load.shape import number_problems
from mcp_chaos.run.proxies import BACKEND_PROXY, CONTROL_PROXY, FAULTED_PROXY
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.workload.file import names_of, read_workload

_PARTS = ("server", "warehouse")
_NO_PART = "part: a server of your own is not the run's to hurt, unless its process is given: MCP_SERVER_PID"
STARTS = {"start_load": actions.start_load, "start_locust": actions.start_locust}
"""The actions that start a load of a name of its own."""

_LOADS = {
    **STARTS,
    "burst": probes.burst,
    "burst_success_fraction": probes.burst_success_fraction,
    "burst_p95_ms": probes.burst_p95_ms,
    "service_is_steady": probes.service_is_steady,
}
"""The activities that start a load."""

_LOAD_OPTIONS = ("name", "shape", "lane", "deadline_s", "users_from", "workers")
_SECONDS = ("deadline_s", "timeout_s", "seconds", "for_s")
_LONGEST_S = 24 * 3600.0


@dataclass(frozen=True)
class Known:
    """Names that arguments may use.

    Args:
        proxies: that can be poisoned; ``None`` when only a person's own Toxiproxy knows.
        parts: processes that the run will own.
        loads: that the experiment starts.
        problems: two loads of one name.
    """

    proxies: tuple[str, ...] | None
    parts: tuple[str, ...]
    loads: tuple[str, ...]
    problems: list[str]

    @classmethod
    def of(cls, settings: Settings, starts: Iterable[tuple[str, dict[str, Any]]]) -> "Known":
        """What is known from the settings, and from the name and the arguments of each action that starts a load."""
        proxies = (FAULTED_PROXY, BACKEND_PROXY) if settings.embedded else (FAULTED_PROXY,)
        filled = [{**_defaults(STARTS[name]), **given} for name, given in starts]
        loads = [load for given in filled for load, _ in loads_on(str(given["name"]), given["lane"])]
        twice = sorted({name for name in loads if loads.count(name) > 1})
        return cls(
            proxies=proxies if settings.toxiproxy_url is None else None,
            parts=_PARTS if settings.embedded else ("server",) if settings.command or settings.server_pid else (),
            loads=tuple(loads),
            problems=[f"two loads have the name '{name}'; give each its own" for name in twice],
        )


def argument_problems(name: str, arguments: dict[str, Any], known: Known) -> list[str]:
    """What is wrong with the arguments of an action or a probe, in words; empty when nothing is.

    Args:
        name: of the action or probe.
        arguments: resolved, and of its signature.
        known: what they may refer to.
    """
    try:
        _make(name, arguments)
        problems: list[str] = []
    except UsageError as error:
        problems = list(error.problems)
    for key, value in arguments.items():
        problems += _value_problems(name, key, value, known)
    return problems


def _value_problems(name: str, key: str, value: Any, known: Known) -> list[str]:
    if key == "users_from" or (key == "name" and name not in STARTS):
        return _choice(key, value, known.loads)
    if key == "workload":
        return _workload_problems(value)
    if key in ("proxy", "where"):
        return _proxy_problems(name, key, value, known)
    if key == "figure":
        return _choice(key, value, list(FIGURES))
    if key == "part":
        return _choice(key, value, known.parts) if known.parts else [_NO_PART]
    if name in _LOADS:  # check_load() looked at all else
        return []
    if key == "lane":
        return _choice(key, value, tuple(LANES))
    if key == "for_s" and value is None:
        return []
    return number_problems(key, value, 0.001, _LONGEST_S) if key in _SECONDS else []


def _make(name: str, arguments: dict[str, Any]) -> None:
    """Make what the action would, as far as it goes without a run."""
    if name in FAULTS:
        make_fault(FAULTS[name], **{key: value for key, value in arguments.items() if key != "for_s"})
    elif name in _LOADS:
        given: dict[str, Any] = {"name": "burst", "shape": "burst", "lane": "faulted", "users_from": None, "workers": 1}
        given |= {**_defaults(_LOADS[name]), **arguments}
        if name in STARTS:  # both are checked as one: their numbers are the same
            given["lane"] = loads_on(str(given["name"]), given["lane"])[0][1]
        if name == "start_locust":
            given |= {"shape": "locust", "workers": given["processes"]}
        numbers = {key: value for key, value in arguments.items() if key in shape_numbers()}
        check_load(**{option: given[option] for option in _LOAD_OPTIONS}, numbers=numbers)


def _proxy_problems(name: str, key: str, value: Any, known: Known) -> list[str]:
    if value == CONTROL_PROXY and name != "proxy_is_clean":
        return [f"{key}: '{CONTROL_PROXY}' is never poisoned, the verdict compares with it"]
    if known.proxies is None:
        return []
    there = (*known.proxies, CONTROL_PROXY) if name == "proxy_is_clean" else known.proxies
    problems = _choice(key, value, (*there, *known.parts) if key == "where" else there)
    if problems and not known.parts:
        problems[0] += "; a server of your own has its backend's link in your own Toxiproxy (TOXIPROXY_URL)"
    return problems


def _workload_problems(value: Any) -> list[str]:
    if not isinstance(value, str) or not names_of(value):
        return [f"workload: names or files with commas are needed, not {value!r}"]
    try:
        read_workload(*names_of(value))
    except UsageError as error:
        return [f"workload: {problem}" for problem in error.problems]
    return []


def _choice(key: str, value: Any, there: Sequence[str]) -> list[str]:
    return [] if value in there else [f"{key}: there is no {value!r}; there is {', '.join(there) or 'none'}"]


def _defaults(function: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}

"""Pure: whether the numbers of an experiment leave room for what its thresholds ask, known before it is run.

Conservative: an activity takes no longer than its pauses, a load as long as if all of its calls took until their
deadline, and one whose calls may be pauses of a person (a workload) as long as it likes. Only what is too short all the
same is told.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaoslib import substitute

from mcp_chaos import actions
from mcp_chaos.errors import UsageError
from mcp_chaos.faults.kinds import FAULTS
from mcp_chaos.load.checks import check_load, loads_on, shape_numbers
from mcp_chaos.toolkit.arguments import STARTS
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.thresholds import Threshold

_MS_PER_S = 1000.0
_STEADY_S = 1.0
_FAULTS = (*FAULTS, "pause", "kill")
_OTHERS = {"users_from": None, "workload": None}


@dataclass(frozen=True)
class Played:
    """An activity of a method, with all that is known of it beforehand.

    Args:
        name: as people see it.
        func: of ours; empty for one of another extension.
        arguments: resolved, with the defaults of those that are not given.
        at_s: when it begins at the earliest.
        background: whether the next one waits neither for it nor for its pauses.
    """

    name: str
    func: str
    arguments: Mapping[str, Any]
    at_s: float
    background: bool


def played(method: Sequence[Mapping[str, Any]], configuration: Mapping[str, Any]) -> list[Played]:
    """The activities of a method that was checked, each with the earliest moment at which it begins."""
    found: list[Played] = []
    now_s = 0.0
    for activity in method:
        pauses = substitute(dict(activity.get("pauses") or {}), configuration, {})
        provider = activity.get("provider") or {}
        ours = provider.get("module") == actions.__name__
        func = str(provider.get("func")) if ours else ""
        given = substitute(dict(provider.get("arguments") or {}), configuration, {}) if ours else {}
        begins_s = now_s + float(pauses.get("before") or 0)
        one = Played(str(activity.get("name")), func, _filled(func, given), begins_s, bool(activity.get("background")))
        found.append(one)
        if not one.background:  # the pauses of one that is are made beside the method
            now_s = begins_s + _takes_s(one) + float(pauses.get("after") or 0)
    return found


def short_load_problems(
    method: Sequence[Played], thresholds: Sequence[Threshold], *, thinks: bool = False
) -> list[str]:
    """Why no load can show that the service recovers in the time that is allowed, in words; empty where one may.

    Args:
        method: as ``played`` gives it.
        thresholds: of the experiment.
        thinks: whether the loads call a workload of a person's own, whose clients may pause between their calls.
    """
    allowed_s = max((limit for t in thresholds if (limit := _limit(t, ("recovery_s",))) is not None), default=None)
    heal, loads = _last_heal(method), [one for one in method if one.func in STARTS and not _is_awaited(one, method)]
    if allowed_s is None or heal is None or not loads:
        return []
    healed_s = heal.at_s + _takes_s(heal)
    if any(one.background or one.at_s >= healed_s for one in loads):
        return []
    ends_s = [one.at_s + _longest_s(one, thinks=thinks) for one in loads]
    if max(ends_s) - healed_s >= allowed_s:
        return []
    load = loads[ends_s.index(max(ends_s))]
    needed_s = math.ceil(healed_s - load.at_s + allowed_s + _STEADY_S)
    ends_after_s, healed_after_s = max(ends_s) - load.at_s, healed_s - load.at_s
    return [
        f"'{load.name}': the load ends {ends_after_s:g} s after its start at the latest, and '{heal.name}' heals "
        f"{healed_after_s:g} s after it at the earliest. The service may take {allowed_s:g} s to recover, and "
        f"nobody would see it: let the load last {needed_s} s or longer"
    ]


def _last_heal(method: Sequence[Played]) -> Played | None:
    """The last activity that heals a fault, its own or another's; ``None`` where none is healed in the method."""
    last, is_faulted = None, False
    for one in method:
        is_held = one.arguments.get("for_s") is not None
        is_faulted = is_faulted or (one.func in _FAULTS and not is_held)
        if one.background:
            continue
        if one.func == "heal" and is_faulted:
            last, is_faulted = one, False
        elif one.func in _FAULTS and is_held:
            last = one
    return last


def _is_awaited(load: Played, method: Sequence[Played]) -> bool:
    """Whether the end of a load is waited for, or brought about, before the last heal."""
    heal = _last_heal(method)
    between = method[method.index(load) : method.index(heal)] if heal is not None else []
    return any(
        one.func in ("wait_for_load", "stop_load") and one.arguments["name"] == load.arguments["name"]
        for one in between
    )


def _takes_s(one: Played) -> float:
    """How long an activity takes at the least."""
    given = one.arguments
    if given.get("for_s") is not None:
        return float(given["for_s"])
    if one.func == "flap":
        return float(given["times"] * given["down_ms"] + (given["times"] - 1) * given["up_ms"]) / _MS_PER_S
    return 0.0


def _longest_s(load: Played, *, thinks: bool) -> float:
    """When the last call of a load is made at the latest, from its start; infinity where its numbers do not say."""
    given = {**_OTHERS, **load.arguments}
    numbers = {key: given[key] for key in shape_numbers() if given.get(key) is not None}
    try:
        kind = "locust" if load.func == "start_locust" else given["shape"]
        name, lane = loads_on(given["name"], given["lane"])[0]
        shape = check_load(name, kind, lane, given["deadline_s"], given["users_from"], numbers)
    except UsageError:  # which is told as such
        return math.inf
    # Each call may have to open a session first, and each of the two may take until its deadline.
    call_s = 2 * float(given["deadline_s"]) if given["workload"] is None and not thinks else math.inf
    return shape.longest_s(call_s)


def _limit(threshold: Threshold, figures: Sequence[str]) -> float | None:
    """The upper limit that a threshold sets to one of some figures, where it is a number."""
    found = threshold.upper_limit()
    return found[1] if found is not None and found[0] in figures else None


def _filled(func: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an action of ours, with its defaults."""
    action = getattr(actions, func, None) if func else None
    defaults = inspect.signature(action).parameters.items() if action else ()
    return {**{name: parameter.default for name, parameter in defaults}, **given}


def deadline_problems(method: Sequence[Played], thresholds: Sequence[Threshold]) -> list[str]:
    """Limits of latencies that no call could exceed before its deadline, in words."""
    deadlines_s = [load.arguments["deadline_s"] for load in method if load.func in STARTS]
    if not deadlines_s:
        return []
    deadline_ms = max(deadlines_s) * _MS_PER_S
    latencies = [name for name, figure in FIGURES.items() if figure.quantile is not None]
    return [
        f"{threshold.window}: '{threshold.text}' cannot be missed: calls are given up after their deadline of "
        f"{deadline_ms:g} ms. Lower the limit, or raise deadline_s"
        for threshold in thresholds
        if (limit := _limit(threshold, latencies)) is not None and limit >= deadline_ms
    ]

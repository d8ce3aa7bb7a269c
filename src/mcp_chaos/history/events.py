"""The events of a run, and what each kind of them has to carry."""

from dataclasses import dataclass, field
from typing import Any

from mcp_chaos.history.calls import LATEST_NS

COULD_NOT_HEAL = "the run could not heal its faults"
"""Why a watchdog cleaned up, when the run was still there to ask it to."""

PROMISES = frozenset({"run_started", "toxiproxy_ready", "proxy_created", "fault_injecting", "load_started"})
"""Kinds that are written before what they tell of is done, or it is not done."""


@dataclass(frozen=True)
class Event:
    """Something that happened at one moment of a run.

    Args:
        at_ns: when, on the run's clock.
        kind: what, for example ``fault_injected``.
        data: the rest, JSON.
    """

    at_ns: int
    kind: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether it has a time, a kind, and what an event of its kind has to carry."""
        if type(self.at_ns) is not int or not 0 <= self.at_ns < LATEST_NS or not isinstance(self.kind, str):
            return False
        needed = _NEEDED.get(self.kind, {})
        return all(name in self.data and isinstance(self.data[name], kind) for name, kind in needed.items())


_MAYBE_TEXT = (str, type(None))
_NUMBER = (int, float)

_NEEDED: dict[str, dict[str, type | tuple[type, ...]]] = {
    "load_started": {"load": str, "lane": str, "judged": bool},
    "load_step": {"load": str, "users": int},
    "load_ended": {"load": str},
    "load_failed": {"load": str, "error": str},
    "worker_died": {"load": str, "worker": int, "exit_code": (int, type(None))},
    "generator_overloaded": {"load": str, "why": _MAYBE_TEXT},
    "machine_overloaded": {"late_ms": _NUMBER},
    "fault_injecting": {"fault_id": str, "name": str, "proxy": str, "toxics": list},
    "fault_injected": {"fault_id": str},
    "fault_proven": {"fault_id": str, "proof": str},
    "fault_unproven": {"fault_id": str, "doubt": str},
    "fault_refused": {"fault_id": str},
    "fault_healing": {"fault_id": str},
    "fault_healed": {"fault_id": str},
    "fault_disturbed": {"fault_id": str, "name": str, "proxy": str, "after_s": _NUMBER, "found": str},
    "fault_ended": {"fault_id": str},
    "fault_withheld": {"name": str, "load": str, "why": str},
    "fault_skipped": {"name": str, "from_s": _NUMBER},
    "heal_failed": {"error": str},
    "toxiproxy_ready": {"url": str, "embedded": bool},
    "proxy_created": {"proxy": str},
    "proxy_removed": {"proxy": str},
    "proxy_recreating": {"proxy": str, "listen": str, "upstream": str, "enabled": bool, "toxics": dict},
    "proxy_recreated": {"proxy": str},
    "proxy_disturbed": {"proxy": str, "found": str},
    "toxiproxy_unreachable": {"error": str},
    "toxiproxy_restarted": {"error": str},
    "part_died": {"part": str},
    "hypothesis_checked": {"when": str},
    "hypothesis_missed": {"when": str, "probe": str},
    "activity_failed": {"name": _MAYBE_TEXT, "error": str},
    "control_failed": {"name": _MAYBE_TEXT, "error": str},
    "control_missing": {"name": _MAYBE_TEXT},
    "interrupted": {"why": str},
    "dry_run": {"left_out": str},
    "unfinished": {"why": str},
    "fresh_session_served": {"fault_id": str, "took_s": _NUMBER},
}
"""What an event of a kind has to carry, for those that judgements and clean-ups read."""

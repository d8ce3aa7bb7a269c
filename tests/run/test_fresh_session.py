"""The first fresh session that is served after a heal."""

import threading
from typing import Any

from mcp_chaos.errors import TargetError
from mcp_chaos.history.events import Event
from mcp_chaos.run.fresh_session import FreshSessions
from tests.histories import S, event


def test_sessions_are_tried_after_a_heal_until_one_is_served() -> None:
    events: list[Event] = [event(1, "fault_healed", fault_id="fault-1")]
    refused = iter([True, True, False])
    told: list[dict[str, Any]] = []
    served = threading.Event()

    def open_session() -> None:
        if next(refused):
            raise TargetError("it is not there yet")

    def keep(kind: str, **data: Any) -> None:
        told.append({"kind": kind, **data})
        served.set()

    fresh = FreshSessions(lambda: events, open_session, lambda: 3 * S, keep)
    fresh.start()
    assert served.wait(20)
    fresh.stop()
    assert told == [{"kind": "fresh_session_served", "fault_id": "fault-1", "took_s": 2.0}]


def test_nothing_is_opened_where_nothing_was_healed() -> None:
    opened: list[int] = []
    asked = threading.Event()

    def events() -> list[Event]:
        asked.set()
        return [event(1, "fault_injecting", fault_id="fault-1")]

    fresh = FreshSessions(events, lambda: opened.append(1), lambda: 0, lambda *_, **__: None)
    fresh.start()
    assert asked.wait(20)
    fresh.stop()
    assert opened == []

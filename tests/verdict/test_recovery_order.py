"""Who is served first after a heal."""

import pytest

from mcp_chaos.history.calls import Lane, Reason
from mcp_chaos.verdict.judge import judge
from mcp_chaos.verdict.recovery_order import FirstGoodCalls
from tests.histories import S, a_history, call, event, every, fault


def order(*extra: tuple[object, ...], old_from_s: float = 8, fresh_s: float | None = None) -> FirstGoodCalls:
    """A fault from 4 to 6 s; user 0 has a session from before it, which is served again from a moment on."""
    calls = [
        *every(0.1, 0, 4),
        *every(0.1, 4, old_from_s, reason=Reason.REFUSED),
        *every(0.1, old_from_s, 12),
        *every(0.1, 0, 12, lane=Lane.CONTROL, user=7),
        *extra,
    ]
    served = [event(6 + fresh_s, "fresh_session_served", fault_id="fault-1", took_s=fresh_s)] if fresh_s else []
    (found,) = judge(a_history(calls, [*fault(4, 6), *served])).order
    return found


def test_an_old_session_a_fresh_one_and_a_bystander_are_told_apart() -> None:
    found = order(call(7, user=5), old_from_s=8)
    assert found.healed_ns == 6 * S
    assert found.old_session_s == pytest.approx(2.01)
    assert found.fresh_session_s == pytest.approx(1.01)
    assert found.bystander_s == pytest.approx(0.01, abs=0.1)


def test_a_session_that_was_renewed_is_a_fresh_one() -> None:
    found = order(call(6.5, Reason.SESSION_RENEWED), call(6.6), old_from_s=99)
    assert found.old_session_s is None
    assert found.fresh_session_s == pytest.approx(0.51)


def test_a_fresh_session_that_was_opened_to_see_counts_where_it_is_the_first() -> None:
    assert order(fresh_s=0.25).fresh_session_s == 0.25
    assert order(call(6.1, user=5), fresh_s=0.25).fresh_session_s == pytest.approx(0.11)

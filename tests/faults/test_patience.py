"""Whether a toxic may be removed: only where it is known that no call was given up in it."""

import pytest

from mcp_chaos.faults.fault import Fault, make_fault
from mcp_chaos.faults.kinds import BlackHole, Latency, Partition, Reset
from mcp_chaos.faults.patience import may_have_given_up
from mcp_chaos.history.calls import Reason
from mcp_chaos.history.folder import RunFolder
from tests.histories import S, call, calls_of

SHORT = make_fault(Latency, latency_ms=100)


def a_load(folder: RunFolder, *reasons: Reason, lane: str = "faulted") -> None:
    folder.event(1, "load_started", load="x", lane=lane, judged=True)
    folder.write("load-x.json", {"deadline_s": 2.0})
    calls = calls_of(call(5 + n, reason) for n, reason in enumerate(reasons))
    folder.calls_path("x").write_bytes(calls.tobytes())


@pytest.mark.parametrize(
    ("fault", "reasons", "given_up"),
    [
        (SHORT, [Reason.OK, Reason.CLOSED], False),
        (SHORT, [Reason.OK, Reason.TIMED_OUT], True),
        (make_fault(Latency, latency_ms=900, jitter_ms=200), [Reason.OK], True),
        (make_fault(Latency, latency_ms=100, proxy="backend"), [Reason.OK], True),
        (make_fault(BlackHole), [Reason.TIMED_OUT], True),
        (make_fault(Reset), [Reason.TIMED_OUT], False),
        (make_fault(Reset, after_ms=50), [Reason.TIMED_OUT], True),
        (make_fault(Partition), [Reason.TIMED_OUT], False),
    ],
)
def test_what_the_calls_of_a_load_tell(folder: RunFolder, fault: Fault, reasons: list[Reason], given_up: bool) -> None:
    a_load(folder, *reasons)
    assert may_have_given_up(folder, fault, 4 * S) is given_up


def test_calls_before_the_fault_tell_nothing(folder: RunFolder) -> None:
    a_load(folder, Reason.TIMED_OUT, Reason.OK)
    assert not may_have_given_up(folder, SHORT, round(5.5 * S))


def test_clients_that_are_not_of_the_run_may_have(folder: RunFolder) -> None:
    assert may_have_given_up(folder, SHORT, 0)
    a_load(folder, Reason.OK, lane="control")
    assert may_have_given_up(folder, SHORT, 0)


def test_files_that_cannot_be_read_tell_nothing(folder: RunFolder) -> None:
    a_load(folder, Reason.OK)
    (folder.path / "load-x.json").write_text("{")
    assert may_have_given_up(folder, SHORT, 0)

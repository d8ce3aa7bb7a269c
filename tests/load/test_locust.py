"""A load that Locust makes in a run: its processes choose differently, and what was no good is kept."""

from collections.abc import Iterator
from itertools import count

import pytest

from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load.process import LoadProcess
from mcp_chaos.load.shapes import Locust
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.processes import end_children
from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.workload import UserKind, Workload
from tests.conftest import SocketServer, serving
from tests.servers import answering, http, result_for

_TWO = Workload((UserKind("user", (ToolCall("first"), ToolCall("second")), wait_s=(0.01, 0.02)),))


@pytest.fixture
def server() -> Iterator[SocketServer]:
    """A server each of whose second answers is an error."""
    numbers = count()

    def make(request: bytes) -> bytes:
        if next(numbers) % 2:
            return http(b"the disk is full", status="500 Oops", kind="text/plain")
        return http(result_for(request))

    with serving(answering(make)) as made:
        yield made


@pytest.fixture
def made(server: SocketServer, folder: RunFolder, clock: Clock) -> Iterator[RunFolder]:
    """The folder of a run in which Locust made a load by two processes."""
    target = Target("127.0.0.1", server.port, f"127.0.0.1:{server.port}", "/mcp", "jsonrpc")
    shape = Locust(users=2, spawn_rate_per_s=2, duration_s=2)
    spec = LoadSpec("test", target, shape, _TWO, 5.0, seed=1, workers=2, clock_offset_ns=clock.offset_ns)
    load = LoadProcess(spec, folder)
    load.start()
    load.wait(60)
    yield folder
    end_children(str(folder.path))


@pytest.mark.e2e
@pytest.mark.counted
def test_processes_choose_differently_and_bad_answers_are_kept(made: RunFolder) -> None:
    calls = made.calls("test")
    chosen = [calls["operation"][calls["worker"] == worker].tolist()[:12] for worker in (0, 1)]
    assert len(chosen[0]) == len(chosen[1]) == 12
    assert chosen[0] != chosen[1]
    kept = made.bad_answers("test")
    assert {(answer.status, answer.text, answer.reason.name) for answer in kept} == {
        (500, "the disk is full", "SERVER_ERROR")
    }
    assert {answer.operation for answer in kept} <= {"first", "second"}

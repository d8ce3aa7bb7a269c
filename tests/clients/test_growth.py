"""Sessions that were ended are freed, or what each leaves behind is told."""

import asyncio
from collections.abc import Callable

import pytest

from mcp_chaos.clients import growth
from mcp_chaos.clients.growth import growth_in_versions, growth_per_session
from mcp_chaos.clients.versions import wires_of
from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.mcp import ToolCall
from mcp_chaos.observe.server_process import listening_process, sample
from tests.clients.conftest import Serve, Wire, bites

ECHO = ToolCall("echo", {"text": "hello"})


def judged(wire: Wire, take: Callable[[], ProcessSample | None], limit_s: float = 60) -> str:
    return asyncio.run(growth_per_session(wire, ECHO, take, 10, limit_s))


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up process needs no time to give back what it holds."""
    monkeypatch.setattr(growth, "_QUIET_S", 0.0)


def growing(**each: float) -> Callable[[], ProcessSample | None]:
    """A process that holds more at each look; a real one cannot be made to grow by so many bytes."""
    seen: list[int] = []
    begun = {"rss_bytes": 10**8, "fds": 10, "threads": 4, "close_wait": 0, "children": 0}

    def take() -> ProcessSample | None:
        seen.append(1)
        held = {name: value + each.get(name, 0) * len(seen) for name, value in begun.items()}
        return ProcessSample(pid=1, **held)  # type: ignore[arg-type]

    return take


def growing_in_rounds_only(rounds: int, **each: float) -> Callable[[], ProcessSample | None]:
    """One that grows at each of the first looks, and stays as it is in the quiet time after them."""
    looks, take = iter(range(100)), growing(**each)
    last: list[ProcessSample | None] = []

    def look() -> ProcessSample | None:
        if next(looks) < rounds:
            last.append(take())
        return last[-1]

    return look


@pytest.mark.parametrize(
    ("each", "said"),
    [
        ({"rss_bytes": 10 * 30_000}, "leaves 30 kB of memory in use"),
        ({"fds": 10}, "leaves 1.0 file descriptors open"),
        ({"threads": 10}, "leaves 1.0 threads"),
        ({"children": 10}, "leaves 1.0 child processes"),
        ({"close_wait": 10}, "leaves 1.0 connections in CLOSE_WAIT"),
        ({"rss_bytes": 10 * 2_000, "fds": 1, "threads": 1}, ""),
    ],
)
@pytest.mark.usefixtures("no_pauses")
def test_growth_in_every_round_is_told(serve: Serve, each: dict[str, float], said: str) -> None:
    why = judged(serve(), growing_in_rounds_only(4, **each))
    assert (said in why) if said else (why == "")


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_grows_as_much_without_sessions_is_not_accused(serve: Serve) -> None:
    assert judged(serve(), growing(rss_bytes=10 * 30_000, fds=10, threads=10)) == ""


def test_the_threads_of_sessions_are_told_by_a_real_process(serve: Serve) -> None:
    wire = serve("leaves_threads")
    process = listening_process(wire.target.connect_port)
    assert process is not None
    why = judged(wire, lambda: sample(process, wire.target.connect_port))
    assert why == "each session that was opened and ended leaves 1.0 threads"
    assert bites(wire) >= 40


def test_sessions_that_get_slower_are_told(serve: Serve) -> None:
    wire = serve("slows_with_each_session")
    why = judged(wire, growing())
    assert bites(wire) >= 30
    assert why.startswith("sessions get slower by those that were opened and ended before them (")


def test_the_sound_server_frees_its_sessions(serve: Serve) -> None:
    wire = serve()
    process = listening_process(wire.target.connect_port)
    assert process is not None
    assert judged(wire, lambda: sample(process, wire.target.connect_port)) == ""


def test_nothing_is_said_where_time_ran_out_or_the_process_went(serve: Serve) -> None:
    wire = serve()
    assert judged(wire, growing(fds=10), limit_s=0) == ""
    assert judged(wire, lambda: None) == ""


def test_sessions_are_counted_in_the_version_that_has_them(serve: Serve) -> None:
    wire = serve("leaves_threads", dialect="modern")
    process, port = listening_process(wire.target.connect_port), wire.target.connect_port
    assert process is not None
    wires = asyncio.run(wires_of(wire))
    found = asyncio.run(growth_in_versions(wires, ECHO, lambda: sample(process, port), 10, 60))
    assert bites(wire) > 0
    assert found.endswith("threads (protocol version 2025-11-25)")

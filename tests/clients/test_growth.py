"""Sessions that were ended are freed, or what each leaves behind is told."""

import asyncio
from collections.abc import Callable

import pytest

from mcp_chaos.clients.growth import growth_per_session
from mcp_chaos.history.server_samples import ProcessSample
from mcp_chaos.mcp import Operation
from mcp_chaos.observe.server_process import listening_process, sample
from tests.clients.conftest import Serve, Wire, bites

ECHO = Operation("echo", {"text": "hello"})


def judged(wire: Wire, take: Callable[[], ProcessSample | None], limit_s: float = 60) -> str:
    return asyncio.run(growth_per_session(wire, ECHO, take, 10, limit_s))


def growing(rss: int, fds: int) -> Callable[[], ProcessSample | None]:
    """A process that holds more at each look; a real one cannot be made to grow by so many bytes."""
    seen: list[int] = []

    def take() -> ProcessSample | None:
        seen.append(1)
        return ProcessSample(1, 10**8 + rss * len(seen), 10 + fds * len(seen), 4, 0)

    return take


@pytest.mark.parametrize(
    ("rss", "fds", "said"),
    [
        (10 * 30_000, 0, "leaves 30 kB of memory in use"),
        (0, 10, "leaves 1.0 file descriptors open"),
        (10 * 2_000, 1, ""),
    ],
)
def test_growth_in_every_round_is_told(serve: Serve, rss: int, fds: int, said: str) -> None:
    why = judged(serve(), growing(rss, fds))
    assert (said in why) if said else (why == "")


def test_sessions_that_get_slower_are_told(serve: Serve) -> None:
    wire = serve("slows_with_each_session")
    why = judged(wire, growing(0, 0))
    assert bites(wire) >= 30
    assert why.startswith("sessions get slower by those that were opened and ended before them (")


def test_the_sound_server_frees_its_sessions(serve: Serve) -> None:
    wire = serve()
    process = listening_process(wire.target.connect_port)
    assert process is not None
    assert judged(wire, lambda: sample(process, wire.target.connect_port)) == ""


def test_nothing_is_said_where_time_ran_out_or_the_process_went(serve: Serve) -> None:
    wire = serve()
    assert judged(wire, growing(10**6, 10), limit_s=0) == ""
    assert judged(wire, lambda: None) == ""

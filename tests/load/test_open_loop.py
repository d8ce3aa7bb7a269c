"""The open loop and the time to think: calls come when they are due, whatever the server does."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from mcp_chaos.history.calls import CALL, Calls, Outcome
from mcp_chaos.load.arrivals import due_ns
from mcp_chaos.load.engine import Engine
from mcp_chaos.load.shape import OpenStep, Step
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.machine.clock import Clock
from tests.conftest import read_request, serving
from tests.load.test_engine import DEADLINE_S, answering, http, reasons, result_for, spec_for

MS = 1_000_000
S = 1_000_000_000
GOOD = answering(lambda request: http(result_for(request)))


@dataclass
class Run:
    """What a step left behind."""

    start_ns: int = 0
    took_s: float = 0.0
    dropped: int = 0
    lags_us: list[int] = field(default_factory=list)
    calls: Calls = field(default_factory=lambda: np.empty(0, dtype=CALL))


def run(
    spec: LoadSpec,
    step: Step,
    during: Callable[[Engine], Coroutine[Any, Any, None]] | None = None,
    before: Callable[[Engine], Coroutine[Any, Any, None]] | None = None,
    **share: int,
) -> Run:
    records: list[bytes] = []
    made = Run()

    async def main() -> None:
        engine = Engine(spec, Clock.start(), records.append)
        if before is not None:
            await before(engine)
        made.start_ns = engine.now_ns() + 10 * MS
        began = time.monotonic()
        stepping = asyncio.create_task(engine.run_step(step, 0, made.start_ns, **share))
        if during is not None:
            await during(engine)
        async with asyncio.timeout(20):
            await stepping
            made.took_s = time.monotonic() - began
            await engine.close()
        made.dropped, made.lags_us = engine.dropped, engine.lags_us.tolist()

    asyncio.run(main())
    made.calls = np.frombuffer(b"".join(records), dtype=CALL)
    return made


def silent(conn: socket.socket) -> None:
    while conn.recv(65536):
        pass


@contextmanager
def nobody() -> Iterator[Any]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield type("Nobody", (), {"port": bound.getsockname()[1]})


def slow(conn: socket.socket) -> None:
    while request := read_request(conn):
        time.sleep(0.05)
        conn.sendall(http(result_for(request)))


def closing(conn: socket.socket) -> None:
    read_request(conn)


SERVERS: dict[str, Callable[[], Any]] = {
    "good": lambda: serving(GOOD),
    "slow": lambda: serving(slow),
    "silent": lambda: serving(silent),
    "closing": lambda: serving(closing),
    "nobody": nobody,
}


@pytest.mark.parametrize("poisson", [False, True], ids=["constant", "poisson"])
@pytest.mark.parametrize("server", SERVERS)
def test_calls_are_due_by_the_schedule_whatever_the_server_does(server: str, poisson: bool) -> None:
    step = OpenStep(200, 60, 200.0, poisson)
    with SERVERS[server]() as there:
        made = run(spec_for(there.port), step)
    assert made.dropped == 0
    assert sorted(made.calls["intended_ns"].tolist()) == list(due_ns(step, 1, made.start_ns))
    assert len(made.lags_us) == 60
    sent = made.calls[made.calls["sent_ns"] > 0]
    assert np.all(sent["intended_ns"] <= sent["sent_ns"])
    assert np.all(made.calls["intended_ns"] <= made.calls["done_ns"])


def test_against_silence_every_call_ends_at_its_own_deadline_and_the_rate_is_held() -> None:
    with serving(silent) as server:
        made = run(spec_for(server.port), OpenStep(200, 50, 100.0))
    took_ns = made.calls["done_ns"] - made.calls["intended_ns"]
    assert reasons(made.calls) == {"TIMED_OUT": 50}
    assert set(made.calls["outcome"]) == {Outcome.INFO}
    assert took_ns.min() >= DEADLINE_S * S
    assert np.median(took_ns) < (DEADLINE_S + 0.05) * S
    assert 0.49 + DEADLINE_S < made.took_s < 2


def test_nobody_there_is_refused_at_the_same_rate() -> None:
    with nobody() as there:
        made = run(spec_for(there.port), OpenStep(10, 30, 200.0))
    assert (reasons(made.calls), made.took_s >= 0.145) == ({"REFUSED": 30}, True)


def test_arrivals_that_nobody_is_free_for_are_dropped_and_counted() -> None:
    with serving(silent) as server:
        made = run(spec_for(server.port), OpenStep(3, 40, 400.0))
        assert server.connections == 3
    assert (len(made.calls), made.dropped, len(made.lags_us)) == (3, 37, 40)
    assert set(made.calls["user"]) == {0, 1, 2}


def test_a_user_is_free_again_when_its_call_ended() -> None:
    with serving(GOOD) as server:
        made = run(spec_for(server.port), OpenStep(2, 50, 250.0))
        assert server.connections <= 2
    assert len(made.calls) + made.dropped == 50
    assert reasons(made.calls)["OK"] > 40


def test_shares_of_two_engines_are_the_whole_schedule() -> None:
    step = OpenStep(50, 21, 500.0, poisson=True)
    with serving(GOOD) as server:
        runs = [run(spec_for(server.port), step, share=share, shares=2) for share in (0, 1)]
    for share, made in enumerate(runs):
        assert sorted(made.calls["intended_ns"].tolist()) == list(due_ns(step, 1, made.start_ns))[share::2]


def test_an_engine_whose_share_is_empty_ends_at_once() -> None:
    made = run(spec_for(1), OpenStep(5, 2, 1.0), share=3, shares=4)
    assert (len(made.calls), made.lags_us, made.dropped) == (0, [], 0)
    assert made.took_s < 1


def test_a_schedule_that_began_in_the_past_is_caught_up_with_and_the_lag_is_told() -> None:
    async def block(engine: Engine) -> None:
        await asyncio.sleep(0)
        time.sleep(0.1)  # the generator itself is held up

    with serving(GOOD) as server:
        made = run(spec_for(server.port), OpenStep(50, 20, 1000.0), block)
    assert len(made.calls) == len(made.lags_us) == 20
    assert max(made.lags_us) > 80_000
    assert np.all(np.diff(np.sort(made.calls["intended_ns"])) <= 1.01 * MS)


def test_stopping_ends_the_schedule_at_once_and_waits_for_calls_under_way_only() -> None:
    async def stop_soon(engine: Engine) -> None:
        async with asyncio.timeout(5):
            while len(engine.lags_us) < 5:
                await asyncio.sleep(0.001)
        engine.stop()

    with serving(slow) as server:
        made = run(spec_for(server.port), OpenStep(50, 100_000, 100.0), stop_soon)
    assert made.took_s < 1
    assert 5 <= len(made.calls) == len(made.lags_us) < 30
    assert set(reasons(made.calls)) == {"OK"}


def test_stopping_before_anything_is_due_ends_at_once() -> None:
    async def stop(engine: Engine) -> None:
        await asyncio.sleep(0.05)
        engine.stop()

    with serving(GOOD) as server:
        made = run(spec_for(server.port), OpenStep(50, 10, 0.01), stop)
    assert (len(made.calls), made.took_s < 1) == (1, True)


def test_open_steps_follow_one_another() -> None:
    step = OpenStep(20, 10, 1000.0)
    with serving(GOOD) as server:
        made = run(spec_for(server.port), step, before=lambda engine: engine.run_step(step))
    assert len(set(made.calls["intended_ns"].tolist())) == len(made.lags_us) == 20

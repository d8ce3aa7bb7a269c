"""Sessions opened ahead of an open loop, time to think in a closed one, and users of several kinds in both."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mcp_chaos.load.engine import Engine
from mcp_chaos.load.shape import OpenStep, Step
from mcp_chaos.machine.clock import Clock
from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.workload import UserKind, Workload
from tests.conftest import read_request, serving
from tests.load.test_engine import DEADLINE_S, FakeStreamable, http, reasons, result_for, spec_for
from tests.load.test_open_loop import GOOD, MS, nobody, run, silent, slow
from tests.load.websocket_servers import PAGE, TOOL, answered, raw, talking
from tests.load.websocket_servers import spec_for as websocket_spec_for

During = Callable[[Engine], Coroutine[Any, Any, None]]


def warmed(step: Step, shares: int = 1) -> During:
    return lambda engine: engine.warm_up(step, shares)


def thinking(spec: Any, low_s: float, high_s: float) -> Any:
    (kind,) = spec.workload.kinds
    return replace(spec, workload=Workload((replace(kind, wait_s=(low_s, high_s)),)))


@pytest.mark.parametrize(
    ("rate_per_s", "users", "shares", "expected"),
    [(100.0, 50, 1, 6), (100.0, 3, 1, 3), (100.0, 50, 5, 2), (1.0, 9, 1, 1)],
)
def test_as_many_sessions_as_are_likely_to_be_needed_are_opened_ahead(
    rate_per_s: float, users: int, shares: int, expected: int
) -> None:
    server = FakeStreamable()
    step = OpenStep(users, 1, rate_per_s)

    async def warm_up(engine: Engine) -> None:
        await engine.warm_up(step, shares)
        assert len(server.sessions) == expected

    with serving(server) as there:
        made = run(spec_for(there.port, dialect="streamable"), step, before=warm_up)
    assert reasons(made.calls) == {"OK": 1}
    assert len(server.sessions) == len(server.deleted) == expected


def test_what_was_opened_ahead_is_used() -> None:
    step = OpenStep(10, 20, 100.0)
    with talking() as server:
        made = run(websocket_spec_for(server.port), step, before=warmed(step))
        assert server.sessions == 6
    assert reasons(made.calls) == {"OK": 20}


@pytest.mark.parametrize("there", [nobody, lambda: serving(silent), lambda: serving(lambda conn: None)])
def test_where_warming_up_fails_it_ends_in_time_and_the_calls_tell(there: Any) -> None:
    step = OpenStep(10, 5, 100.0)

    async def warm_up(engine: Engine) -> None:
        began = time.monotonic()
        await engine.warm_up(step)
        assert time.monotonic() - began < DEADLINE_S + 0.5

    with there() as server:
        for spec in (spec_for(server.port, dialect="streamable"), websocket_spec_for(server.port)):
            made = run(spec, step, before=warm_up)
            assert len(made.calls) == 5
            assert "OK" not in reasons(made.calls)


def test_a_closed_step_is_not_warmed_up() -> None:
    with serving(GOOD) as server:
        made = run(spec_for(server.port), Step(2, 4), before=warmed(Step(2, 4)))
        assert server.connections == 2
    assert reasons(made.calls) == {"OK": 4}


def test_a_user_thinks_between_its_calls_and_not_before_its_first() -> None:
    with serving(GOOD) as server:
        made = run(thinking(spec_for(server.port), 0.03, 0.06), Step(3, 15))
    assert reasons(made.calls) == {"OK": 15}
    for user in range(3):
        mine = np.sort(made.calls[made.calls["user"] == user], order="intended_ns")
        thought_ms = (mine["intended_ns"][1:] - mine["done_ns"][:-1]) / MS
        assert len(mine) > 1
        assert thought_ms.min() >= 29
        assert np.median(thought_ms) < 75
        assert mine["intended_ns"][0] < made.start_ns + 20 * MS


def test_nobody_waits_for_a_thought_after_the_last_call() -> None:
    with serving(GOOD) as server:
        made = run(thinking(spec_for(server.port), 60, 60), Step(3, 3))
    assert len(made.calls) == 3
    assert made.took_s < 1


def test_stopping_does_not_wait_for_those_who_think() -> None:
    async def stop_soon(engine: Engine) -> None:
        await asyncio.sleep(0.1)
        engine.stop()

    with serving(GOOD) as server:
        made = run(thinking(spec_for(server.port), 60, 60), Step(3, 30), stop_soon)
    assert (len(made.calls), made.took_s < 1) == (3, True)


def test_stopping_waits_for_calls_under_way_while_others_think() -> None:
    async def stop_soon(engine: Engine) -> None:
        async with asyncio.timeout(5):
            while server.connections < 4:
                await asyncio.sleep(0.001)
        engine.stop()

    with serving(slow) as server:
        made = run(thinking(spec_for(server.port), 0.01, 0.2), Step(4, 1000), stop_soon)
    assert len(made.calls) >= 4
    assert set(reasons(made.calls)) == {"OK"}
    assert made.took_s < 1


def test_thinking_does_not_slow_an_open_loop() -> None:
    with serving(GOOD) as server:
        made = run(thinking(spec_for(server.port), 60, 60), OpenStep(5, 20, 400.0))
    assert len(made.calls) + made.dropped == 20
    assert made.took_s < 1
    assert reasons(made.calls)["OK"] > 5


def mixed(port: int) -> Any:
    kinds = (
        UserKind("http", (ToolCall("a"), PAGE), weight=2),
        UserKind("websocket", (TOOL, replace(PAGE, page="/other")), websocket=True),
    )
    return replace(spec_for(port), workload=Workload(kinds))


@pytest.mark.parametrize("step", [Step(6, 60), OpenStep(6, 60, 300.0)], ids=["closed", "open"])
def test_users_of_several_kinds_each_make_their_own_calls_their_own_way(step: Step) -> None:
    asked: list[str] = []

    def both(conn: socket.socket) -> None:
        if conn.recv(7, socket.MSG_PEEK) == b"GET /ws":
            raw(answered)(conn)
        while request := read_request(conn):
            asked.append(request.split(b" ")[1].decode())
            conn.sendall(http(result_for(request) if request.startswith(b"POST") else b"fine"))

    with serving(both) as server:
        made = run(mixed(server.port), step, before=warmed(step))
    calls = made.calls
    assert len(calls) + made.dropped == 60
    assert reasons(calls) == {"OK": len(calls)}
    websocket_users = {1, 4}
    for user, operation in zip(calls["user"].tolist(), calls["operation"].tolist(), strict=True):
        assert operation in ((2, 3) if user in websocket_users else (0, 1))
    paths = Counter(asked)
    operations = Counter(calls["operation"].tolist())
    assert (paths["/mcp"], paths["/status"], paths["/other"]) == (operations[0], operations[1], operations[3])


def test_of_several_engines_each_has_its_own_users_of_each_kind() -> None:
    users: list[int] = []
    for worker in range(3):

        async def main(worker: int = worker) -> None:
            with nobody() as there:
                engine = Engine(replace(mixed(there.port), workers=3), Clock.start(), lambda _: None, worker)
                await engine.run_step(Step(4, 4))
            users.extend(user.number for user in engine._users)
            kinds = [type(user).__name__ for user in engine._users]
            assert kinds == ["WebSocketUser" if user.number % 3 == 1 else "User" for user in engine._users]

        asyncio.run(main())
    assert sorted(users) == list(range(12))

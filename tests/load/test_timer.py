"""The timer of an open load: back at its moment and never before it, on timerfd and without."""

import asyncio
import ctypes
import time
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise

import pytest
import uvloop

from mcp_chaos.load.timer import ExactTimer

MS = 1_000_000


class WithoutTimerFd:
    """A C library as elsewhere than on Linux."""

    def __init__(self, *_: object, **__: object) -> None:
        pass


@pytest.fixture(params=["timerfd", "fallback"], autouse=True)
def _kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "fallback":
        monkeypatch.setattr(ctypes, "CDLL", WithoutTimerFd)
    elif not hasattr(ctypes.CDLL(None), "timerfd_create"):
        pytest.skip("timerfd is Linux's own")


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as made:
        yield made


class Bell:
    """Keeps the moments at which it was rung."""

    def __init__(self) -> None:
        self.rung_ns: list[int] = []
        self._rung = asyncio.Event()

    def __call__(self) -> None:
        self.rung_ns.append(time.monotonic_ns())
        self._rung.set()

    async def next(self) -> int:
        async with asyncio.timeout(5):
            await self._rung.wait()
        self._rung.clear()
        return self.rung_ns[-1]


def with_timer(runner: asyncio.Runner, body: Callable[[ExactTimer, Bell], Awaitable[None]]) -> Bell:
    bells = []

    async def main() -> None:
        bells.append(Bell())
        timer = ExactTimer(asyncio.get_running_loop(), bells[0])
        try:
            await body(timer, bells[0])
        finally:
            timer.close()

    runner.run(main())
    return bells[0]


def test_it_calls_back_at_its_moment_and_never_before(runner: asyncio.Runner) -> None:
    moments: list[tuple[int, int]] = []

    async def body(timer: ExactTimer, bell: Bell) -> None:
        for after_us in (100, 1_100, 2_500, 7_777, 20_000):
            at_ns = time.monotonic_ns() + after_us * 1000
            timer.set(at_ns)
            moments.append((at_ns, await bell.next()))

    with_timer(runner, body)
    assert all(rung_ns >= at_ns for at_ns, rung_ns in moments)
    assert min(rung_ns - at_ns for at_ns, rung_ns in moments) < 20 * MS


@pytest.mark.parametrize("behind_ns", [0, 1, 10**9, 10**20], ids=["now", "just_now", "a_second_ago", "never"])
def test_a_moment_that_has_passed_is_due_at_once(runner: asyncio.Runner, behind_ns: int) -> None:
    async def body(timer: ExactTimer, bell: Bell) -> None:
        began_ns = time.monotonic_ns()
        timer.set(began_ns - behind_ns)
        assert await bell.next() - began_ns < 1000 * MS

    assert len(with_timer(runner, body).rung_ns) == 1


def test_it_is_not_called_back_from_within_set(runner: asyncio.Runner) -> None:
    async def body(timer: ExactTimer, bell: Bell) -> None:
        timer.set(0)
        assert bell.rung_ns == []
        await bell.next()

    with_timer(runner, body)


def test_it_can_be_set_again_from_its_own_callback(runner: asyncio.Runner) -> None:
    rung = []

    async def main() -> None:
        done = asyncio.Event()

        def again() -> None:
            rung.append(time.monotonic_ns())
            done.set() if len(rung) == 5 else timer.set(time.monotonic_ns() + MS)

        timer = ExactTimer(asyncio.get_running_loop(), again)
        timer.set(0)
        async with asyncio.timeout(5):
            await done.wait()
        timer.close()

    runner.run(main())
    assert all(after - before >= MS for before, after in pairwise(rung))


def test_only_the_last_of_two_moments_counts(runner: asyncio.Runner) -> None:
    async def body(timer: ExactTimer, bell: Bell) -> None:
        late_ns = time.monotonic_ns() + 40 * MS
        timer.set(late_ns - 30 * MS)
        timer.set(late_ns)
        assert await bell.next() >= late_ns
        timer.set(time.monotonic_ns() + 3600 * 1000 * MS)
        timer.set(0)
        await bell.next()

    assert len(with_timer(runner, body).rung_ns) == 2


def test_a_moment_put_off_as_it_expires_is_put_off(runner: asyncio.Runner) -> None:
    async def body(timer: ExactTimer, bell: Bell) -> None:
        put_off: list[int] = []

        def put_off_by_30_ms() -> None:
            put_off.append(time.monotonic_ns())
            timer.set(put_off[0] + 30 * MS)

        timer.set(0)
        time.sleep(0.002)  # it has expired, and the loop has not heard of it yet
        asyncio.get_running_loop().call_soon(put_off_by_30_ms)
        while not put_off or bell.rung_ns[-1:] <= put_off:
            await bell.next()
        assert bell.rung_ns[-1] >= put_off[0] + 30 * MS

    with_timer(runner, body)


def test_a_closed_timer_is_silent_and_can_be_closed_again(runner: asyncio.Runner) -> None:
    async def body(timer: ExactTimer, bell: Bell) -> None:
        timer.set(time.monotonic_ns() + 5 * MS)
        timer.close()
        timer.close()
        await asyncio.sleep(0.02)  # nothing to wait for: this is about what does not come
        assert bell.rung_ns == []

    with_timer(runner, body)


def test_an_expired_timer_that_is_closed_before_the_loop_hears_of_it_is_silent(runner: asyncio.Runner) -> None:
    async def body(timer: ExactTimer, bell: Bell) -> None:
        rung_before_close: list[int] = []

        def close() -> None:
            rung_before_close.append(len(bell.rung_ns))
            timer.close()

        timer.set(0)
        time.sleep(0.002)
        asyncio.get_running_loop().call_soon(close)
        await asyncio.sleep(0.01)
        assert [len(bell.rung_ns)] == rung_before_close

    with_timer(runner, body)


def test_a_closed_timer_that_is_set_stays_silent(runner: asyncio.Runner) -> None:
    async def body(timer: ExactTimer, bell: Bell) -> None:
        timer.close()
        timer.set(0)
        await asyncio.sleep(0.01)
        assert bell.rung_ns == []

    with_timer(runner, body)


def test_a_timer_never_set_is_silent_and_leaves_nothing_open(runner: asyncio.Runner) -> None:
    async def body(timer: ExactTimer, bell: Bell) -> None:
        await asyncio.sleep(0)

    for _ in range(3):
        assert with_timer(runner, body).rung_ns == []

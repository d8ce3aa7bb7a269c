"""Heals that make a proxy anew, faults that somebody takes away, and a Toxiproxy that goes: with the real one."""

import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mcp_chaos.errors import ToxiproxyError
from mcp_chaos.faults import toxiproxy_install
from mcp_chaos.faults.fault import make_fault
from mcp_chaos.faults.injection import Injector
from mcp_chaos.faults.kinds import BlackHole, Flap, Latency, Partition, Reset
from mcp_chaos.faults.ledger import clean_up, leftovers
from mcp_chaos.faults.recreate import recreate_proxy, without
from mcp_chaos.faults.route import Route
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.toxiproxy_part import toxiproxy_part
from mcp_chaos.history.events import Event
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.parts import Part
from tests.conftest import ANSWER, SocketServer, read_request, serving

THEIRS = make_fault(Latency, latency_ms=1).toxics()[0]


@pytest.fixture
def lane(healthy: SocketServer, toxiproxy: ToxiproxyServer) -> Route:
    state = toxiproxy.create_proxy("mcp", "127.0.0.1:0", f"127.0.0.1:{healthy.port}")
    return Route("mcp", ("127.0.0.1", state.port), ("127.0.0.1", healthy.port), "mcp")


@pytest.fixture
def injector(lane: Route, toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock) -> Iterator[Injector]:
    made = Injector(toxiproxy, {"mcp": lane}, folder, clock)
    yield made
    made.close()


def events(folder: RunFolder, kind: str) -> list[Event]:
    return [event for event in folder.events() if event.kind == kind]


def wait_for(folder: RunFolder, kind: str, timeout_s: float = 3) -> Event:
    until = time.monotonic() + timeout_s
    while not events(folder, kind):
        assert time.monotonic() < until, [event.kind for event in folder.events()]
        time.sleep(0.02)
    return events(folder, kind)[0]


def test_a_proxy_that_is_made_anew_is_what_it_was(injector: Injector, toxiproxy: ToxiproxyServer) -> None:
    toxiproxy.put_toxic("mcp", "theirs", THEIRS)
    before = toxiproxy.proxy("mcp")
    injector.inject(make_fault(Latency, latency_ms=30))
    injector.inject(make_fault(BlackHole, direction="upstream"))
    injector.heal()
    assert toxiproxy.proxy("mcp") == before


def test_a_partition_outlasts_the_heal_of_another_fault(
    injector: Injector, toxiproxy: ToxiproxyServer, folder: RunFolder
) -> None:
    injector.inject(make_fault(Latency, latency_ms=30))
    injector.inject(make_fault(Partition))
    injector.inject(make_fault(Latency, latency_ms=40))  # takes the first one's place
    assert not toxiproxy.proxy("mcp").enabled
    time.sleep(0.7)
    injector.heal()
    assert injector.is_clean("mcp")
    assert events(folder, "fault_disturbed") == []


def hang_up(port: int, stop: threading.Event) -> None:
    """A client that gives up, by RST, while its answer is held back."""
    while not stop.is_set():
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            time.sleep(0.1)


def test_a_heal_under_clients_that_give_up_is_quick(
    toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock
) -> None:
    def in_two_chunks(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(ANSWER[:40])
            time.sleep(0.003)
            connection.sendall(ANSWER[40:])

    with serving(in_two_chunks) as server:
        state = toxiproxy.create_proxy("slow", "127.0.0.1:0", f"127.0.0.1:{server.port}")
        lane = Route("slow", ("127.0.0.1", state.port), ("127.0.0.1", server.port), "slow")
        injector, stop = Injector(toxiproxy, {"slow": lane}, folder, clock), threading.Event()
        clients = [threading.Thread(target=hang_up, args=(state.port, stop)) for _ in range(20)]
        for client in clients:
            client.start()
        for _ in range(3):
            injector.inject(make_fault(Latency, proxy="slow", latency_ms=200))
            time.sleep(0.3)
            injector.heal()
        stop.set()
        for client in clients:
            client.join(5)
        injector.close()
    asked, done = ([e.at_ns for e in events(folder, kind)] for kind in ("fault_healing", "fault_healed"))
    assert all(end - start < 1e9 for start, end in zip(asked, done, strict=True))


def test_a_proxy_that_cannot_be_created_at_once_is_created_by_the_next_heal(
    injector: Injector, toxiproxy: ToxiproxyServer, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = toxiproxy.proxy("mcp")
    injector.inject(make_fault(Latency, latency_ms=30))
    with monkeypatch.context() as broken:

        def refuse(*_: Any, **__: Any) -> None:
            raise ToxiproxyError("the port is taken")

        broken.setattr(ToxiproxyServer, "create_proxy", refuse)
        with pytest.raises(ToxiproxyError, match="the port is taken"):
            injector.heal()
    assert "mcp" not in toxiproxy.proxies()
    assert [state.name for state in leftovers(folder.events()).missing] == ["mcp"]
    injector.heal()
    assert toxiproxy.proxy("mcp") == before
    assert leftovers(folder.events()).missing == []


def test_a_run_that_died_between_the_two_calls_leaves_a_proxy_that_is_created_again(
    folder: RunFolder, toxiproxy: ToxiproxyServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.event(1, "toxiproxy_ready", url=toxiproxy.url, embedded=False)
    toxiproxy.create_proxy("person", "127.0.0.1:0", "127.0.0.1:9")
    toxiproxy.put_toxic("person", "theirs", THEIRS)
    before = toxiproxy.proxy("person")
    ours = f"mcp_chaos.{folder.run_id}.black_hole.upstream"
    toxiproxy.put_toxic("person", ours, THEIRS)
    with monkeypatch.context() as dying:
        dying.setattr(ToxiproxyServer, "create_proxy", lambda *_, **__: exit(1))
        with pytest.raises(SystemExit):
            recreate_proxy(
                toxiproxy, toxiproxy.proxy("person"), lambda kind, **data: folder.event(clock.now_ns(), kind, **data)
            )
    assert "person" not in toxiproxy.proxies()
    assert "created the proxy 'person' again" in clean_up(folder, clock, "it was killed")
    assert toxiproxy.proxy("person") == without(before, [ours])
    assert clean_up(folder, clock, "again") == []


def reset(server: ToxiproxyServer) -> None:
    server.reset()


def add_theirs(server: ToxiproxyServer) -> None:
    server.put_toxic("mcp", "theirs", THEIRS)


def take_down(server: ToxiproxyServer) -> None:
    server.set_enabled("mcp", False)


def delete(server: ToxiproxyServer) -> None:
    server.delete_proxy("mcp")


@pytest.mark.parametrize(
    ("fault", "disturb", "found"),
    [
        (make_fault(Latency, latency_ms=20), reset, "its toxic was gone"),
        (make_fault(Reset), reset, "its toxic was gone"),
        (make_fault(Partition), reset, "the proxy was up again"),
        (make_fault(Latency, latency_ms=20), add_theirs, "a toxic of somebody else was on the proxy (theirs)"),
        (make_fault(Latency, latency_ms=20), take_down, "the proxy was down"),
        (make_fault(Latency, latency_ms=20), delete, "the proxy was gone"),
    ],
)
@pytest.mark.parametrize("wait", [True, False])
def test_what_somebody_else_does_to_a_fault_is_put_on_record(
    fault: Any,
    disturb: Callable[[ToxiproxyServer], None],
    found: str,
    wait: bool,
    injector: Injector,
    toxiproxy: ToxiproxyServer,
    folder: RunFolder,
) -> None:
    injector.inject(fault)
    disturb(toxiproxy)
    if wait:
        assert wait_for(folder, "fault_disturbed").data["after_s"] < 3
    injector.heal()
    assert [event.data["found"] for event in events(folder, "fault_disturbed")] == [found]
    assert "mcp" in toxiproxy.proxies()


def test_faults_that_nobody_disturbs_are_left_alone(injector: Injector, folder: RunFolder) -> None:
    injector.inject(make_fault(Latency, latency_ms=20, direction="both"))
    injector.flap(Flap(down_ms=300, up_ms=300, times=2))
    injector.heal()
    time.sleep(0.7)
    injector.inject(make_fault(Partition))
    time.sleep(0.7)
    injector.heal()
    assert events(folder, "fault_disturbed") == events(folder, "proxy_disturbed") == []


def test_a_proxy_that_is_changed_between_faults_is_put_on_record(
    injector: Injector, toxiproxy: ToxiproxyServer, folder: RunFolder
) -> None:
    injector.inject(make_fault(Latency, latency_ms=20))
    injector.heal()
    toxiproxy.set_enabled("mcp", False)
    assert wait_for(folder, "proxy_disturbed").data["found"] == "the proxy was down"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Part]:
    """A Toxiproxy of the test's own, which may be killed."""
    part = toxiproxy_part(toxiproxy_install.ensure(print), tmp_path)
    part.start()
    part.wait_until_it_answers()
    yield part
    part.stop()


def restarting(own: Part) -> Callable[[], None]:
    def restart() -> None:
        own.child.stop()
        own.start()
        own.wait_until_it_answers()

    return restart


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_a_toxiproxy_of_the_runs_own_that_does_not_answer_is_started_again_between_faults(
    own: Part, healthy: SocketServer, folder: RunFolder, clock: Clock, number: int
) -> None:
    server = ToxiproxyServer(f"http://127.0.0.1:{own.port.number}")
    state = server.create_proxy("mcp", "127.0.0.1:0", f"127.0.0.1:{healthy.port}")
    lane = Route("mcp", ("127.0.0.1", state.port), ("127.0.0.1", healthy.port), "mcp")
    injector = Injector(server, {"mcp": lane}, folder, clock, restarting(own))
    injector.start()
    own.child.signal(number)
    wait_for(folder, "proxy_recreated", 30)
    assert server.proxies() == {"mcp": state}
    assert "proof" in injector.inject(make_fault(Latency, latency_ms=60))
    injector.heal()
    injector.close()
    assert [e.kind for e in folder.events()][:3] == ["toxiproxy_unreachable", "toxiproxy_restarted", "proxy_recreated"]


def test_a_fault_starts_a_dead_toxiproxy_again(
    own: Part, healthy: SocketServer, folder: RunFolder, clock: Clock
) -> None:
    server = ToxiproxyServer(f"http://127.0.0.1:{own.port.number}")
    state = server.create_proxy("mcp", "127.0.0.1:0", f"127.0.0.1:{healthy.port}")
    lane = Route("mcp", ("127.0.0.1", state.port), ("127.0.0.1", healthy.port), "mcp")
    injector = Injector(server, {"mcp": lane}, folder, clock, restarting(own))
    injector.start()
    own.child.signal(signal.SIGKILL)
    own.child.wait(5)
    assert "proof" in injector.inject(make_fault(Latency, latency_ms=60))
    assert len(events(folder, "toxiproxy_restarted")) == len(events(folder, "toxiproxy_unreachable")) == 1
    injector.heal()
    injector.close()


def test_a_toxiproxy_of_the_runs_own_that_is_dead_is_started_again_to_heal(
    own: Part, healthy: SocketServer, folder: RunFolder, clock: Clock
) -> None:
    server = ToxiproxyServer(f"http://127.0.0.1:{own.port.number}")
    state = server.create_proxy("mcp", "127.0.0.1:0", f"127.0.0.1:{healthy.port}")
    other = server.create_proxy("mcp_control", "127.0.0.1:0", f"127.0.0.1:{healthy.port}")
    lane = Route("mcp", ("127.0.0.1", state.port), ("127.0.0.1", healthy.port), "mcp")
    injector = Injector(server, {"mcp": lane}, folder, clock, restarting(own))
    injector.inject(make_fault(BlackHole))
    own.child.signal(9)
    own.child.wait(5)
    assert "cannot be reached" in wait_for(folder, "toxiproxy_unreachable").data["error"]
    assert injector.heal() == ["black hole both"]
    assert server.proxies() == {"mcp": state, "mcp_control": other}
    injector.close()
    assert len(events(folder, "toxiproxy_restarted")) == len(events(folder, "toxiproxy_unreachable")) == 1
    assert events(folder, "heal_failed") == []


def test_somebody_elses_toxiproxy_that_is_dead_is_told_once(
    own: Part, healthy: SocketServer, folder: RunFolder, clock: Clock
) -> None:
    server = ToxiproxyServer(f"http://127.0.0.1:{own.port.number}")
    state = server.create_proxy("mcp", "127.0.0.1:0", f"127.0.0.1:{healthy.port}")
    lane = Route("mcp", ("127.0.0.1", state.port), ("127.0.0.1", healthy.port), "mcp")
    injector = Injector(server, {"mcp": lane}, folder, clock)
    injector.inject(make_fault(Latency, latency_ms=20))
    own.child.signal(9)
    own.child.wait(5)
    for _ in range(2):
        with pytest.raises(ToxiproxyError, match="cannot be reached"):
            injector.heal()
    injector.close()
    assert len(events(folder, "heal_failed")) == len(events(folder, "toxiproxy_unreachable")) == 1

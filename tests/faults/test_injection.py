"""Inject, prove, heal: with the real Toxiproxy before a small server."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest

from mcp_chaos.commands.load_plan import PlannedFault
from mcp_chaos.errors import ToxiproxyError, UsageError
from mcp_chaos.faults.comparison import Comparison, NotFeltError
from mcp_chaos.faults.fault import Fault, make_fault
from mcp_chaos.faults.injection import Injector
from mcp_chaos.faults.kinds import FAULTS as FAULT_KINDS
from mcp_chaos.faults.kinds import Bandwidth, BlackHole, DataLimit, Flap, Latency, Partition, Reset, Slicer, SlowClose
from mcp_chaos.faults.route import Route
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.machine.clock import Clock
from mcp_chaos.machine.parts import ReservedPort
from mcp_chaos.toolkit.arguments import Known, argument_problems
from tests.conftest import SocketServer, read_request, serving
from tests.faults.test_healing import wait_for


@pytest.fixture
def web() -> Iterator[SocketServer]:
    """A server that keeps connections, closes them when asked to, and answers 4 kB."""

    def handle(conn: Any) -> None:
        while request := read_request(conn):
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + b"x" * 4000)
            if b"connection: close" in request.lower():
                return

    with serving(handle) as server:
        yield server


@pytest.fixture
def lane(web: SocketServer, toxiproxy: ToxiproxyServer) -> Route:
    clean = ("127.0.0.1", web.port)
    state = toxiproxy.create_proxy("mcp", "127.0.0.1:0", f"127.0.0.1:{web.port}")
    return Route("mcp", ("127.0.0.1", state.port), clean, f"127.0.0.1:{web.port}")


@pytest.fixture
def injector(lane: Route, toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock) -> Iterator[Injector]:
    made = Injector(toxiproxy, {"mcp": lane}, folder, clock)
    yield made
    made.close()


def kinds(folder: RunFolder) -> list[str]:
    return [event.kind for event in folder.events()]


FAULTS: list[tuple[type[Fault], dict[str, Any]]] = [
    (Latency, {"latency_ms": 50}),
    (Latency, {"latency_ms": 50, "direction": "upstream"}),
    (Latency, {"latency_ms": 40, "jitter_ms": 10, "direction": "both"}),
    (Latency, {"latency_ms": 50, "connection_fraction": 0.5}),
    (Latency, {"latency_ms": 20, "connection_fraction": 0.2}),
    (Latency, {"latency_ms": 400, "connection_fraction": 0.3, "direction": "both"}),
    (BlackHole, {"connection_fraction": 0.1}),
    (Bandwidth, {"rate_kb_per_s": 40, "connection_fraction": 0.3}),
    (Bandwidth, {"rate_kb_per_s": 40}),
    (Bandwidth, {"rate_kb_per_s": 40, "direction": "upstream"}),
    (BlackHole, {}),
    (BlackHole, {"direction": "upstream"}),
    (BlackHole, {"direction": "downstream"}),
    (Reset, {}),
    (Reset, {"after_ms": 50, "direction": "upstream"}),
    (SlowClose, {"delay_ms": 100}),
    (Slicer, {"average_size_bytes": 500, "delay_us": 20_000}),
    (Slicer, {"average_size_bytes": 100, "delay_us": 100}),
    (DataLimit, {"limit_bytes": 100}),
    (DataLimit, {"limit_bytes": 100, "direction": "upstream"}),
    (Partition, {}),
    (Latency, {"latency_ms": 2, "direction": "upstream"}),
    (Bandwidth, {"rate_kb_per_s": 2000}),
    (SlowClose, {"delay_ms": 100, "direction": "upstream"}),
    (DataLimit, {"limit_bytes": 20_000}),
    (DataLimit, {"limit_bytes": 20_000, "direction": "upstream"}),
]


@pytest.mark.parametrize(("kind", "settings"), FAULTS)
def test_each_fault_is_delivered_proven_and_healed(
    kind: type[Fault], settings: dict[str, Any], injector: Injector, folder: RunFolder
) -> None:
    receipt = injector.inject(make_fault(kind, **settings))
    assert "proof" in receipt, receipt
    assert not injector.is_clean("mcp")
    assert injector.heal() == [receipt["name"]]
    assert injector.is_clean("mcp")
    holds = make_fault(kind, **settings).holds_answers_back()
    healing = ["fault_healing", *(["proxy_recreating", "proxy_recreated"] if holds else []), "fault_healed"]
    assert kinds(folder) == ["fault_injecting", "fault_injected", "fault_proven", *healing]


def test_the_same_fault_twice_is_the_same_fault(injector: Injector, folder: RunFolder) -> None:
    first = injector.inject(make_fault(Latency, latency_ms=20))
    second = injector.inject(make_fault(Latency, latency_ms=20))
    assert second == {**first, "already": True}
    assert kinds(folder).count("fault_injected") == 1
    assert len(injector.active) == 1


def test_a_fault_of_the_same_kind_takes_the_place_of_the_other(injector: Injector, folder: RunFolder) -> None:
    injector.inject(make_fault(Latency, latency_ms=20))
    injector.inject(make_fault(Latency, latency_ms=30))
    assert [fault.latency_ms for fault in injector.active if isinstance(fault, Latency)] == [30]
    assert kinds(folder).count("fault_healed") == 1


def test_healing_leaves_other_peoples_toxics_alone(injector: Injector, toxiproxy: ToxiproxyServer) -> None:
    theirs = make_fault(Latency, latency_ms=1).toxics()[0]
    toxiproxy.put_toxic("mcp", "theirs", theirs)
    injector.inject(make_fault(BlackHole))
    injector.heal()
    assert toxiproxy.proxy("mcp").toxics == {"theirs": theirs}
    assert injector.heal() == []


def test_what_is_healed_can_be_chosen(injector: Injector) -> None:
    injector.inject(make_fault(Latency, latency_ms=20))
    assert injector.heal("backend") == []
    assert len(injector.heal("mcp")) == 1


def test_a_fault_that_misses_the_canary_is_unproven(
    lane: Route, toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock, request: pytest.FixtureRequest
) -> None:
    blind = Injector(toxiproxy, {"mcp": replace(lane, proxied=lane.direct)}, folder, clock)
    request.addfinalizer(blind.close)
    for kind, settings in FAULTS:
        receipt = blind.inject(make_fault(kind, **settings))
        assert "doubt" in receipt, receipt
        blind.heal()
    assert "fault_proven" not in kinds(folder)


def test_a_fault_that_strikes_too_few_connections_to_be_proven_is_refused(
    injector: Injector, folder: RunFolder
) -> None:
    with pytest.raises(UsageError, match=r"'connection_fraction' 0\.00001|connection_fraction 1e-05") as refused:
        injector.inject(make_fault(Latency, latency_ms=20, connection_fraction=1e-5))
    assert "Nothing was changed." in str(refused.value)
    assert folder.events() == []


def test_a_fault_that_lasts_is_felt_again(
    lane: Route, toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock, request: pytest.FixtureRequest
) -> None:
    lanes = {"mcp": lane}
    injector = Injector(toxiproxy, lanes, folder, clock)
    request.addfinalizer(injector.close)
    injector.inject(make_fault(Latency, latency_ms=50))
    lanes["mcp"] = replace(lane, proxied=lane.direct)  # as if the toxic were in place and did nothing any more
    found = wait_for(folder, "fault_disturbed", 30)
    injector.heal()
    assert str(found.data["found"]).startswith("the canary felt it no longer: a request took ")


def test_a_partition_behind_a_forwarder_is_felt_as_a_cut(
    toxiproxy: ToxiproxyServer, lane: Route, folder: RunFolder, clock: Clock
) -> None:
    """Docker and kubectl accept for a proxy that is down and close; another proxy does the same."""
    forwarder = toxiproxy.create_proxy("forwarder", "127.0.0.1:0", f"127.0.0.1:{lane.proxied[1]}")
    behind = replace(lane, proxied=("127.0.0.1", forwarder.port))
    injector = Injector(toxiproxy, {"mcp": behind}, folder, clock)
    assert "on the clean way it was answered" in injector.inject(make_fault(Partition))["proof"]
    injector.heal()
    injector.close()


def test_a_dead_server_is_no_proof_of_a_fault(toxiproxy: ToxiproxyServer, folder: RunFolder, clock: Clock) -> None:
    nobody = ReservedPort()
    state = toxiproxy.create_proxy("dead", "127.0.0.1:0", f"127.0.0.1:{nobody.number}")
    lane = Route("dead", ("127.0.0.1", state.port), ("127.0.0.1", nobody.number), "dead")
    injector = Injector(toxiproxy, {"dead": lane}, folder, clock)
    for kind in (BlackHole, Reset):
        assert "doubt" in injector.inject(make_fault(kind, proxy="dead"))
    assert "doubt" in injector.inject(make_fault(Latency, latency_ms=5, proxy="dead"))
    injector.heal()
    injector.close()
    nobody.release()


def test_an_unknown_proxy_is_refused_before_anything(injector: Injector, folder: RunFolder) -> None:
    with pytest.raises(UsageError, match="no proxy 'nope' in this run; there are mcp"):
        injector.inject(make_fault(BlackHole, proxy="nope"))
    assert kinds(folder) == []


def test_a_proxy_that_is_down_by_itself_is_not_taken_for_ours(injector: Injector, toxiproxy: ToxiproxyServer) -> None:
    toxiproxy.set_enabled("mcp", False)
    with pytest.raises(ToxiproxyError, match="down already, and not by this run"):
        injector.inject(make_fault(Partition))
    assert injector.heal() == []
    assert not toxiproxy.proxy("mcp").enabled


def test_a_fault_that_toxiproxy_refuses_is_undone_and_on_record(
    injector: Injector, folder: RunFolder, toxiproxy: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real server takes every fault that passes validation, so one that it does not know stands in.
    monkeypatch.setattr(BlackHole, "toxic_type", "spell")
    with pytest.raises(ToxiproxyError, match="invalid toxic type"):
        injector.inject(make_fault(BlackHole))
    assert kinds(folder) == ["fault_injecting", "fault_refused"]
    assert injector.is_clean("mcp")


def test_healing_that_fails_says_so_and_can_be_tried_again(
    injector: Injector, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector.inject(make_fault(Reset))
    with monkeypatch.context() as broken:
        broken.setattr(ToxiproxyServer, "delete_toxic", lambda *_: None)
        for _ in range(2):
            with pytest.raises(ToxiproxyError, match="still has mcp_chaos"):
                injector.heal()
    assert kinds(folder).count("heal_failed") == kinds(folder).count("fault_healing") == 1
    assert len(injector.heal()) == 1


def test_a_flap_goes_down_and_up_and_is_over_by_itself(injector: Injector, folder: RunFolder) -> None:
    receipt = injector.flap(Flap(down_ms=30, up_ms=20, times=3))
    assert receipt["proof"] == "a new connection was refused"
    assert injector.is_clean("mcp")
    assert kinds(folder)[-1] == "fault_healed"


def test_a_flap_and_a_partition_do_not_undo_each_other(injector: Injector, toxiproxy: ToxiproxyServer) -> None:
    flapping = threading.Thread(daemon=True, target=injector.flap, args=(Flap(down_ms=20, up_ms=20, times=1000),))
    flapping.start()
    while not injector.active:
        assert flapping.is_alive()
    injector.inject(make_fault(Partition))
    flapping.join(5)
    assert not flapping.is_alive()
    assert not toxiproxy.proxy("mcp").enabled
    injector.heal()


def test_a_flap_ends_at_once_when_it_is_told_to_hurry(injector: Injector) -> None:
    flapping = threading.Thread(daemon=True, target=injector.flap, args=(Flap(down_ms=3_600_000, up_ms=10, times=2),))
    flapping.start()
    while not injector.active:
        assert flapping.is_alive()
    injector.hurry()
    flapping.join(5)
    assert not flapping.is_alive()
    assert injector.is_clean("mcp")


def test_a_fault_for_a_time_is_healed_before_the_call_returns_and_no_other_is(injector: Injector) -> None:
    injector.inject(make_fault(Latency, latency_ms=20))
    receipt = injector.inject(make_fault(Bandwidth, rate_kb_per_s=1000), for_s=0.05)
    assert receipt["fault"]["rate_kb_per_s"] == 1000
    assert [fault.kind for fault in injector.active] == [Latency.kind]


def test_what_interrupts_an_injection_does_not_leave_it_behind(
    injector: Injector, toxiproxy: ToxiproxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = ToxiproxyServer.put_toxic

    def interrupted(*args: Any) -> None:
        put(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(ToxiproxyServer, "put_toxic", interrupted)
    with pytest.raises(KeyboardInterrupt):
        injector.inject(make_fault(BlackHole))
    assert toxiproxy.proxy("mcp").toxics
    injector.heal()
    assert injector.is_clean("mcp")


def test_a_flap_ends_when_it_is_healed(injector: Injector) -> None:
    flap = Flap(down_ms=50, up_ms=3_600_000, times=1000)
    flapping = threading.Thread(daemon=True, target=injector.flap, args=(flap,))
    flapping.start()
    while not injector.active:
        assert flapping.is_alive()
    injector.heal()
    flapping.join(5)
    assert not flapping.is_alive()
    assert injector.is_clean("mcp")


@dataclass(frozen=True)
class Stall(Fault):
    """A fault of a test's own: answers do not come, as in a black hole, for ``after_ms`` and longer."""

    after_ms: int = 0
    kind: ClassVar[str] = "stall"
    toxic_type: ClassVar[str | None] = "timeout"

    def _limits(self) -> list[tuple[str, int, int]]:
        return [("after_ms", 0, 1_000)]

    def attributes(self) -> dict[str, int]:
        return {"timeout": 0}

    def feel(self, ways: Comparison) -> str:
        if ways.faulted(0.3).ended != "silent" or ways.clean().ended != "answered":
            raise NotFeltError("it was answered")
        return "nothing came"


def test_a_fault_is_one_record(injector: Injector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAULT_KINDS, "stall", Stall)
    (problem,) = argument_problems("stall", {"after_ms": 2_000}, Known(("mcp",), (), (), []))
    assert problem == "stall: after_ms: 2000 is not between 0 and 1000"
    planned = PlannedFault.parse("stall after_ms=5 from_s=1 for_s=2")
    assert (planned.fault, planned.from_s) == (Stall(after_ms=5), 1)
    receipt = injector.inject(planned.fault)
    assert (receipt["name"], receipt["proof"]) == ("stall downstream, after_ms 5", "nothing came")
    assert injector.heal() == [receipt["name"]]
    assert injector.is_clean("mcp")

"""All admin traffic, with the real server; and with false ones where the real one cannot be made to fail so."""

import time

import pytest

from mcp_chaos.errors import ToxiproxyError, UsageError
from mcp_chaos.faults.fault import ToxicSettings
from mcp_chaos.faults.toxiproxy import ToxiproxyServer
from mcp_chaos.faults.toxiproxy_part import toxiproxy_part
from mcp_chaos.machine.parts import ReservedPort
from tests.conftest import SocketServer, answer_always, serving

LATENCY = ToxicSettings("latency", "downstream", 1.0, {"latency": 5, "jitter": 0})


def answer(body: bytes, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def test_a_proxy_is_created_switched_and_removed(toxiproxy: ToxiproxyServer) -> None:
    made = toxiproxy.create_proxy("a b?", "127.0.0.1:0", "127.0.0.1:9")
    assert made.port > 0
    assert toxiproxy.proxies()["a b?"].enabled
    toxiproxy.delete_proxy("a b?")
    toxiproxy.delete_proxy("a b?")
    assert "a b?" not in toxiproxy.proxies()


def test_a_proxy_goes_down_and_comes_back_on_its_port(toxiproxy: ToxiproxyServer) -> None:
    made = toxiproxy.create_proxy("switched", "127.0.0.1:0", "127.0.0.1:9")
    assert not toxiproxy.set_enabled("switched", False).enabled
    assert toxiproxy.set_enabled("switched", True).port == made.port


def test_a_toxic_is_added_updated_read_back_and_removed(toxiproxy: ToxiproxyServer) -> None:
    toxiproxy.create_proxy("poisoned", "127.0.0.1:0", "127.0.0.1:9")
    assert toxiproxy.put_toxic("poisoned", "mine", LATENCY) == LATENCY
    slower = ToxicSettings("latency", "downstream", 0.5, {"latency": 9, "jitter": 1})
    assert toxiproxy.put_toxic("poisoned", "mine", slower) == slower
    toxiproxy.delete_toxic("poisoned", "mine")
    toxiproxy.delete_toxic("poisoned", "mine")
    assert toxiproxy.proxy("poisoned").toxics == {}


def test_a_toxic_that_is_not_read_back_as_sent_is_an_error(toxiproxy: ToxiproxyServer) -> None:
    toxiproxy.create_proxy("picky", "127.0.0.1:0", "127.0.0.1:9")
    toxiproxy.put_toxic("picky", "mine", LATENCY)
    other_way = ToxicSettings("latency", "upstream", 1.0, {"latency": 5, "jitter": 0})
    with pytest.raises(ToxiproxyError, match="reads back"):
        toxiproxy.put_toxic("picky", "mine", other_way)


def test_what_toxiproxy_refuses_is_told_in_its_words(toxiproxy: ToxiproxyServer) -> None:
    toxiproxy.create_proxy("twice", "127.0.0.1:0", "127.0.0.1:9")
    with pytest.raises(ToxiproxyError, match="proxy already exists"):
        toxiproxy.create_proxy("twice", "127.0.0.1:0", "127.0.0.1:9")
    with pytest.raises(ToxiproxyError, match="invalid toxic type"):
        toxiproxy.put_toxic("twice", "x", ToxicSettings("spell", "downstream", 1.0, {}))
    with pytest.raises(ToxiproxyError, match="not found"):
        toxiproxy.proxy("nowhere")


def test_a_port_that_is_taken_is_told(toxiproxy: ToxiproxyServer, healthy: SocketServer) -> None:
    with pytest.raises(ToxiproxyError, match="address already in use"):
        toxiproxy.create_proxy("late", f"127.0.0.1:{healthy.port}", "127.0.0.1:9")


def test_proxies_are_populated_and_all_is_reset(toxiproxy: ToxiproxyServer) -> None:
    wanted = [{"name": f"p{n}", "listen": "127.0.0.1:0", "upstream": "127.0.0.1:9"} for n in range(2)]
    toxiproxy.populate(wanted)
    toxiproxy.put_toxic("p0", "mine", LATENCY)
    toxiproxy.set_enabled("p1", False)
    toxiproxy.reset()
    assert toxiproxy.proxy("p0").toxics == {}
    assert toxiproxy.proxy("p1").enabled


def test_the_version_is_the_one_that_is_installed(toxiproxy: ToxiproxyServer) -> None:
    assert toxiproxy.version() == "2.12.0"


def test_metrics_are_there_only_when_asked_for(toxiproxy: ToxiproxyServer) -> None:
    with pytest.raises(ToxiproxyError, match="show its metrics"):
        toxiproxy.metrics()
    with serving(answer_always(answer(b"toxiproxy_x 1"))) as server:
        assert ToxiproxyServer(f"http://127.0.0.1:{server.port}").metrics() == "toxiproxy_x 1"


def test_two_servers_are_addressed_in_one_process(
    toxiproxy: ToxiproxyServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from mcp_chaos.faults import toxiproxy_install

    part = toxiproxy_part(toxiproxy_install.ensure(print), tmp_path_factory.mktemp("second"))
    part.start()
    try:
        part.wait_until_it_answers()
        second = ToxiproxyServer(f"http://127.0.0.1:{part.port.number}")
        second.create_proxy("only-here", "127.0.0.1:0", "127.0.0.1:9")
        assert "only-here" not in toxiproxy.proxies()
        assert "only-here" in second.proxies()
    finally:
        part.stop()


def test_a_server_that_hangs_costs_a_timeout_and_says_so() -> None:
    with serving(lambda conn: (conn.recv(1) and time.sleep(2)) or None) as server:
        hanging = ToxiproxyServer(f"http://127.0.0.1:{server.port}", timeout_s=0.2)
        with pytest.raises(ToxiproxyError, match=r"did not answer within 0.2 s. Whether it was done is not known"):
            hanging.proxies()


def test_a_server_that_is_not_there_is_told() -> None:
    reserved = ReservedPort()
    with pytest.raises(ToxiproxyError, match=r"connection refused.*unset TOXIPROXY_URL"):
        ToxiproxyServer(f"http://127.0.0.1:{reserved.number}").version()
    reserved.release()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (answer(b"<html>", "200 OK"), "is not Toxiproxy"),
        (answer(b"[]"), "is not Toxiproxy"),
        (answer(b'{"x": {"name": "x"}}'), "in a way that is not understood"),
        (answer(b'{"x": 5}'), "in a way that is not understood"),
        (answer(b"", "503 Service Unavailable"), "HTTP 503, it gave no reason"),
    ],
)
def test_what_answers_and_is_not_toxiproxy_is_told(reply: bytes, said: str) -> None:
    with serving(answer_always(reply)) as server, pytest.raises(ToxiproxyError, match=said):
        ToxiproxyServer(f"http://127.0.0.1:{server.port}").proxies()


def test_another_json_service_has_no_version() -> None:
    with (
        serving(answer_always(answer(b'{"status": "ok"}'))) as server,
        pytest.raises(ToxiproxyError, match="is not Toxiproxy"),
    ):
        ToxiproxyServer(f"http://127.0.0.1:{server.port}").version()


@pytest.mark.parametrize("url", ["", "x", "https://h:1", "http://", "http://h:0", "http://h:99999", "http://h:1/path"])
def test_what_is_no_url_of_toxiproxy_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="looks like"):
        ToxiproxyServer(url)

"""What a server says of itself, and when that is no answer."""

import time
from collections.abc import Callable

import httpx
import pytest

from mcp_chaos.history.server_samples import SelfReport
from mcp_chaos.observe import self_report
from mcp_chaos.observe.self_report import SelfReports, counters_of, words_of

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, json={"status": "healthy"}), (True, "healthy")),
        (httpx.Response(200, json={"status": "UP"}), (True, "UP")),
        (httpx.Response(200, json={"status": "degraded"}), (None, "degraded")),
        (httpx.Response(200, json={"status": "down"}), (False, "down")),
        (httpx.Response(503, json={"status": "unhealthy"}), (False, "unhealthy")),
        (httpx.Response(200, text="OK"), (True, "OK")),
        (httpx.Response(200, text="<html>shop</html>"), None),
        (httpx.Response(200, json={"name": "x"}), None),
        (httpx.Response(200, json=[1]), None),
        (httpx.Response(200, content=b"{", headers=JSON), None),
        (httpx.Response(404, text="Not Found"), None),
        (httpx.Response(429, text="slow down"), None),
        (httpx.Response(302), None),
    ],
)
def test_words_and_what_is_no_answer(answer: httpx.Response, words: tuple[bool | None, str] | None) -> None:
    assert words_of(answer) == words


def test_numbers_are_counters_and_nothing_else_is() -> None:
    said = {"calls": 3, "up": True, "name": "x", "pool": {"free": 1.5, "list": [1]}, "huge": 1e300}
    assert counters_of(httpx.Response(200, json=said)) == {"calls": 3, "pool.free": 1.5}
    assert counters_of(httpx.Response(404, json=said)) == {}


def reports_of(
    get: Callable[[str], httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> tuple[SelfReports, list[SelfReport]]:
    monkeypatch.setattr(self_report, "INTERVAL_S", 0.01)
    monkeypatch.setattr(self_report, "_COMPARE_EVERY_S", 0.01)
    kept: list[SelfReport] = []
    return SelfReports(get, time.monotonic_ns, kept.append), kept


def healthy(path: str) -> httpx.Response:
    return httpx.Response(200, json={"status": "healthy"}) if path == "/health" else httpx.Response(404)


def wait_for(kept: list[SelfReport]) -> None:
    until = time.monotonic() + 20
    while not kept:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_server_is_asked_until_that_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    reports, kept = reports_of(healthy, monkeypatch)
    reports.start()
    wait_for(kept)
    reports.stop()
    assert {(report.healthy, report.said) for report in kept} == {(True, "healthy")}


def test_a_server_that_answers_any_path_the_same_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    reports, kept = reports_of(lambda _: httpx.Response(200, text="ok"), monkeypatch)
    reports.start()
    reports.stop()
    reports.compare(lambda: False, lambda: False)
    assert kept == []


def unhealthy(path: str) -> httpx.Response:
    return httpx.Response(503, json={"status": "unhealthy"}) if path == "/health" else httpx.Response(404)


@pytest.mark.parametrize(("get", "served"), [(healthy, []), (unhealthy, [True, True, False])])
def test_calls_are_made_while_they_find_the_opposite_of_not_well(
    monkeypatch: pytest.MonkeyPatch, get: Callable[[str], httpx.Response], served: list[bool]
) -> None:
    reports, kept = reports_of(get, monkeypatch)
    reports.start()
    wait_for(kept)
    reports.stop()
    kept.clear()
    found = iter([True, True, False])
    reports.compare(lambda: next(found), lambda: False)
    assert [report.served for report in kept] == served

"""Missed thresholds in plain words."""

import pytest

from mcp_chaos.history.calls import Reason
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.judge import judge
from mcp_chaos.verdict.judgement import Judgement
from mcp_chaos.verdict.wording import plainly
from tests.histories import a_history, every, fault

BEFORE, FAULT, AFTER = "Before any fault", "While a fault was in place", "After the faults were gone"
OTHERS = "for clients that the faults did not touch"
ASIDE = f", {OTHERS}, "
THIRD = "33.3 % of the calls succeeded, and 99 % were asked for"
BAND = "p95_ms <= 3 * baseline.p95_ms + 200"


@pytest.mark.parametrize(
    ("window", "text", "left", "right", "said"),
    [
        ("recovery", "success_fraction >= 0.99", 0.3333, 0.99, f"{AFTER}, {THIRD}"),
        ("fault", "control.success_fraction >= 0.99", 0.3333, 0.99, f"{FAULT}{ASIDE}{THIRD}"),
        ("recovery", "baseline.control.max_ms <= 5", 7.0, 5.0, f"{BEFORE}{ASIDE}the slowest call took 7 ms"),
        ("fault", "hung_calls == 0", 50.0, 0.0, f"{FAULT}, 50 of the calls hung until their deadline, and none may"),
        ("fault", "rate_limited_calls == 0", 1.0, 0.0, f"{FAULT}, 1 of the calls got HTTP 429, and none may"),
        (
            "fault",
            "hung_calls <= 3",
            50.0,
            3.0,
            f"{FAULT}, 50 of the calls hung until their deadline, and 3 at most may",
        ),
        ("recovery", "recovery_s <= 3", None, None, f"{AFTER}, the service never became steady again"),
        ("recovery", "recovery_s <= 3", 4.25, 3.0, f"{AFTER}, the service took 4.25 s to become steady again"),
        (
            "fault",
            "fault.p95_ms - control.p95_ms <= 1000",
            1234.5,
            1000.0,
            f"{FAULT}, the slowest call in twenty took 1234 ms longer than {OTHERS}, and 1000 ms were allowed",
        ),
        (
            "recovery",
            BAND,
            900.0,
            320.4,
            f"{AFTER}, one call in twenty took longer than 900 ms, and 320 ms were allowed",
        ),
        ("fault", "success_fraction >= 0.99", 0.98987, 0.99, f"{FAULT}, 98.99 % of the calls succeeded, and 99 % were"),
        ("fault", "success_fraction >= 1", 0.9996, 1.0, f"{FAULT}, 99.96 % of the calls succeeded, and 100 % were"),
        ("fault", "p95_ms <= 100", 100.3, 100.0, f"{FAULT}, one call in twenty took longer than 100.3 ms, and 100 ms"),
        (
            "fault",
            "p95_ms <= 10000",
            12345.6,
            10000.0,
            f"{FAULT}, one call in twenty took longer than 12346 ms, and 10000",
        ),
        (
            "recovery",
            "recovery_s <= 3",
            3.004,
            3.0,
            f"{AFTER}, the service took 3.004 s to become steady again, and 3 s",
        ),
        (
            "fault",
            "hung_calls < 5",
            5.0,
            5.0,
            f"{FAULT}, 5 of the calls hung until their deadline, and fewer than 5 may",
        ),
    ],
)
def test_in_plain_words(window: str, text: str, left: float | None, right: float | None, said: str) -> None:
    assert plainly(Judgement(window, text, "missed", left, right)).startswith(said)


@pytest.mark.parametrize("figure", FIGURES)
def test_every_figure_has_a_sentence(figure: str) -> None:
    assert plainly(Judgement("fault", f"{figure} <= 1", "missed", 2.0, 1.0))


@pytest.mark.parametrize(
    "text",
    [
        "p95_ms - baseline.p95_ms <= 10",
        "rate_limited_calls > 0",
        "failed_calls >= 1",
        "success_fraction <= 0.5",
        "hung_calls == 3",
        "p95_ms >= 100",
        "recovery_s > 9",
    ],
)
def test_what_has_no_plain_words_is_said_exactly(text: str) -> None:
    judgement = Judgement("fault", text, "missed", 20.0, 10.0)
    assert plainly(judgement) == judgement.sentence()


def test_the_headline_of_a_verdict() -> None:
    calls = [*every(0.1, 0, 3), *every(0.1, 3, 12, reason=Reason.REFUSED)]
    verdict = judge(a_history(calls, fault(3, 5), {"recovery": ["success_fraction >= 0.99"]}))
    asked = f"{AFTER}, 0 % of the calls succeeded, and 99 % were asked for"
    assert verdict.headline == f"{asked}: connection refused (70)"
    well = judge(a_history(every(0.1, 0, 12), fault(3, 5, "process-1")))
    assert well.headline.startswith("The fault was felt")

"""The table at the end, and progress on the way."""

import io
import re
import threading
from dataclasses import dataclass, field

import pytest

from mcp_chaos.history.calls import Reason
from mcp_chaos.report.tables import percent
from mcp_chaos.report.terminal import render
from mcp_chaos.run import progress
from mcp_chaos.verdict.judge import judge
from mcp_chaos.verdict.measure import Figures, figures
from tests.histories import a_history, calls_of, event, every, fault

SOUND = [*every(0.1, 0, 3), *every(0.1, 3, 5, reason=Reason.REFUSED), *every(0.1, 5, 12)]


def test_the_table_shows_windows_faults_thresholds_and_why() -> None:
    text = render(judge(a_history(SOUND, fault(3, 5))), colour=False)
    for words in ("baseline", "partition", "felt", "success_fraction >= 0.99", "met", "Verdict: pass", "100.0%"):
        assert words in text
    assert "\x1b[" not in text
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize(
    ("fraction", "said"),
    [(1.0, "100.0%"), (0.0, "0.0%"), (0.975, "97.5%"), (0.9897, "98.97%"), (0.99999, "99.999%"), (0.00002, "0.002%")],
)
def test_what_is_not_quite_all_does_not_look_like_all(fraction: float, said: str) -> None:
    assert percent(fraction) == said


def test_the_table_tells_measured_and_limit_apart() -> None:
    rows = [
        *every(0.1, 0, 3),
        *every(0.1, 3, 5, reason=Reason.REFUSED),
        *every(0.001, 5, 12),
        *every(1, 5.2, 12, reason=Reason.RESET),
    ]
    text = render(judge(a_history(rows, fault(3, 5), {"recovery": ["success_fraction >= 0.999002"]})), colour=False)
    assert "0.999001" in text
    assert "0.999002 " in text


def test_a_fail_tells_what_to_do_about_it() -> None:
    broken = [*every(0.1, 0, 3), *every(0.1, 3, 12, reason=Reason.REFUSED)]
    for calls, said in ((broken, True), (SOUND, False)):
        history = a_history(calls, fault(3, 5))
        history.manifest["advice"] = "Put a time limit on each wait."
        text = render(judge(history), colour=False)
        assert ("What to do: Put a time limit on each wait." in text) is said


EVIL = "\x1b]0;x\x07\x1b[31mred\x9b2J\nVerdict: pass\u202e"


def test_no_text_of_others_forges_a_line_or_reaches_the_terminal_as_a_command() -> None:
    told = [event(4, "activity_failed", name=EVIL, error=EVIL), event(4, "load_failed", load="x", error=EVIL)]
    for proof in (EVIL, None):
        text = render(judge(a_history(SOUND, [*fault(3, 5, proof=proof), *told])), colour=False)
        assert [line for line in text.splitlines() if line.startswith("Verdict: ")] == ["Verdict: inconclusive"]
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        assert "red" in text


def test_colours_are_for_terminals() -> None:
    verdict = judge(a_history(SOUND, fault(3, 5, proof=None)))
    assert "\x1b[" in render(verdict, colour=True, width=80)
    assert "no: nothing happened" in render(verdict, colour=False, width=80)


def test_a_run_without_calls_can_be_shown() -> None:
    assert "Verdict: inconclusive" in render(judge(a_history([], [])), colour=False)


@dataclass
class FakeLoad:
    @dataclass
    class Spec:
        name: str = "sustained"

    spec: Spec = field(default_factory=Spec)
    calls: int = 20

    def recent(self, seconds: float) -> Figures:
        return figures(calls_of(every(0.1, 0, self.calls / 10)), seconds)

    def users_now(self) -> int:
        return 10


def test_a_load_is_one_line() -> None:
    assert progress.line(FakeLoad()) == "sustained: 10 users, 10 calls/s, success 100%, p95 10 ms"


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal
        self.written = threading.Event()

    def isatty(self) -> bool:
        return self._terminal

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_renews_its_line_on_a_terminal_and_says_lines_elsewhere(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    screen, said = Screen(terminal), Screen(False)
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(progress, "_TERMINAL_EVERY_S", 0.01)
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.01)
    shown = progress.Progress(lambda: [FakeLoad()], lambda text: (said.write(text), None)[1])
    assert (screen if terminal else said).written.wait(5)
    shown.stop()
    shown.stop()
    assert "sustained: 10 users" in (screen if terminal else said).getvalue()
    assert screen.getvalue().endswith("\r\x1b[2K") == terminal


def test_no_load_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", 0.01)
    shown = progress.Progress(lambda: (asked.set(), [])[1], lambda text: pytest.fail(text))
    assert asked.wait(5)
    shown.stop()

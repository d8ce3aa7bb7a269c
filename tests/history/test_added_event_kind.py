"""A kind of events is one record: read, checked, worded, excused and documented from there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_chaos.errors import HistoryError, UnwrittenError
from mcp_chaos.history.event_kinds import KINDS
from mcp_chaos.history.events import Event, EventKind, Excuse
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.verdict.judge import judge
from tests import reference_page
from tests.histories import a_history, event, every, fault

FULL = EventKind(
    "disk_full",
    "The disk of the run was full.",
    {"free_bytes": int},
    is_promise=True,
    doubt="the disk had {free_bytes} bytes left",
    stops_method=True,
    is_cause=True,
    excuse=Excuse("the disk was full"),
)
SAID = "the disk had 3 bytes left"
HUNG = [*every(0.1, 0, 12), *every(0.1, 3, 5, took_ms=1500)]


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, FULL.name, FULL)


def reasons(*events: Event, faults: bool = True) -> list[str]:
    history = a_history(HUNG, [*(fault(3, 5) if faults else []), *events], {"fault": ["max_ms <= 1000"]})
    return judge(history).reasons


@pytest.mark.usefixtures("added")
def test_it_is_checked_when_it_is_read(folder: RunFolder) -> None:
    folder.event(1, "disk_full", free_bytes=3)
    assert folder.events() == [Event(1, "disk_full", {"free_bytes": 3})]
    folder.event(2, "disk_full", free_bytes="few")
    assert len(folder.readable_events()) == 1
    with pytest.raises(HistoryError, match="not whole: 'disk_full' at 2"):
        folder.events()


@pytest.mark.usefixtures("added")
def test_a_promise_is_written_or_nothing_is_done(folder: RunFolder) -> None:
    folder.events_file.path.mkdir()
    folder.event(1, "load_ended", load="x")
    with pytest.raises(UnwrittenError):
        folder.event(1, "disk_full", free_bytes=3)


@pytest.mark.usefixtures("added")
def test_it_is_told_first_and_excuses_what_was_missed() -> None:
    interrupted = event(2, "interrupted", why="SIGTERM")
    assert reasons(interrupted)[0].startswith("fault: 'max_ms <= 1000' was missed")
    first, second, third = reasons(interrupted, event(9, "disk_full", free_bytes=3))
    assert (first, second) == (SAID, "the run was interrupted: SIGTERM")
    assert third.startswith("not held against the server, as the disk was full: fault: 'max_ms <= 1000' was missed")


@pytest.mark.usefixtures("added")
def test_it_explains_that_nothing_was_injected() -> None:
    assert "no fault was injected, so the run shows nothing about one" in reasons(faults=False)
    explained = reasons(event(9, "disk_full", free_bytes=3), faults=False)
    assert explained[0] == SAID
    assert not any("no fault was injected" in said for said in explained)


@pytest.mark.usefixtures("added")
def test_it_is_documented() -> None:
    assert "| `disk_full` | The disk of the run was full. | `free_bytes` | yes |" in reference_page.render()


def test_a_kind_that_nobody_knows_says_nothing() -> None:
    assert reasons(event(9, "disk_full", free_bytes=3)) == reasons()


def written() -> Iterator[str]:
    """The kinds that some code writes: what methods such as ``event`` get as their first or second argument."""
    for path in Path("src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            if isinstance(node, ast.Call) and named in ("event", "_event", "_record"):
                texts = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                yield from (text for text in texts[:1] if isinstance(text, str))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record":
                yield from (str(one.value) for one in node.args[:1] if isinstance(one, ast.Constant))


def test_each_kind_that_is_written_is_known_and_each_known_one_is_written() -> None:
    assert set(written()) == set(KINDS)

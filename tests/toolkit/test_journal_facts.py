"""What Chaos Toolkit's journal and log say between the lines."""

import logging
from typing import Any

import pytest
from chaoslib.exceptions import InterruptExecution
from chaoslib.types import Dry

from mcp_chaos.toolkit.journal_facts import failed_actions, left_out, stop_in


def entry(provider: str, output: Any, **activity: Any) -> dict[str, Any]:
    made = {"type": "action", "name": "mine", "provider": {"type": provider}, **activity}
    return {"activity": made, "status": "succeeded", "output": output}


@pytest.mark.parametrize(
    ("made", "failure"),
    [
        (entry("process", {"status": 0, "stderr": "all well"}), None),
        (entry("process", {"status": 3, "stderr": ""}), "its program ended with exit code 3"),
        (entry("process", {"status": 1, "stderr": "a\nno such\x1b[2J file\n"}), "exit code 1: no such [2J file"),
        (entry("process", {"status": -9}), "its program was ended by signal 9"),
        (entry("http", {"status": 302}), None),
        (entry("http", {"status": 404, "body": "x"}), "its request was answered with HTTP 404"),
        (entry("http", {"status": 503}), "its request was answered with HTTP 503"),
        (entry("python", {"status": 1}), None),
        (entry("process", None), None),
        (entry("process", {"status": 1}, type="probe"), None),
        (entry("process", {"status": 1}, tolerance=[0, 1]), None),
    ],
)
@pytest.mark.parametrize("section", ["run", "rollbacks"])
def test_an_action_that_chaos_toolkit_takes_for_done(made: dict[str, Any], failure: str | None, section: str) -> None:
    found = list(failed_actions({section: [made]}))
    assert len(found) == (failure is not None)
    assert all(name == "mine" and str(failure) in how for name, how in found)


def test_who_stopped_a_run_is_in_the_log() -> None:
    def line(text: str, error: Exception | None = None) -> str:
        exc_info = (type(error), error, None) if error else None
        return stop_in(logging.LogRecord("chaostoolkit", logging.DEBUG, "", 0, text, None, exc_info))

    stopped = line("Before-control 'guard' interrupted the execution", InterruptExecution("budget used up"))
    assert stopped == "the control 'guard' ended it: budget used up"
    assert line("Safeguard 'well' triggered the end of the experiment") == "the safeguard 'well' ended it"
    assert line("Received the exit signal: 20").startswith("an activity or another control asked for its end")
    assert line("Caught SIGTERM signal") == "SIGTERM ended it"
    assert line("Running experiment: x") == ""


def test_a_dry_run_is_known_by_its_option() -> None:
    assert left_out({"dry": Dry.PROBES}) == "its probes"
    assert left_out({"dry": None}) == left_out({}) == ""

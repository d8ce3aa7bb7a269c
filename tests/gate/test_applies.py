"""Experiments that need what a server lacks are left out of the gate's own choice, with what it would take."""

from datetime import datetime
from pathlib import Path

import pytest

from mcp_chaos.config.settings import Settings, resolve
from mcp_chaos.errors import UsageError
from mcp_chaos.gate.applies import why_not_applicable
from mcp_chaos.gate.item import Item
from mcp_chaos.gate.plan import Plan
from mcp_chaos.gate.result import NOT_APPLICABLE, Attempt, ExperimentResult, GateResult

BACKEND = {"extensions": [{"name": "other"}, {"name": "mcp_chaos", "needs": ["backend_proxy"]}]}
POSTS = {"extensions": [{"name": "mcp_chaos", "needs": ["posts"]}]}
OWN = {"mcp_url": "http://127.0.0.1:1/mcp"}


@pytest.mark.parametrize(
    ("experiment", "configuration", "missing"),
    [
        (BACKEND, {}, ""),
        (BACKEND, OWN, "a proxy before the server's backend"),
        (BACKEND, {**OWN, "toxiproxy_url": "http://127.0.0.1:2"}, ""),
        (POSTS, {**OWN, "mcp_dialect": "streamable"}, ""),
        (POSTS, {**OWN, "mcp_dialect": "sse"}, "is spoken to in 'sse'"),
        (POSTS, OWN, ""),
        ({}, OWN, ""),
    ],
)
def test_what_an_experiment_needs_is_looked_for(
    experiment: dict[str, object], configuration: dict[str, str], missing: str
) -> None:
    why = why_not_applicable(experiment, resolve(configuration))
    assert (missing in why) if missing else (why == "")


def test_the_gates_own_choice_leaves_out_and_names_given_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCP_URL", OWN["mcp_url"])
    item = Item(Path("experiments/stalled_backend.yaml"))
    plan = Plan("all", [item], leaves_out=True)
    assert "TOXIPROXY_URL" in plan.left_out(item)
    plan.check()
    with pytest.raises(UsageError, match="backend"):
        Plan("named", [item]).check()
    assert Item(Path("no/such.yaml")).why_not_applicable() == ""


def test_what_was_left_out_is_counted_and_does_not_decide() -> None:
    left = ExperimentResult("a", Path("a"), [], datetime.now(), left_out="it needs a backend")
    passed = ExperimentResult("b", Path("b"), [Attempt("pass", ["well"], 1.0, None)], datetime.now())
    assert (left.outcome, left.reasons, left.exit_code) == (NOT_APPLICABLE, ["it needs a backend"], 0)
    both = GateResult(Plan("all", []), [left, passed], 1.0)
    assert (both.exit_code, both.sentence) == (0, "1 of 1 experiments passed, 1 not applicable")
    none = GateResult(Plan("all", []), [left], 1.0)
    assert (none.exit_code, none.sentence) == (3, "no experiment applies to this server")


def test_settings_of_a_stdio_server_need_no_question() -> None:
    assert why_not_applicable(POSTS, Settings.embedded_by_default()) == ""

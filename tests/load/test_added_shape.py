"""A load shape is one file: known to experiments, the command line, a worker, its result, checks and documentation."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import click
import pytest
from click.testing import CliRunner

from mcp_chaos import actions
from mcp_chaos.cli import loads
from mcp_chaos.errors import UsageError
from mcp_chaos.load.checks import check_load, make_shape
from mcp_chaos.load.results import Tally
from mcp_chaos.load.shape import Shape, Step, choice, number
from mcp_chaos.load.shapes import SHAPES
from mcp_chaos.load.spec import LoadSpec
from mcp_chaos.toolkit.timing import played, short_load_problems
from mcp_chaos.verdict.thresholds import parse_thresholds
from tests import reference_page
from tests.e2e.conftest import activity
from tests.load.test_process import SPEC


@dataclass(frozen=True)
class Waves(Shape):
    """Few users, then many, ``waves`` times."""

    users: int = number(10, 1, 100, "how many users")
    waves: int = number(3, 1, 10, "how often")
    sea: str = choice("calm", ("calm", "rough"), "how it is between them")
    kind: ClassVar[str] = "waves"
    summary: ClassVar[str] = "few users, then many"

    def first(self) -> Step:
        return Step(self.users, self.users)

    def following(
        self, done: int, elapsed_s: float, took_s: float, success_fraction: float
    ) -> tuple[float, Step] | None:
        return (0.0, Step(10 * self.users, self.users)) if done < self.waves else None

    def problems(self) -> list[str]:
        return ["a rough sea has two waves at least"] if self.sea == "rough" and self.waves < 2 else []

    def result(self, steps: Sequence[dict[str, Any]], everything: Tally, seconds: float) -> dict[str, Any]:
        return {**super().result(steps, everything, seconds), "waves": len(steps)}

    def longest_s(self, call_s: float) -> float:
        return self.waves * call_s


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, Waves.kind, Waves)


def test_its_numbers_are_checked_all_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        check_load("x", "waves", "faulted", 1.0, None, {"users": 101, "waves": 1.5, "sea": "wild", "cycle_s": 1})
    assert list(refused.value.problems) == [
        "the waves load has no 'cycle_s'; it has users, waves, sea",
        "users: 101 is not between 1 and 100",
        "waves: a whole number is needed, not 1.5",
        "sea: calm or rough is needed, not 'wild'",
    ]
    with pytest.raises(UsageError, match="two waves at least"):
        make_shape("waves", sea="rough", waves=1)


def test_its_processes_are_told_of_it() -> None:
    spec = replace(SPEC, shape=make_shape("waves", waves=2))
    assert LoadSpec.from_json(spec.to_json()).shape == Waves(waves=2)
    assert spec.shape.following(1, 0, 0, 0) == (0.0, Step(100, 10))
    assert spec.shape.result([{}, {}], Tally(), 1.0)["waves"] == 2


def test_an_experiment_can_have_it() -> None:
    def action(name: str = "load", **numbers: Any) -> None: ...

    shown = inspect.signature(actions.with_numbers_of_shapes(action)).parameters
    assert next(iter(shown)) == "name"
    assert {"waves", "sea", "users"} < set(shown)
    assert (shown["waves"].annotation, shown["sea"].annotation) == (int | None, str | None)
    load = activity("start_load", shape="waves", waves=2, deadline_s=1, after_s=1)
    method = [load, activity("partition", after_s=9), activity("heal")]
    (problem,) = short_load_problems(played(method, {}), parse_thresholds({"recovery": ["recovery_s <= 3"]}))
    assert "the load ends 4 s after its start at the latest" in problem


def test_the_command_line_has_it() -> None:
    @click.command(help=loads.load_help())
    @loads.number_options
    def command(**numbers: Any) -> None:
        click.echo(sorted(name for name, value in numbers.items() if value is not None))

    text = CliRunner().invoke(command, ["--help"]).output
    assert "waves      few users, then many" in text
    assert "--waves INTEGER" in text
    assert "waves: how it is between them, calm or rough" in " ".join(text.split())
    assert "sustained, locust, waves: how many users" in " ".join(text.split())
    assert CliRunner().invoke(command, ["--sea", "calm"]).output == "['sea']\n"


def test_it_is_documented() -> None:
    row = "| `waves` | few users, then many | `users` 10, `waves` 3, `sea` calm or rough |"
    assert row in reference_page.render()

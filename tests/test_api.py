"""The public API, as ``docs/api.md`` names it: what goes or takes other arguments has to change that page."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mcp_chaos import actions, probes, pytest_plugin
from mcp_chaos.errors import HistoryError
from mcp_chaos.history.folder import RunFolder
from tests.kept_run import FORMATS

PAGE = Path("docs/api.md").read_text(encoding="utf-8")
NAMED = re.findall(r"^\| `(mcp_chaos[\w.]+)(?:\(([^)]*)\))?` \|", PAGE, re.MULTILINE)


def listed(heading: str) -> set[str]:
    """The names in the list below a line of the page."""
    return set(re.findall(r"`(\w+)`", PAGE.partition(f"{heading}\n\n")[2].partition("\n\n")[0]))


def owner_and_name(dotted: str) -> tuple[Any, str]:
    """The module or class that has a name, and the name."""
    path, name = dotted.rsplit(".", 1)
    try:
        return importlib.import_module(path), name
    except ModuleNotFoundError:
        module, kind = path.rsplit(".", 1)
        return getattr(importlib.import_module(module), kind), name


@pytest.mark.parametrize(("module", "heading"), [(actions, "`mcp_chaos.actions`:"), (probes, "`mcp_chaos.probes`:")])
def test_every_action_and_probe_is_named_and_no_other(module: ModuleType, heading: str) -> None:
    assert listed(heading) == set(module.__all__)


def test_the_fixtures_are_those_of_the_plugin() -> None:
    found = {name for name, value in vars(pytest_plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"}
    assert listed("Its fixtures:") == {name for name in found if not name.startswith("_")}


@pytest.mark.parametrize(("dotted", "arguments"), NAMED, ids=[name for name, _ in NAMED])
def test_what_is_named_is_there_with_its_arguments(dotted: str, arguments: str) -> None:
    owner, name = owner_and_name(dotted)
    if not hasattr(owner, name):
        assert name in owner.__annotations__ or f"self.{name} =" in inspect.getsource(owner)
        return
    thing = getattr(owner, name)
    if callable(thing) and not isinstance(thing, type):
        parameters = inspect.signature(thing).parameters.values()
        said = [str(one).partition(":")[0] for one in parameters if one.name != "self"]
        assert ", ".join(said) == arguments


def test_the_page_names_more_than_nothing() -> None:
    assert len(NAMED) > 20


def test_the_example_reads_a_kept_run(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(re.sub(r'"runs/[^"]+"', f'"{FORMATS / "2"}"', code), {})
    assert capsys.readouterr().out.startswith("pass ")


def test_what_is_no_folder_raises_the_error_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError):
        RunFolder.open(tmp_path)

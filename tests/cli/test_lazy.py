"""The list of commands, which imports none of them."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from mcp_chaos.cli import cli
from mcp_chaos.cli.lazy import LazyGroup


@pytest.mark.parametrize("name", cli.lazy)
def test_the_list_shows_what_the_command_says_of_itself(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name
    assert cli.lazy[name][1] == command.get_short_help_str(300)


def test_help_lists_every_command_in_order() -> None:
    made = CliRunner().invoke(cli, ["--help"])
    listed = [line.split()[0] for line in made.output.partition("Commands:\n")[2].splitlines()]
    assert listed == sorted([*cli.commands, *cli.lazy])
    assert {"gate", "runs", "doctor"} <= set(listed)


def test_a_command_is_imported_when_it_is_called() -> None:
    group = LazyGroup("x")
    group.add_lazily("nowhere.at.all", {"one": "Do one thing."})
    assert "Do one thing." in CliRunner().invoke(group, ["--help"]).output
    assert isinstance(CliRunner().invoke(group, ["one"]).exception, ModuleNotFoundError)
    assert CliRunner().invoke(group, ["two"]).exit_code == 2


def test_help_needs_none_of_the_heavy_libraries() -> None:
    heavy = "numpy httpx rich jinja2 jsonschema chaoslib requests psutil yaml"
    code = f"import sys, mcp_chaos.cli; print(*[name for name in {heavy.split()} if name in sys.modules])"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert made.stdout.split() == []

"""Experiments, profiles, plans, workloads, settings, run folders and command lines as nobody would write them."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mcp_chaos import cli
from mcp_chaos.config.credentials import VARIABLES
from mcp_chaos.config.settings import KEYS
from mcp_chaos.errors import EXIT_ABORTED, EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, EXIT_USAGE
from mcp_chaos.machine import register
from tests.commands.test_load import run_folder
from tests.fuzz.commands import check
from tests.fuzz.inputs import NINES, TEXTS, changed, damaged, with_misspelt_key, write_json, write_special
from tests.report.runs import write_run
from tests.toolkit.test_misspelt import EXPERIMENTS, PLANS, PROFILES, WORKLOADS, misspelt, read

_TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
"""How many times as many inputs as beside the other tests."""
_VERDICTS = (EXIT_PASS, EXIT_FAIL, EXIT_USAGE, EXIT_INCONCLUSIVE, EXIT_ABORTED)
_LISTED = (EXIT_PASS, EXIT_USAGE)
_GOOD = "x.json"
_EXPERIMENT = [path.stem for path in EXPERIMENTS].index("network_partition")


_DOCUMENTS = {
    "experiments": [read(path) for path in EXPERIMENTS],
    "profiles": [read(path) for path in PROFILES],
    "plans": [{**read(PLANS[0]), "experiments": [_GOOD, {"path": _GOOD, "configuration": {"partition_s": 2}}]}],
    "workloads": [read(path) for path in WORKLOADS],
}
_ARGUMENTS: dict[str, Callable[[str], list[str]]] = {
    "experiments": lambda file: ["gate", "--list", file],
    "profiles": lambda file: ["gate", "--list", _GOOD, "--var-file", file],
    "plans": lambda file: ["gate", "--list", file],
    "workloads": lambda file: ["load", "burst", "--requests", "1", "--workload", file],
}


def fuzzed(inputs: int) -> Callable[[Any], Any]:
    """As many inputs as that, or as many times more as ``FUZZ_TIMES`` says."""
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=inputs * _TIMES,
        deadline=None,
        suppress_health_check=quiet,
        derandomize=_TIMES == 1,
        phases=[Phase.reuse, Phase.generate],  # what is found is told as it is: to make it smaller takes minutes
    )


pytestmark = pytest.mark.timeout(180 * _TIMES)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that everything happens in, with an experiment, a run, a load, what is neither, and a register."""
    made = tmp_path_factory.mktemp("fuzz")
    own = tmp_path_factory.mktemp("register")  # the machine's runs are neither stopped nor forbidden
    with chdir(made), pytest.MonkeyPatch.context() as patch:
        patch.setattr(register, "_FOLDER", own)
        patch.setattr(register, "_STOP_FILE", own / "stopped")
        write_json(Path(_GOOD), _DOCUMENTS["experiments"][_EXPERIMENT])
        os.mkfifo("fifo.yaml")
        write_run(Path("kept"))
        run_folder(Path("kept"))
        yield made


@pytest.mark.parametrize("kind", _DOCUMENTS)
@fuzzed(12)
@given(data=st.data())
def test_documents_with_something_changed(kind: str, data: st.DataObject) -> None:
    document = data.draw(changed(_DOCUMENTS[kind]))
    check(kind, _ARGUMENTS[kind](str(write_json(Path("input.json"), document))), _LISTED)


@pytest.mark.parametrize("kind", _DOCUMENTS)
@fuzzed(6)
@given(data=st.data())
def test_documents_with_a_misspelt_key(kind: str, data: st.DataObject) -> None:
    document = data.draw(with_misspelt_key(_DOCUMENTS[kind]))
    check(kind, _ARGUMENTS[kind](str(write_json(Path("input.json"), document))), _LISTED, refused=True)


@pytest.mark.parametrize("kind", _DOCUMENTS)
@fuzzed(6)
@given(data=st.data())
def test_documents_whose_bytes_are_damaged(kind: str, data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(_DOCUMENTS[kind]))
    name, text = data.draw(st.sampled_from([("input.yaml", yaml.safe_dump(document)), ("input.json", "")]))
    if text:
        Path(name).write_bytes(data.draw(damaged(text.encode())))
    else:
        write_json(Path(name), document).write_bytes(data.draw(damaged(Path(name).read_bytes())))
    check(kind, _ARGUMENTS[kind](name), _LISTED)


_NAMES = [*(key.upper() for key in KEYS), *VARIABLES, "MCP_CA_FILE"]
_URLS = [
    "http://127.0.0.1:9/mcp",
    "ws://127.0.0.1:9/ws",
    "https://localhost:9/",
    "http://me@localhost/",
    "http://10.0.0.1/",
]
_SETTINGS = (
    "auto streamable mcp_user mcp_user,auto fifo.yaml kept 127.0.0.1:0 127.0.0.1:9 [::1]:9 1 4000000 * localhost /ws"
)
_VALUES = TEXTS.filter(lambda text: "\0" not in text) | st.sampled_from(
    [*_URLS, *_SETTINGS.split(), '{"a": 1}', '{"X-Key": "a\\nb"}', "python -c pass", "'", "\udcff"]
)


@fuzzed(30)
@given(given=st.dictionaries(st.sampled_from(_NAMES), _VALUES, max_size=4))
def test_settings(given: dict[str, str]) -> None:
    check("settings", ["gate", "--list", _GOOD], _LISTED, environment=given)


@fuzzed(10)
@given(name=st.sampled_from(_NAMES), seed=st.integers(0, 99), value=_VALUES.filter(str.strip))
def test_settings_that_are_misspelt(name: str, seed: int, value: str) -> None:
    check(
        "settings",
        ["gate", "--list", _GOOD],
        _LISTED,
        refused=True,
        environment={misspelt(name, random.Random(seed)): value},
    )


def _commands(group: click.Group, before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from _commands(command, (*before, name))
        else:
            yield (*before, name), command


_COMMANDS = dict(_commands(cli.cli))
_PATHS = f"{_GOOD} fifo.yaml kept kept/none none out.html /dev/full /proc/self/mem".split()
_NUMBERS = f"2 0 -3 1e9 0.5 a=1 a:int=x -- -h burst ramp spec {NINES}".split()
_WORDS = _VALUES | st.sampled_from([*_PATHS, *_NUMBERS, "add_latency latency_ms=5", "partition for_s=x"])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its options, and words that may be what it needs."""
    names = draw(st.sampled_from(sorted(_COMMANDS)))
    command = _COMMANDS[names]
    words: list[str] = []
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            choices = getattr(parameter.type, "choices", None)
            good = st.sampled_from(list(choices)) if choices else st.sampled_from(_runs())
            words += draw(st.lists(good | _WORDS, min_size=1, max_size=2))
        elif isinstance(parameter, click.Option) and draw(st.integers(0, 5)) == 0:
            words.append(draw(st.sampled_from(parameter.opts)))
            words += [] if parameter.is_flag else [draw(_WORDS)]
    return [*names, *words, *draw(st.lists(_WORDS | st.sampled_from(["--no-such", "-x"]), max_size=1))]


def _runs() -> list[str]:
    return [_GOOD, *sorted(map(str, Path("kept").iterdir()))] if Path("kept").is_dir() else [_GOOD]


@fuzzed(60)
@given(data=st.data())
def test_command_lines(data: st.DataObject) -> None:
    argv = data.draw(command_lines())
    check("command lines", argv, _VERDICTS)


@pytest.mark.parametrize(
    "name", ["toxiproxy", "load", "gate", "report", "compare", "heal", "stop", "doctor", "init", "runs"]
)
def test_misspelt_options(name: str) -> None:
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command is not None
    for number in range(3 * _TIMES):
        draw = random.Random(f"{name}{number}")
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        option = draw.choice(options or ["--help"])
        word = f"--{misspelt(option[2:], draw)}"
        if word in options or any(each.startswith(word) for each in options):
            continue  # click takes what is only shortened
        check("command lines", [name, f"{word}=1"], _LISTED, refused=True)


_KINDS = ["fifo", "folder", "huge", "nothing", "/dev/zero", "/dev/null", "none such", "."]


@st.composite
def _damages(draw: st.DrawFn, folder: Path) -> None:
    """Change one to three files of a run."""
    for _ in range(draw(st.integers(1, 3))):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        path = draw(st.sampled_from(files)) if files else folder / "events.jsonl"
        how = draw(st.sampled_from(["bytes", "special", "document"]))
        small = path.is_file() and not path.is_symlink() and path.stat().st_size < 1024**2
        if how == "special" or not small:
            write_special(path, draw(st.sampled_from(_KINDS)))
        elif how == "bytes" or not _change_json(draw, path):
            path.write_bytes(draw(damaged(path.read_bytes())))


def _change_json(draw: st.DrawFn, path: Path) -> bool:
    """Change a JSON document, or a line of JSON lines; whether the file had one."""
    try:
        lines = [json.loads(line) for line in path.read_bytes().splitlines()] if path.suffix == ".jsonl" else []
        document = json.loads(path.read_bytes()) if path.suffix == ".json" else None
    except (ValueError, RecursionError):
        return False
    if lines:
        lines[draw(st.integers(0, len(lines) - 1))] = draw(changed(lines))
        path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    elif document is not None:
        write_json(path, draw(changed([document])))
    return bool(lines) or document is not None


@pytest.mark.parametrize("command", ["report", "runs", "compare", "heal"])
@fuzzed(5)
@given(data=st.data())
def test_run_folders(command: str, data: st.DataObject) -> None:
    shutil.rmtree("damaged", ignore_errors=True)
    kept = sorted(Path("kept").iterdir())
    chosen = data.draw(st.sampled_from(kept))
    shutil.copytree(chosen, Path("damaged") / chosen.name)
    folder = Path("damaged") / chosen.name
    data.draw(_damages(folder))
    argv = {"runs": ["runs", "damaged"], "compare": ["compare", str(folder), str(kept[0])]}.get(command)
    check("run folders", argv or [command, str(folder)], _VERDICTS)

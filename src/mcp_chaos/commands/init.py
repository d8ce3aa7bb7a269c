"""``mcp-chaos init``: a starting set of experiments in a person's own repository, for the server it was pointed at."""

import os
import re
import shlex
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from mcp_chaos.config import shipped
from mcp_chaos.config.credentials import VARIABLES
from mcp_chaos.config.settings import Settings, guess_dialect
from mcp_chaos.errors import TargetError, UsageError
from mcp_chaos.history.files import write_atomically
from mcp_chaos.mcp import DIALECTS
from mcp_chaos.run.choice import NothingToCallError, check_workload, choose_workload
from mcp_chaos.run.reachable import reachable
from mcp_chaos.run.trial import try_call
from mcp_chaos.workload.file import as_yaml, draft
from mcp_chaos.workload.workload import Workload

EXPERIMENTS = ("network_partition", "connection_resets", "latency_under_ramp")
"""Those that break the link between clients and server; others need to know of a backend."""

_WORKFLOWS = Path(".github/workflows")
_MCP_CHAOS = '"$RUNNER_TEMP/mcp-chaos/bin/mcp-chaos"'
_OUTPUTS = '--junit mcp-chaos.xml --html mcp-chaos.html --markdown "$GITHUB_STEP_SUMMARY"'
_HINT = """\
      # What the server itself needs goes here, such as:
      # - run: pip install -e .
"""
_NO_SECRETS = """\
        # A server that wants credentials: env: {MCP_TOKEN: "${{ secrets.MCP_TOKEN }}"}
"""
_LAUNCHERS = {"uvx": "pip install uv", "npx": ""}
"""They obtain what they start; what obtains them, where a runner does not have them."""

_CONFIGURATION = "configuration:\n"


@dataclass(frozen=True)
class InCi:
    """What a pipeline does about the server, as a shell's commands.

    Args:
        install: what installs it; empty where nothing has to be, or nobody knows.
        start: what starts it; empty where the run does it, or nobody knows.
    """

    install: str = ""
    start: str = ""


def starting_set(settings: Settings, folder: str, in_ci: InCi, said: list[str]) -> dict[Path, str]:
    """The files of a starting set, by path; nothing is written.

    Args:
        settings: that say which server it is for.
        folder: for all of it but the workflow.
        in_ci: what the workflow does about the server.
        said: gets a sentence for each tool that the load will not call.

    Raises:
        TargetError: the server does not answer, or offers nothing that can be called.
        UsageError: a tool was named that may change something, and was not allowed.
    """
    where, target = _below(folder), _target(settings)
    if settings.command:
        settings = replace(settings, command=_started_above(settings.command, len(where.parts)))
    # The command that the experiments will have is tried where they will be run.
    with _inside(where) if settings.command else nullcontext(), reachable(settings) as there:
        if not DIALECTS[there.dialect].lists_tools:
            there = replace(there, auto_workload=False)  # there is no list of tools to choose from
        text = _chosen(there, target, said)
    made = {where / f"{name}.yaml": _experiment(name, settings) for name in EXPERIMENTS}
    made[where / "workload.yaml"] = text
    name = _name(where)
    values = {"TARGET": target, "DOCTOR": _doctor(settings), "FOLDER": shlex.quote(str(where)), "NAME": name}
    values["EXPERIMENTS"] = _questions()
    values["STEPS"] = "".join(workflow_steps(settings, where, in_ci))
    made |= {where / each: _filled(each, values) for each in ("profile.yaml", "weekly.yaml", "README.md")}
    made[where / ".gitignore"] = _filled("gitignore", values)
    made[_WORKFLOWS / f"{name}.yml"] = _filled("workflow.yml", values)
    return made


def _is_file(variable: str) -> bool:
    """Whether a credential is a file, which a pipeline does not have."""
    return variable.endswith("_FILE")


def _questions() -> str:
    """What each experiment asks of the server, a line each."""
    contents = {name: yaml.safe_load(shipped.experiments()[name].read_text(encoding="utf-8")) for name in EXPERIMENTS}
    return "\n".join(f"- `{name}.yaml`: {' '.join(one['description'].split())}" for name, one in contents.items())


def _name(where: Path) -> str:
    """Of the workflow: each folder has one of its own, as a second server would."""
    folder = re.sub(r"[^A-Za-z0-9._-]+", "-", str(where)).strip("-.")
    return "mcp-chaos" if folder in ("", "chaos") else f"mcp-chaos-{folder}"


def write(made: Mapping[Path, str], root: Path) -> None:
    """Write files that are not there yet.

    Raises:
        UsageError: some are there, or cannot be written; none was written over.
    """
    there = [str(path) for path in made if (root / path).exists()]
    if there:
        names = ", ".join(there)
        raise UsageError(f"{names} would be written over. Nothing was written; remove them, or see --folder.")
    done: list[Path] = []
    try:
        for path, text in made.items():
            done += _make((root / path).parent)
            write_atomically(root / path, text)
            done.append(root / path)
    except OSError as error:
        _remove(done)
        raise UsageError(
            f"{error.filename or path} cannot be written ({error.strerror}). Nothing was written."
        ) from None


def _below(folder: str) -> Path:
    """The folder of the set, below this one: how deep it is says the way back."""
    where = Path(folder)
    if where.is_absolute() or ".." in where.parts or not folder.isprintable():
        raise UsageError(f"--folder: a folder below this one is needed, such as chaos, not {folder!r}.")
    return where


def _make(folder: Path) -> list[Path]:
    """Make a folder; those that were not there yet, the outermost first."""
    missing = [path for path in (*reversed(folder.parents), folder) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _remove(made: Sequence[Path]) -> None:
    """Remove what was made, files and folders."""
    for path in reversed(made):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def _inside(where: Path) -> Iterator[None]:
    """In a folder, which is there for as long as the block lasts if it is not there yet."""
    try:
        made = _make(where.absolute())
    except OSError as error:
        raise UsageError(f"{where} cannot be made ({error.strerror}). Nothing was written.") from None
    try:
        with chdir(where):
            yield
    finally:
        _remove(made)


def _started_above(command: Sequence[str], levels: int) -> tuple[str, ...]:
    """A command that starts in the folder it was given in, though it is run some levels below that."""
    if not levels:
        return tuple(command)
    return ("sh", "-c", f"cd {'/'.join(['..'] * levels)} && exec {shlex.join(command)}")


def _chosen(there: Settings, target: str, said: list[str]) -> str:
    """The text of the workload's file: what is answered well, or a draft where nothing may be called."""
    url = there.mcp_url or ""
    try:
        workload = choose_workload(there, url, said.append)
    except NothingToCallError as error:
        if not error.tried.tools:
            raise
        said += [*error.tried.passed_over, *error.tried.left_out]
        said.append("nothing else; workload.yaml is a draft, which has to be filled in")
        return draft(error.tried.tools, f"A draft of what the load is to call on {target}.")
    check_workload(there, url, workload)
    if there.workload is None and not there.auto_workload:  # else they were tried when they were chosen
        workload = _answered(workload, there, said)
    return as_yaml(workload, f"What the load calls on {target}.")


def _answered(workload: Workload, there: Settings, said: list[str]) -> Workload:
    """The calls that are answered well, however long the first ones take."""
    good = []
    for call in workload.mcp_calls:
        try:
            try_call(there, there.mcp_url or "", call)
        except TargetError as error:
            said.append(str(error))
        else:
            good.append(call)
    if not good:
        raise TargetError("\n  - ".join(["No tool answers well, so there is nothing to load:", *said]))
    return Workload.of(*good)


def _target(settings: Settings) -> str:
    return f"`{shlex.join(settings.command)}`" if settings.command else settings.mcp_url or ""


def _doctor(settings: Settings) -> str:
    given = " ".join(f"{key.upper()}={shlex.quote(value)}" for key, value in told_of(settings).items())
    return f"{given} mcp-chaos doctor"


def workflow_steps(settings: Settings, where: Path, in_ci: InCi) -> Iterator[str]:
    """The steps of the workflow that are of this server."""
    folder = str(where)
    launcher = _LAUNCHERS.get(Path(settings.program).name) if settings.command else None
    if in_ci.install or launcher:
        yield _step({"name": "what the server needs", "run": in_ci.install or launcher})
    elif launcher is None:
        yield _HINT
    if in_ci.start:
        yield _step({"name": "the server", "run": f"nohup sh -c {shlex.quote(in_ci.start)} > server.log 2>&1 &"})
    if not settings.command:  # one over stdio is started by the run
        log = ['cat "$GITHUB_WORKSPACE/server.log"'] if in_ci.start else []
        wait = [f"for second in $(seq 60); do {_MCP_CHAOS} doctor && exit; sleep 1; done", *log, "exit 1"]
        told = {key.upper(): value for key, value in told_of(settings).items()}
        step = {"name": "the server answers", "working-directory": folder, "env": told, "run": "\n".join(wait)}
        yield _step(step)
    # In place of the shell, so that it hears of it when the job is cancelled: it heals and reports.
    gate = f"exec {_MCP_CHAOS} gate --all {_OUTPUTS}"
    secrets = {name: f"${{{{ secrets.{name} }}}}" for name in VARIABLES if os.environ.get(name) and not _is_file(name)}
    env = {"env": secrets} if secrets else {}
    yield _step({"name": "the gate", "working-directory": folder, **env, "run": gate})
    yield "" if secrets else _NO_SECRETS
    kept = [str(where / "mcp-chaos.*"), str(where / "runs"), *(["server.log"] if in_ci.start else [])]
    artifact = {"name": "mcp-chaos", "path": "\n".join(kept)}
    yield _step({"uses": "actions/upload-artifact@v5", "if": "always()", "with": artifact})


class _Lines(yaml.SafeDumper):
    """Writes what has several lines as such."""


_Lines.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def _step(step: dict[str, Any]) -> str:
    text: str = yaml.dump([step], Dumper=_Lines, sort_keys=False, allow_unicode=True, width=1000)
    return textwrap.indent(text, "      ")


def _experiment(name: str, settings: Settings) -> str:
    """A shipped experiment with its target set; the environment still wins."""
    text = shipped.experiments()[name].read_text(encoding="utf-8")
    lines = [f"  {key}: {_from_environment(key, value)}\n" for key, value in told_of(settings).items()]
    head, found, rest = text.partition(_CONFIGURATION)
    return head.replace(f"experiments/{name}.yaml", f"{name}.yaml") + found + "".join(lines) + rest


def told_of(settings: Settings) -> dict[str, str]:
    """What was said of the server, as settings of the runs in the folder."""
    url = settings.mcp_url or ""
    said_by_url = guess_dialect(url, settings.command)
    if settings.dialect == "websocket":
        url, said_by_url = f"ws{url.removeprefix('http')}", "websocket"
    told = {
        "mcp_workload": "workload.yaml",
        "mcp_command": shlex.join(settings.command),
        "mcp_url": url,
        "mcp_dialect": settings.dialect if settings.dialect != said_by_url else "",
        "mcp_chaos_allow_tools": ",".join(sorted(settings.allowed_tools)),
        "mcp_chaos_allow_hosts": ",".join(sorted(settings.allowed_hosts)),
        "mcp_chaos_allow_production": ",".join(sorted(settings.allowed_production)),
    }
    return {key: value for key, value in told.items() if value}


def _from_environment(key: str, value: Any) -> str:
    given = {"type": "env", "key": key.upper(), "default": value}
    return yaml.safe_dump(given, default_flow_style=True, sort_keys=False, width=1000).strip()


def _filled(name: str, values: Mapping[str, str]) -> str:
    text = str((_folder() / name).read_text(encoding="utf-8"))
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def _folder() -> Any:
    return files("mcp_chaos.commands") / "starter"

"""Writes ``docs/experiments.md`` from the experiments' own files, behaviours and rules: ``make docs``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mcp_chaos.clients.behaviours import BEHAVIOURS
from mcp_chaos.clients.rules import RULES
from mcp_chaos.toolkit.preflight import EXTENSION

EXPERIMENTS = Path("experiments")
PAGE = Path("docs/experiments.md")

_NEEDS = {
    "posts": "a server whose every message is a POST (streamable HTTP, or stdio through the bridge)",
    "backend_proxy": "a proxy before the server's backend",
    "server_process": "a process that the run may stop (the embedded server, `MCP_COMMAND` or `MCP_SERVER_PID`)",
}


def _comment(text: str) -> list[str]:
    """The paragraphs of the comment at the head of a file."""
    head = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        head.append(line.removeprefix("#").strip())
    return [" ".join(paragraph.split("\n")) for paragraph in "\n".join(head).split("\n\n") if paragraph.strip()]


def _block(experiment: Mapping[str, Any]) -> Mapping[str, Any]:
    blocks = experiment.get("extensions") or []
    return next((block for block in blocks if block.get("name") == EXTENSION), {})


def _experiment(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    experiment = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    question, *paragraphs = _comment(text) or [experiment["description"]]
    block = _block(experiment)
    lines = [f"## {experiment['title']}", "", f"`{path}`: {question}", ""]
    commands = ("chaos run", "mcp-chaos gate")
    lines += [line for text in paragraphs if not text.startswith(commands) for line in (text, "")]
    lines += [f"**What to do about a fail:** {block['advice'].strip()}", ""] if "advice" in block else []
    needs = "; ".join(_NEEDS[need] for need in block.get("needs", ()))
    lines += [f"Needs {needs}.", ""] if needs else []
    lines += ["| window | has to be |", "| --- | --- |"]
    lines += [f"| {window} | {', '.join(f'`{one}`' for one in ones)} |" for window, ones in block["thresholds"].items()]
    probes = [entry["name"] for entry in experiment["method"] if entry["type"] == "probe" and "tolerance" in entry]
    lines += ["", f"Checked besides: {'; '.join(probes)}."] if probes else []
    return [*lines, ""]


def _first_sentence(function: object) -> str:
    return " ".join((function.__doc__ or "").split("\n\n")[0].split())


def render() -> str:
    """The page as Markdown."""
    lines = [
        "# The experiments",
        "",
        "Written by `make docs` from the experiments' own files. `chaos run FILE` runs one, `mcp-chaos gate` the core",
        "of those that apply to a server, `mcp-chaos gate --all` the rest too.",
        "",
    ]
    for path in sorted(EXPERIMENTS.iterdir()):
        if path.suffix in (".yaml", ".json"):
            lines += _experiment(path)
    lines += ["## How the clients of start_clients misbehave", "", "| behaviour | what it does |", "| --- | --- |"]
    lines += [f"| `{name}` | {_first_sentence(function)} |" for name, function in BEHAVIOURS.items()]
    lines += ["", "## The rules of protocol_rules_are_kept", "", "| rule | what it says |", "| --- | --- |"]
    lines += [f"| `{name}` | {_first_sentence(function)} |" for name, function in RULES.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")

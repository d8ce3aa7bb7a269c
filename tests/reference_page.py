"""Writes ``docs/reference.md`` from the code: ``make docs``."""

import ast
import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from mcp_chaos import actions, errors, probes
from mcp_chaos.config.settings import KEYS
from mcp_chaos.history.event_kinds import KINDS
from mcp_chaos.history.reasons import Reason, outcome_of
from mcp_chaos.lab import defects
from mcp_chaos.load.shapes import SHAPES
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.server import SERVER_FIGURE_NAMES, ServerFigures

PAGE = Path("docs/reference.md")

_ENVIRONMENT_ONLY = {
    "MCP_TOKEN, MCP_TOKEN_FILE": "a bearer token, or a file that holds one",
    "MCP_OAUTH_...": "a client whose tokens are got by OAuth client credentials, see servers.md",
    "MCP_HEADERS": "other headers that every request carries, a JSON object",
    "MCP_CA_FILE": "authorities to trust besides the system's, PEM, for https",
    "TOXIPROXY_SERVER": "the Toxiproxy server to start; found or obtained without it",
    "MCP_CHAOS_LAB_DEFECT": "plants a defect in the reference server, see below",
    "MCP_CHAOS_LAB_RATE_PER_S": "calls per second and client above which the reference server answers HTTP 429",
    "MCP_CHAOS_LAB_QUERY_MS": "how much longer each query of the embedded warehouse takes",
    "MCP_CHAOS_LAB_JSON": "1: the reference server answers in JSON instead of event streams",
    "MCP_CHAOS_LAB_STATELESS": "1: the reference server has no sessions",
    "MCP_CHAOS_LAB_RESUMABLE": "1: the reference server's streams can be resumed",
    "MCP_CHAOS_LAB_BITES": "a file for how often the planted defect bit",
}


def _sentence(thing: object) -> str:
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _functions(module: ModuleType) -> Iterable[tuple[str, ...]]:
    for name in module.__all__:
        function = getattr(module, name)
        given = [
            f"`{one.name}`" + ("" if one.default is one.empty else f" ({one.default!r})")
            for one in inspect.signature(function).parameters.values()
        ]
        yield f"`{name}`", _sentence(function), ", ".join(given)


def _figures() -> Iterable[tuple[str, ...]]:
    for name, figure in FIGURES.items():
        where = f", in the window `{figure.only_in.window}`" if figure.only_in is not None else ""
        yield f"`{name}`", figure.meaning + where


def _server_figures() -> Iterable[tuple[str, ...]]:
    said = dict(re.findall(r"^    (\w+): (.*)$", inspect.getdoc(ServerFigures) or "", re.MULTILINE))
    return ((f"`{name}`", said[name]) for name in SERVER_FIGURE_NAMES)


def _reasons() -> Iterable[tuple[str, ...]]:
    for reason in Reason:
        unsent, sent = (outcome_of(reason, sent).name.lower() for sent in (False, True))
        yield (
            f"`{reason.key}`",
            sent if sent == unsent else f"{sent}; {unsent} where nothing was sent",
            reason.record.meaning,
        )


def _shapes() -> Iterable[tuple[str, ...]]:
    for kind, shape in SHAPES.items():
        values = {name: " or ".join(one.choices) or f"{one.default:g}" for name, one in shape.numbers().items()}
        yield f"`{kind}`", shape.summary, ", ".join(f"`{name}` {value}" for name, value in values.items())


def _events() -> Iterable[tuple[str, ...]]:
    for kind in KINDS.values():
        yield f"`{kind.name}`", kind.meaning, ", ".join(f"`{name}`" for name in kind.needs), "yes" if kind.doubt else ""


def _defects() -> Iterable[tuple[str, ...]]:
    (enum,) = (node for node in ast.parse(inspect.getsource(defects)).body if isinstance(node, ast.ClassDef))
    for assignment, text in zip(enum.body, enum.body[1:], strict=False):
        if isinstance(assignment, ast.Assign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            assert isinstance(assignment.value, ast.Constant)
            yield f"`{assignment.value.value!s}`", " ".join(str(text.value.value).split())


def _exit_codes() -> Iterable[tuple[str, ...]]:
    rows = re.findall(r"^    (\d)     (\S+) +(.*)$", errors.__doc__ or "", re.MULTILINE)
    return ((f"`{code}`", verdict, meaning) for code, verdict, meaning in rows)


def render() -> str:
    """The page as Markdown."""
    lines = ["# Reference", "", "Written by `make docs` from the code.", "", "## Settings", ""]
    lines += [
        "From the environment; those of the first table also from an experiment's `configuration` in small letters,"
    ]
    lines += ["which then wins, and from `--var`, a profile (`--var-file`) or a plan.", ""]
    lines += _table(("variable", "what it is"), ((f"`{key.upper()}`", text) for key, text in KEYS.items()))
    lines += _table(("from the environment only", "what it is"), ((f"`{n}`", t) for n, t in _ENVIRONMENT_ONLY.items()))
    lines += ["## Actions (`mcp_chaos.actions`)", ""]
    lines += _table(("action", "what it does", "arguments (defaults)"), _functions(actions))
    lines += ["## Probes (`mcp_chaos.probes`)", ""]
    lines += _table(("probe", "what it reads", "arguments (defaults)"), _functions(probes))
    lines += ["## Load shapes", "", "The numbers are the specification's by default.", ""]
    lines += _table(("load", "what it is", "numbers"), _shapes())
    lines += ["## Figures of thresholds", ""]
    lines += _table(("figure", "what it counts or measures"), _figures())
    lines += ["## Figures of the server (`server.NAME`, in the windows before, baseline, fault, recovery, rest)", ""]
    lines += _table(("figure", "what it counts or measures"), _server_figures())
    lines += ["## Reasons of calls", ""]
    lines += _table(("reason", "outcome", "what it says"), _reasons())
    lines += ["## Events of a run (`events.jsonl`)", ""]
    lines += _table(("event", "what it says", "what it carries besides `at_ns` and `kind`", "inconclusive"), _events())
    lines += ["## Exit codes of mcp-chaos", "", "`chaos run` exits with 0 for *pass* and 1 for everything else.", ""]
    lines += _table(("code", "verdict", "meaning"), _exit_codes())
    lines += ["## Defects that can be planted in the reference server (`MCP_CHAOS_LAB_DEFECT`)", ""]
    lines += _table(("defect", "what it does"), _defects())
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")

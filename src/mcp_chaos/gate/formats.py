"""The result of a gate for people and for pipelines: text, JUnit XML, Markdown."""

import re
from collections import Counter

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite
from junitparser.junitparser import Properties, Property
from rich.text import Text

from mcp_chaos.errors import EXIT_FAIL, EXIT_PASS
from mcp_chaos.gate.result import EXPECTED, NOT_APPLICABLE, NOT_RUN, ExperimentResult, GateResult
from mcp_chaos.machine.printable import printable, printable_lines
from mcp_chaos.report import tables

_STYLES = {0: "bold green", 1: "bold red", 3: "bold yellow", 4: "bold yellow", 5: "bold red"}
_MARKS = {0: "✅", 1: "❌", 3: "⚠️", 4: "⚠️", 5: "❌"}
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_text(result: GateResult, *, colour: bool, width: int) -> str:
    """A table of the experiments, and the answer."""
    console = tables.console(colour=colour, width=width)
    made = tables.table("Gate", "experiment", "verdict", "seconds", "runs", "why", left=(0, 1, 4))
    for experiment in result.experiments:
        outcome = Text(experiment.outcome, _STYLES[experiment.exit_code])
        tries = str(len(experiment.attempts))
        made.add_row(experiment.title, outcome, f"{experiment.seconds:.1f}", tries, Text(experiment.headline))
    with console.capture() as captured:
        console.print()
        console.print(made)
        console.print()
        console.print(Text.assemble("Gate: ", (result.outcome, _STYLES[result.exit_code])))
        console.print(tables.line(f"  {result.sentence}"), soft_wrap=True)
    return captured.get()


def as_junit(result: GateResult) -> str:
    """JUnit XML: failed is a failure, what proves nothing an error, what was not run or may fail skipped."""
    suite = TestSuite(_clean(result.plan.title))
    suite.timestamp = result.began.isoformat(timespec="seconds")
    names: Counter[str] = Counter()
    for experiment in result.experiments:
        names[experiment.title] += 1
        # Readers know a test by its name: of two with the same one, GitLab shows one.
        again = f" ({names[experiment.title]})" if names[experiment.title] > 1 else ""
        suite.add_testcase(_case(result, experiment, again))
    xml = JUnitXml("mcp-chaos")
    xml.add_testsuite(suite)
    xml.update_statistics()
    text = xml.tostring()
    return (text.decode() if isinstance(text, bytes) else text) + "\n"


def _case(result: GateResult, experiment: ExperimentResult, again: str) -> TestCase:
    case = TestCase(
        _clean(experiment.title + again), f"mcp_chaos.{_clean(result.plan.title)}", round(experiment.seconds, 3)
    )
    first, text = _clean(experiment.headline), _clean("\n".join(experiment.reasons))
    if experiment.outcome in (EXPECTED, NOT_APPLICABLE, NOT_RUN):
        case.result = [Skipped(first)]
    elif experiment.exit_code == EXIT_FAIL:
        case.result = [_with_text(Failure(first, experiment.outcome), text)]
    elif experiment.exit_code != EXIT_PASS:
        case.result = [_with_text(Error(first, experiment.outcome), text)]
    properties = Properties()
    properties.add_property(Property("outcome", experiment.outcome))
    properties.add_property(Property("run", _clean(str(experiment.run or ""))))
    case.append(properties)
    return case


def _with_text(made: Failure | Error, text: str) -> Failure | Error:
    made.text = text
    return made


def _clean(text: str) -> str:
    """Without what XML has no way to say; a server's words may have any character in them."""
    return printable_lines(_NOT_IN_XML.sub("�", text))


def as_markdown(result: GateResult) -> str:
    """A page for a pipeline's summary."""
    lines = [
        f"## {_MARKS[result.exit_code]} mcp-chaos gate: {result.outcome}",
        "",
        _escaped(result.sentence),
        "",
        "| experiment | verdict | seconds | runs | why |",
        "| --- | --- | ---: | ---: | --- |",
    ]
    for experiment in result.experiments:
        cells = (
            _escaped(experiment.title),
            f"{_MARKS[experiment.exit_code]} {experiment.outcome}",
            f"{experiment.seconds:.1f}",
            str(len(experiment.attempts)),
            _escaped(experiment.headline),
        )
        lines.append(f"| {' | '.join(cells)} |")
    for experiment in result.experiments:
        if len(experiment.reasons) > 1:
            lines += ["", f"<details><summary>{_escaped(experiment.title)}: all reasons</summary>", ""]
            lines += [f"- {_escaped(reason)}" for reason in experiment.reasons]
            lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    flat = " ".join(printable(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~@])", r"\\\1", flat)

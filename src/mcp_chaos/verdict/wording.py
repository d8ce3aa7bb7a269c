"""A missed threshold as a sentence that a person understands who has never seen one."""

import re
from typing import Any

from mcp_chaos.history.calls import LANES
from mcp_chaos.verdict.figure import Figure
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.judgement import Judgement

_WHEN = {
    "before": "Before the load",
    "baseline": "Before any fault",
    "fault": "While a fault was in place",
    "recovery": "After the faults were gone",
    "rest": "After the load had ended and its sessions were closed",
}
_HELD = {
    "fds": "file descriptors open",
    "threads": "threads",
    "close_wait": "connections whose client had gone (CLOSE_WAIT)",
    "children": "child processes",
    "rss_mb": "MB of memory",
    "max_fds": "file descriptors open at most",
    "max_threads": "threads at most",
    "max_rss_mb": "MB of memory at most",
}
_OTHERS = "for clients that the faults did not touch"
_OF_SERVER = re.compile(
    rf"((?:{'|'.join(_WHEN)})\.)?server\.({'|'.join(_HELD)}|cpu_fraction|health_wrong_s)\s*(?:<=?|==(?=\s*0\s*$))\s*[^=]"
)
_COMPARISON = re.compile(r"([\w.]+)\s*(<=|<|>=|>|==)\s*[^=]")
_DIFFERENCE = re.compile(r"(\w+)\s*-\s*control\.\1\s*<=?\s*[^=]")


def plainly(judgement: Judgement) -> str:
    """What a missed threshold says, in plain words; its exact sentence where there are none for it."""
    said = _words(judgement) if judgement.outcome == "missed" else ""
    if said and judgement.causes:
        return f"{said}: {judgement.causes}"
    return said or judgement.sentence()


def _words(judgement: Judgement) -> str:
    return _of_server(judgement) or _difference(judgement) or _comparison(judgement)


def _of_server(judgement: Judgement) -> str:
    """Of a threshold that bounds a figure of the server from above."""
    compared = _OF_SERVER.match(judgement.text)
    if compared is None or judgement.left is None or judgement.right is None:
        return ""
    when, figure = _WHEN[(compared[1] or judgement.window).rstrip(".")], compared[2]
    if figure == "health_wrong_s":
        return f"{when}, the server said of its health the opposite of what calls found"
    if figure == "cpu_fraction":
        used, allowed = _apart(100 * judgement.left, 100 * judgement.right)
        return f"{when}, the server used {used} % of a core, and {allowed} % were allowed"
    held, allowed = _apart(judgement.left, judgement.right)
    return f"{when}, the server's process had {held} {_HELD[figure]}, and {allowed} were allowed"


def _difference(judgement: Judgement) -> str:
    """Of a threshold that takes the control lane's latency off."""
    found = _DIFFERENCE.match(judgement.text.removeprefix(f"{judgement.window}."))
    figure = FIGURES.get(found[1]) if found is not None else None
    if figure is None or not figure.difference or judgement.left is None or judgement.right is None:
        return ""
    more, allowed = _apart(judgement.left, judgement.right)
    return (
        f"{_WHEN[judgement.window]}, {figure.difference} {more} {figure.unit} longer than {_OTHERS}, "
        f"and {allowed} {figure.unit} were allowed"
    )


def _comparison(judgement: Judgement) -> str:
    """Of a threshold that has one figure on its left."""
    compared = _COMPARISON.match(judgement.text)
    if compared is None:
        return ""
    *prefixes, figure = compared[1].split(".")
    window = next((prefix for prefix in prefixes if prefix in _WHEN), judgement.window)
    aside = f", {_OTHERS}," if LANES.keys() & set(prefixes) == {"control"} else ","
    said = _said(FIGURES[figure], compared[2], judgement.left, judgement.right) if figure in FIGURES else ""
    return f"{_WHEN[window]}{aside} {said}" if said else ""


def _said(figure: Figure[Any], operator: str, left: float | None, right: float | None) -> str:
    """What was measured and what was asked for; nothing where a threshold is the other way round than usual."""
    upwards = operator in (">", ">=")
    if figure.name == "recovery_s" and left is None and not upwards:
        return "the service never became steady again"
    if left is None or right is None or not figure.words:
        return ""
    if figure.unit == "fraction":
        return _too_few(figure, operator, left, right) if upwards else ""
    if not figure.unit:
        return _too_many(figure, operator, left, right)
    got, allowed = (f"{value} {figure.unit}" for value in _apart(left, right))
    return f"{figure.words.format(got)}, and {allowed} were allowed" if operator in ("<", "<=") else ""


def _too_few(figure: Figure[Any], operator: str, left: float, right: float) -> str:
    got, asked = _apart(100 * left, 100 * right)
    more = "more than " if operator == ">" else ""
    return f"{figure.words.format(f'{got} %')}, and {more}{asked} % were asked for"


def _too_many(figure: Figure[Any], operator: str, left: float, right: float) -> str:
    if operator not in ("<", "<=") and (operator != "==" or right != 0):
        return ""
    got, asked = _apart(left, right)
    most = "none" if right == 0 else f"fewer than {asked}" if operator == "<" else f"{asked} at most"
    return f"{figure.words.format(got)}, and {most} may"


def _apart(left: float, right: float) -> tuple[str, str]:
    """Two numbers with as few digits as still tell them apart."""
    for digits in range(3, 16):
        found = _number(left, digits), _number(right, digits)
        if found[0] != found[1]:
            return found
    return found


def _number(value: float, digits: int) -> str:
    """Rounded to so many digits, but not before the decimal point; and never with an exponent."""
    rounded = f"{float(f'{value:.{digits}g}'):f}" if abs(value) < 10**digits else f"{value:.0f}"
    return rounded.rstrip("0").rstrip(".") if "." in rounded else rounded

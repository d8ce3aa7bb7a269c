"""Texts of servers and of people, made fit for a terminal."""

import re

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


def printable(text: str) -> str:
    """A text on one line, with spaces for what would colour a screen, move its cursor, or turn the way it is read.

    A line of its own could say whatever this program says, a verdict too.
    """
    return _CONTROLS.sub(" ", text)


def printable_lines(text: str) -> str:
    """A text whose lines stay apart, each of them printable: for messages of ours with others' words in them."""
    return "\n".join(printable(line) for line in text.split("\n"))

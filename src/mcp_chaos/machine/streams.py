"""Standard streams as they may be found: closed, full, without a reader, or a terminal that shows no colours."""

import os
import shutil
import sys
from contextlib import suppress
from io import TextIOWrapper

import click

_MIN_WIDTH, _USUAL_WIDTH, _WITHOUT_TERMINAL = 20, 80, (120, 24)


def repair_streams() -> None:
    """Put /dev/null where a standard stream is closed, before a file of ours gets its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="replace", closefd=False))
        stream = getattr(sys, name)
        if isinstance(stream, TextIOWrapper):  # a test's is none
            stream.reconfigure(errors="replace")  # a server's words may have half characters in them


def tell(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text; a reader that has gone and a disk that is full decide neither about files nor about exit codes."""
    try:
        click.echo(text, err=err, nl=nl)
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # what is left in its buffer would fail once more at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), (sys.stderr if err else sys.stdout).fileno())


def is_terminal(*, err: bool = False) -> bool:
    """Whether a stream is a terminal whose cursor can be moved."""
    stream = sys.stderr if err else sys.stdout
    with suppress(AttributeError, ValueError, OSError):
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    return False


def has_colours(*, err: bool = False) -> bool:
    """Whether a stream shows colours, and nobody has said that they are not wanted (``NO_COLOR``)."""
    return is_terminal(err=err) and not os.environ.get("NO_COLOR")


def width() -> int:
    """How many characters wide a text may be: as ``COLUMNS`` says, else as the terminal is, but not less than usual."""
    columns = shutil.get_terminal_size(_WITHOUT_TERMINAL).columns
    is_asked_for = os.environ.get("COLUMNS", "").isdecimal()
    return max(_MIN_WIDTH if is_asked_for else _USUAL_WIDTH, columns)

"""The format of a run folder: its number, and which numbers are read.

A reader takes folders of its own format and of the one before, which ``as_current`` translates. What a folder of each
format looks like is kept in ``tests/history/formats``.

Formats::

    1    ``schema`` and ``made_by`` in the manifest, written when all parts had started
    2    ``format`` and ``mcp_chaos`` in the manifest, from its first writing on
"""

from typing import Any

from mcp_chaos import __version__
from mcp_chaos.errors import HistoryError

FORMAT = 2
"""What is written."""

READABLE = (FORMAT - 1, FORMAT)


def as_current(manifest: dict[str, Any], where: object) -> dict[str, Any]:
    """A manifest of a format that is read, as the current format has it.

    Args:
        manifest: as it is in the file; left as it is.
        where: its folder, for messages.

    Raises:
        HistoryError: it is of no format that is read; the message names the version that reads it.
    """
    number = manifest.get("format", manifest.get("schema"))
    if type(number) is not int or number < 1:
        raise HistoryError(f"{where} is damaged: its manifest.json has no format number. It was left as it is.")
    if number not in READABLE:
        raise HistoryError(_unreadable(number, manifest.get("mcp_chaos", manifest.get("made_by")), where))
    if number == 1:
        renamed = {"schema": "format", "made_by": "mcp_chaos"}
        manifest = {renamed.get(key, key): value for key, value in manifest.items()} | {"format": FORMAT}
    return manifest


def _unreadable(number: int, version: object, where: object) -> str:
    by = f"mcp_chaos {version}" if isinstance(version, str) else "another version of mcp_chaos"
    with_what = f"mcp_chaos {version}" if isinstance(version, str) else f"a version that reads format {number}"
    return (
        f"{where} was written by {by} in format {number}; mcp_chaos {__version__} reads formats "
        f"{' and '.join(map(str, READABLE))}. Read it with {with_what}. It was left as it is."
    )

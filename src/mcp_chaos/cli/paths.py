"""Paths on the command line."""

import errno
import os
from pathlib import Path
from typing import Any

import click

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR)


class AnyPath(click.Path):
    """A path that can be looked at; whether something is there is for whoever uses it to say.

    Args:
        options: of ``click.Path``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what would be an error wherever it is used: a name too long, a folder that is closed to this user."""
        try:
            os.stat(value)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                shown = os.fsdecode(value)
                self.fail(f"{shown if len(shown) < 200 else f'{shown[:200]}...'}: {error.strerror}", param, ctx)
        except ValueError:
            self.fail(f"{value!r} has a zero byte in it", param, ctx)
        return super().convert(value, param, ctx)

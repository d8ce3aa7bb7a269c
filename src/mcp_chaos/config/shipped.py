"""The experiments, profiles and plans that come with the package, as files.

In the repository they are in its folder ``experiments``, to which the package has a link that a build resolves.
"""

import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from mcp_chaos.errors import UsageError
from mcp_chaos.machine.spelling import hint

_SUFFIXES = (".yaml", ".json")


def folder() -> Path:
    """Where they are."""
    return Path(str(files("mcp_chaos"))) / "experiments"


def experiments() -> dict[str, Path]:
    """The experiments by name."""
    return _by_name(folder())


def profiles() -> dict[str, Path]:
    """The profiles by name: numbers for all experiments."""
    return _by_name(folder() / "profiles")


def named(given: Path, known: Mapping[str, Path]) -> Path:
    """The file that a person means: one that is there, or a shipped one by its name without a suffix."""
    return given if given.exists() else known.get(str(given), given)


def path_of(name: str) -> Path:
    """Where an experiment or a profile is.

    Raises:
        UsageError: there is none of that name.
    """
    known = experiments() | profiles()
    if name not in known:
        raise UsageError(f"There is no experiment or profile {name!r}{hint(name, sorted(known))}.")
    return known[name]


def copy_to(where: Path) -> list[Path]:
    """Copy all of them into a folder, over nothing that is there.

    Returns:
        The files that were written.

    Raises:
        UsageError: some are there already, or cannot be written; nothing was written over.
    """
    made = {
        path: where / path.relative_to(folder()) for path in sorted(folder().rglob("*")) if path.suffix in _SUFFIXES
    }
    there = [str(path) for path in made.values() if path.exists()]
    if there:
        raise UsageError(f"{', '.join(there)} would be written over. Nothing was written; name another folder.")
    for source, target in made.items():
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise UsageError(f"{error.filename or target} cannot be written ({error.strerror}).") from None
    return list(made.values())


def _by_name(where: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(where.iterdir()) if path.suffix in _SUFFIXES}

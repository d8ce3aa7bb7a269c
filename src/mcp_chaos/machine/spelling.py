"""Names that are not known: which one was probably meant, and which variables of the environment look misspelt."""

import difflib
import os
from collections.abc import Collection, Iterable, Sequence

_OURS_ALONE = "MCP_CHAOS_"
"""Variables that begin so are nobody else's."""

_CLOSE_FRACTION = 0.8

ELSEWHERE = (
    *("MCP_CHAOS_FOLDER", "MCP_CHAOS_INSTALL", "MCP_CHAOS_OPTIONS", "MCP_CHAOS_PACKAGE", "MCP_CHAOS_PLAN"),
    *("MCP_CHAOS_START", "MCP_CHAOS_RUN", "MCP_CHAOS_LOCUST_RUN", "MCP_CHAOS_LOCUST_SPEC"),
    *("MCP_CHAOS_LAB_DEFECT", "MCP_CHAOS_LAB_JSON", "MCP_CHAOS_LAB_QUERY_MS", "MCP_CHAOS_LAB_RATE_PER_S"),
    *("MCP_CHAOS_LAB_STATELESS", "MCP_CA_FILE", "TOXIPROXY_SERVER"),
)
"""Variables that are no settings: of the GitLab job, of processes that a run starts, of the embedded parts, of TLS."""


def hint(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about a name that is not known: the one that was probably meant, or all there are."""
    close = likeliest(name, known)
    return f"; did you mean '{close}'?" if close else f"; there are {', '.join(known) or 'none'}"


def likeliest(name: str, known: Collection[str]) -> str:
    """The known name that was probably meant by another; empty when none is like it."""
    return next(iter(difflib.get_close_matches(name, known, n=1)), "")


def unknown_keys(where: str, what: str, keys: Iterable[object], known: Sequence[str]) -> list[str]:
    """A sentence for each key that is not known.

    Args:
        where: it stands, for the beginning of the sentence; empty for none.
        what: the keys are of, such as ``an experiment``.
        keys: as written.
        known: that there are.
    """
    start = f"{where}: " if where else ""
    return [f"{start}'{key}' is no key of {what}{hint(str(key), known)}" for key in keys if key not in known]


def misspelt_variables(known: Collection[str]) -> list[str]:
    """A sentence for each variable of the environment that looks like a setting of ours, and is none.

    Other programs have variables that begin with ``MCP_`` too. So a name is refused only when it is one slip away from
    one of ours, when it is written in small letters, or when it begins with ``MCP_CHAOS_`` and is close to one.

    Args:
        known: the names of settings and credentials in capitals.
    """
    names = [*known, *ELSEWHERE]
    given = [name for name, value in os.environ.items() if value and name not in names]
    meant = {name: _meant_by(name, names, known) for name in sorted(given)}
    return [
        f"{name} in the environment is no setting of mcp_chaos; did you mean {found}? Unset it, or rename it."
        for name, found in meant.items()
        if found
    ]


def meant_settings(keys: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """Keys that look like a setting of ours and are none, each with the setting that was probably meant.

    Args:
        keys: of a configuration.
        known: the keys of all settings.
    """
    names = [name.upper() for name in known]
    found = {key: _meant_by(key.upper(), names, names) for key in keys if key not in (*known, *names)}
    return {key: meant.lower() for key, meant in found.items() if meant}


def _meant_by(name: str, names: Collection[str], settings: Collection[str]) -> str:
    """The name that another in the environment probably stands for; usually none."""
    spelt = name.upper().replace("-", "_")
    slips = [each for each in names if spelt == each or _is_one_slip(spelt, each)]
    if spelt.startswith(_OURS_ALONE):
        slips += difflib.get_close_matches(spelt, settings, n=1, cutoff=_CLOSE_FRACTION)
    return next(iter(slips), "")


def _is_one_slip(name: str, meant: str) -> bool:
    """Whether one letter is missing, too many or another, or two are swapped."""
    if abs(len(name) - len(meant)) > 1:
        return False
    at = next((n for n, (a, b) in enumerate(zip(name, meant, strict=False)) if a != b), min(len(name), len(meant)))
    one, other = name[at:], meant[at:]
    swapped = one[:2] == other[1::-1] and len(other) > 1 and one[2:] == other[2:]
    return swapped or one[1:] == other or one == other[1:] or one[1:] == other[1:]

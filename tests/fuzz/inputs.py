"""Strategies: values of all kinds, and documents and files that were right before something in them was changed."""

import copy
import json
import os
import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.toolkit.test_misspelt import misspelt, places, with_misspelt

NINES = "9" * 5000
_TEXTS = "x 0 -1 nan inf 1e400 null true %s {} [] ../.. /dev/zero /dev/null / http://[ http://127.0.0.1:99999/ ${x} ~"
_ODD = ["", " ", NINES, "\x1b[31mred", "a\nb", "é", "\u202eabc", "[" * 3000]
TEXTS = st.sampled_from([*_TEXTS.split(), *_ODD]) | st.text(max_size=8)
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, -1, 1, 10**400, -0.0, 1e308, float("nan"), float("inf")])
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS


def _deep(levels: int, as_list: bool) -> Any:
    made: Any = "x"
    for _ in range(levels):
        made = [made] if as_list else {"a": made}
    return made


JUNK: st.SearchStrategy[Any] = st.one_of(
    PLAIN,
    st.lists(PLAIN, max_size=3),
    st.dictionaries(st.text(max_size=4), PLAIN, max_size=3),
    st.builds(_deep, st.sampled_from([3, 60, 600]), st.booleans()),
)

Place = tuple[Any, ...]
_DEEPEST = 20


def all_places(value: Any, at: Place = ()) -> list[Place]:
    """Where everything in a document is, keys of mappings and positions in lists; not the bottom of a deep one."""
    if len(at) == _DEEPEST:
        return []
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in pairs for place in [(*at, key), *all_places(inner, (*at, key))]]


@st.composite
def changed(draw: st.DrawFn, documents: list[Any]) -> Any:
    """One of some documents with one to three things replaced, removed, added or doubled."""
    made = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(1, 3))):
        found = all_places(made)
        if not found:
            return draw(JUNK)
        *way, last = draw(st.sampled_from(found))
        holder = made
        for step in way:
            holder = holder[step]
        match draw(st.sampled_from(["replace", "replace", "remove", "add", "wrap", "other"])):
            case "replace":
                holder[last] = draw(JUNK)
            case "remove":
                del holder[last]
            case "wrap":
                holder[last] = draw(st.sampled_from([[holder[last]], {"x": holder[last]}, [holder[last]] * 2]))
            case "other":  # what stands elsewhere in the document
                holder[last] = copy.deepcopy(_at(made, draw(st.sampled_from(found))))
            case _ if isinstance(holder, dict):
                holder[draw(TEXTS)] = draw(JUNK)
            case _:
                holder.append(draw(JUNK))
    return made


def _at(document: Any, place: Place) -> Any:
    for step in place:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


@st.composite
def with_misspelt_key(draw: st.DrawFn, documents: list[Any]) -> Any:
    """One of some documents with one key misspelt, but for the arguments of tools, which are the server's."""
    document = draw(st.sampled_from(documents))
    free = "arguments" if "users" in document else None
    keys = [place for place in places(document) if free not in place[:-1]]
    place = draw(st.sampled_from(keys))
    return with_misspelt(document, place, misspelt(place[-1], random.Random(draw(st.integers(0, 99)))))


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes of a file, cut, with some overwritten, or with some in between."""
    at = draw(st.integers(0, len(data)))
    match draw(st.sampled_from(["cut", "overwrite", "insert", "begin"])):
        case "cut":
            return data[:at]
        case "begin":
            return data[at:]
        case "overwrite":
            other = draw(st.binary(min_size=1, max_size=20))
            return data[:at] + other + data[at + len(other) :]
        case _:
            return data[:at] + draw(st.binary(min_size=1, max_size=20)) + data[at:]


def write_json(path: Path, document: Any) -> Path:
    """A document as JSON, which is YAML too; with what neither has (NaN)."""
    path.write_text(json.dumps(document, default=str), encoding="utf-8", errors="replace")
    return path


def write_special(path: Path, kind: str) -> None:
    """Something else in the place of a file."""
    if path.is_dir() and not path.is_symlink():
        return
    path.unlink(missing_ok=True)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(50 * 1024**3)  # of no blocks
        case "nothing":
            pass
        case target:
            path.symlink_to(target)

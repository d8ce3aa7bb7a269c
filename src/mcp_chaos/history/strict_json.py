"""JSON as the files of a run have it: what a run never writes is refused."""

import json
import math
from typing import Any

_LONGEST_WHOLE_NUMBER = 300


def parse(text: str) -> Any:
    """The value of a JSON text.

    Numbers that no computation holds are refused; half a character, which no file and no terminal takes, is replaced.

    Raises:
        ValueError: it is not JSON, or JSON that a run never writes.
    """
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text.lower():
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _whole(text: str) -> int:
    return int(text) if len(text) < _LONGEST_WHOLE_NUMBER else _refuse(f"{text[:10]}...")


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_whole)

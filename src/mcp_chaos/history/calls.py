"""The calls of a run: what is known of each, and how they are read back from a file."""

from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.errors import HistoryError
from mcp_chaos.history.reasons import Outcome as Outcome
from mcp_chaos.history.reasons import Reason as Reason
from mcp_chaos.history.reasons import outcome_of as outcome_of
from mcp_chaos.history.regular_file import check_regular

CALL = np.dtype(
    [
        ("intended_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("done_ns", "<i8"),
        ("bytes", "<u4"),
        ("operation", "<u2"),
        ("user", "<u2"),
        ("worker", "<u2"),
        ("reason", "u1"),
        ("outcome", "u1"),
        ("lane", "u1"),
        ("step", "<u2"),
    ]
)
"""One call, 39 bytes. Times are UTC nanoseconds of the run's clock; ``sent_ns`` is 0 when nothing was sent."""

RECORD = Struct("<qqqIHHHBBBH")
"""Packs one call; the same fields as ``CALL``, in its order."""

Calls = NDArray[np.void]

LATEST_NS = 2**62
"""No moment of a run is as late: the year 2116, so that sums of times fit 64 bits."""


class Lane(IntEnum):
    """Which way a call took: through the proxy that is poisoned, or through the one that never is."""

    FAULTED = 0
    CONTROL = 1


LANES = {lane.name.lower(): lane for lane in Lane}
"""The lanes by the names that people give them."""


def below() -> dict[str, int]:
    """What fields of a call are below, where that is less than they have room for; none is negative."""
    times = dict.fromkeys(("intended_ns", "sent_ns", "done_ns"), LATEST_NS)
    return {**times, "reason": len(Reason), "outcome": len(Outcome), "lane": len(Lane)}


def are_calls(records: Calls) -> bool:
    """Whether all records are calls: a file that lost a byte, or holds something else, has others."""
    return not len(records) or all(
        records[name].min() >= 0 and records[name].max() < limit for name, limit in below().items()
    )


_AT_A_TIME = 65_536
_MAX_BYTES = 1024**3
"""Of one process of a load: 27 million calls."""


def read_calls(path: Path, first: int = 0, most: int | None = None) -> Calls:
    """Records of ``CALL`` from a file that may still be growing; an empty array when there is none.

    Args:
        path: of the file.
        first: how many records to pass over.
        most: how many to read at the most; ``None`` for all.

    Raises:
        HistoryError: it cannot be read, or holds what no load writes.
    """
    if not path.exists():
        return np.empty(0, dtype=CALL)
    try:
        check_regular(path, _MAX_BYTES)
        whole = max(0, path.stat().st_size // CALL.itemsize - first)
        count = whole if most is None else min(most, whole)
        calls = np.fromfile(path, dtype=CALL, count=count, offset=first * CALL.itemsize)
    except OSError as error:
        raise HistoryError(f"{path} cannot be read ({error}). The run was left as it is.") from None
    if not are_calls(calls):
        raise HistoryError(f"{path} is damaged: it has records that are no calls. The run was left as it is.")
    return calls


def in_parts(path: Path, first: int = 0) -> Iterator[Calls]:
    """The records from ``first`` on, so many at a time that a file of any size needs little memory."""
    while len(part := read_calls(path, first, _AT_A_TIME)):
        first += len(part)
        yield part

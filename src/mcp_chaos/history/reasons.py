"""Why a call ended as it did: one member per reason, with all that the rest of the package has to know of it.

Results, the verdict's sentences, the report page and ``docs/reference.md`` follow from the record of a member.
"""

from dataclasses import dataclass
from enum import IntEnum


class Outcome(IntEnum):
    """What is known of a call: it happened, it surely did not, or nobody can tell."""

    OK = 0
    FAIL = 1
    INFO = 2


@dataclass(frozen=True)
class ReasonRecord:
    """What is known of a reason.

    Args:
        number: in calls files; never given to another reason.
        meaning: for the documentation.
        colour: on the report page, on light and on dark paper; reasons of one family share theirs.
        words: in the sentences of a verdict; empty for its name.
        succeeded: whether a call that ended so did what it was asked.
        may_have_happened: whether nobody can tell if the call happened, once its request had left.
        follows_cuts: whether it is what becomes of a call whose connection is cut, or the server's to its backend.
    """

    number: int
    meaning: str
    colour: tuple[str, str]
    words: str = ""
    succeeded: bool = False
    may_have_happened: bool = False
    follows_cuts: bool = False


_GREEN = ("#5a9e6d", "#4d8a5f")
_PINK = ("#d45087", "#ec83ab")


class Reason(IntEnum):
    """The reasons there are."""

    record: ReasonRecord

    OK = ReasonRecord(0, "It was answered well.", _GREEN, succeeded=True)
    RATE_LIMITED = ReasonRecord(
        1, "The server refused it by a rate limit (HTTP 429), which is its right.", ("#d9a441", "#e0b45c"), "HTTP 429"
    )
    HTTP_ERROR = ReasonRecord(
        2,
        "It was answered by an HTTP error that says that nothing was done.",
        ("#a45ee5", "#c39bf0"),
        follows_cuts=True,
    )
    RPC_ERROR = ReasonRecord(
        3, "It was answered by a JSON-RPC error.", ("#7b4bc4", "#a585e0"), "JSON-RPC error", follows_cuts=True
    )
    TOOL_ERROR = ReasonRecord(
        4, "The tool answered that it failed (`isError`).", ("#5a7bd8", "#8fa8f0"), follows_cuts=True
    )
    WRONG_ANSWER = ReasonRecord(
        5, "The answer is to another request, or is none of the protocol.", _PINK, may_have_happened=True
    )
    SESSION_LOST = ReasonRecord(
        6, "Its session had ended, and no other could be opened at once.", ("#0f8b8d", "#4fc0c2")
    )
    REFUSED = ReasonRecord(
        7, "No connection could be opened.", ("#c8442b", "#ff8a6b"), "connection refused", follows_cuts=True
    )
    RESET = ReasonRecord(
        8,
        "Its connection was reset.",
        ("#e2725b", "#d9674d"),
        "connection reset",
        may_have_happened=True,
        follows_cuts=True,
    )
    CLOSED = ReasonRecord(
        9,
        "Its connection was closed before the answer.",
        ("#f0a58f", "#a8563f"),
        "connection closed",
        may_have_happened=True,
        follows_cuts=True,
    )
    TIMED_OUT = ReasonRecord(
        10, "There was no answer before its deadline.", ("#6d2b1d", "#ffc9b8"), may_have_happened=True
    )
    SERVER_ERROR = ReasonRecord(
        11,
        "It was answered by an HTTP error that leaves open whether it was done.",
        ("#8d99a6", "#8d99a6"),
        may_have_happened=True,
        follows_cuts=True,
    )
    WRONG_CONTENT = ReasonRecord(12, "The answer does not contain what the workload expects.", _PINK)
    SESSION_RENEWED = ReasonRecord(
        13, "It was answered well, on a session opened in place of one that the server had ended.", _GREEN, "", True
    )

    def __new__(cls, record: ReasonRecord) -> "Reason":
        """A member, whose value is the record's number."""
        member = int.__new__(cls, record.number)
        member._value_ = record.number
        member.record = record
        return member

    @property
    def key(self) -> str:
        """Its name in files: ``timed_out``."""
        return self.name.lower()

    @property
    def title(self) -> str:
        """Its name for people: ``timed out``."""
        return self.key.replace("_", " ")

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return self.record.words or self.title


def outcome_of(reason: Reason, sent: bool) -> Outcome:
    """What a reason says about whether the call happened.

    A connection that is lost, or a deadline that passes, after the request left, says nothing about the server's
    side of it; before that, the call surely did not happen.
    Source: the three-valued operations of Jepsen and Maelstrom (ok, fail, info).
    """
    if reason.record.succeeded:
        return Outcome.OK
    return Outcome.INFO if sent and reason.record.may_have_happened else Outcome.FAIL

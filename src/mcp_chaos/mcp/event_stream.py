"""An incremental parser for ``text/event-stream``: bytes in, the data of whole events out.

Comments, retry times and events without data (such as the priming event of 2025-11-25) carry no message and are left
out; of the ids the first is kept, from which a stream can be resumed. Lines may end in CRLF, LF or CR.
Source: WHATWG HTML, section 9.2.6, interpreting an event stream.
"""

import re

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventStream:
    """The state of one stream: what arrived of the line and of the event that are not whole yet.

    Attributes:
        first_id: of the first event that has one.
    """

    def __init__(self) -> None:
        self.first_id: str | None = None
        # Pieces of a line are joined when its end has come: a long line in small chunks costs no more than its length.
        self._pieces: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take in bytes as they arrive, cut anywhere.

        Returns:
            The data of each event that became whole, in order; several data lines are joined by LF.
        """
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")  # the second half of a CRLF that was cut
            self._after_cr = False
        # Most servers end lines in LF alone, for which bytes.split is twice as fast.
        *ends, rest = _LINE_END.split(chunk) if b"\r" in chunk else chunk.split(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        events: list[bytes] = []
        for line in ends:
            if self._pieces:
                self._pieces.append(line)
                line = b"".join(self._pieces)
                self._pieces.clear()
            if self._at_start:
                line = line.removeprefix(_BYTE_ORDER_MARK)
                self._at_start = False
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif line == b"data":
                self._data.append(b"")
            elif not line and self._data:
                if any(self._data):
                    events.append(b"\n".join(self._data))
                self._data.clear()
            elif self.first_id is None and line.startswith(b"id:"):
                self.first_id = line[3:].strip().decode("latin-1")
        if rest:
            self._pieces.append(rest)
        return events

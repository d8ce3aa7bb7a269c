"""An incremental parser for ``text/event-stream``: bytes in, the data of whole events out.

Comments, ids, retry times and events without data (such as the priming event of 2025-11-25) carry no message and are
left out. Lines may end in CRLF, LF or CR.
Source: WHATWG HTML, section 9.2.6, interpreting an event stream.
"""

import re

_LINE_END = re.compile(rb"\r\n|\n|\r")


class EventStream:
    """The state of one stream: what arrived of the line and of the event that are not whole yet."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take in bytes as they arrive, cut anywhere.

        Returns:
            The data of each event that became whole, in order; several data lines are joined by LF.
        """
        pending = self._rest + chunk
        held = b"\r" if pending.endswith(b"\r") else b""
        lines = _LINE_END.split(pending[: len(pending) - len(held)])
        self._rest = lines.pop() + held
        events = []
        for line in lines:
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line == b"data":
                self._data.append(b"")
            elif not line:
                data = b"\n".join(self._data)
                self._data.clear()
                if data:
                    events.append(data)
        return events

"""The credentials of Locust's users, kept fresh as those of every load are."""

import time
from contextlib import suppress

from mcp_chaos.config.credentials import credential_headers, fresh_for_s
from mcp_chaos.errors import McpChaosError
from mcp_chaos.mcp.dialect import Headers


class KeptCredentials:
    """The headers of now, made anew when their time is up; where that fails, those before are used on."""

    def __init__(self) -> None:
        self._headers: Headers | None = None
        self._until_s: float | None = None

    def headers(self) -> Headers:
        """Names and values.

        Raises:
            McpChaosError: they cannot be had, and there are none from before.
        """
        if self._headers is None:
            self._headers = credential_headers()
            self._note_age()
        elif self._until_s is not None and time.monotonic() >= self._until_s:
            self._note_age()  # first, so that only one of many users waits for new ones
            with suppress(McpChaosError):  # the server says when the old ones are not good any more
                self._headers = credential_headers()
                self._note_age()
        return self._headers

    def _note_age(self) -> None:
        age_s = fresh_for_s()
        self._until_s = None if age_s is None else time.monotonic() + age_s

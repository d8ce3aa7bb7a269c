"""What an engine gives its clients, so that clients need to know of no engine."""

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from mcp_chaos.load.clients.first_bad_answers import FirstBadAnswers
from mcp_chaos.load.spec import Target
from mcp_chaos.mcp.dialect import Headers
from mcp_chaos.workload.workload import Workload

Client_contra = TypeVar("Client_contra", contravariant=True)


class Context(Protocol[Client_contra]):
    """What a client works in.

    Args:
        loop: that all happens on.
        target: where calls go.
        tls: for connections to it; ``None`` where it speaks none.
        credential_headers: names and values; they may be renewed.
        credentials: the same as lines of a head.
        workload: what is called.
        deadline_s: of each call.
        lane: of the load.
        worker: which of the load's processes this is, from 0.
        step_number: of the step that is made.
        bad_answers: keeps the first of them; ``None`` to keep none.
    """

    loop: asyncio.AbstractEventLoop
    target: Target
    tls: ssl.SSLContext | None
    credential_headers: Headers
    credentials: bytes
    workload: Workload
    deadline_s: float
    lane: int
    worker: int
    step_number: int
    bad_answers: FirstBadAnswers | None

    @property
    def has_room_for_errand(self) -> bool:
        """Whether so few errands are under way that one which may be left out can be run."""

    def now_ns(self) -> int:
        """Now, on the run's clock."""

    def new_call_id(self) -> int:
        """An id that no call had before; 0 is the handshake's."""

    def tls_options(self) -> dict[str, Any]:
        """What ``create_connection`` needs to know of TLS."""

    def write_call(self, record: bytes, /) -> None:
        """Take a call that ended, a packed record of ``CALL``."""

    def ended(self, user: Client_contra, done_ns: int) -> None:
        """A client's call ended; it may be told to start the next one at once."""

    def run_errand(self, errand: Coroutine[Any, Any, None]) -> None:
        """Let something happen beside the calls; it bounds its own time, and ends with the engine."""

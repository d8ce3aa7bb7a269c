"""HTTP+SSE, the transport of 2024-11-05: answers come on a stream that is opened first, requests go to where it says.

    GET the stream ──event "endpoint"──▶ POST each message to that URI (202); its response is an event on the stream

The states after that are those of Streamable HTTP; the end of the stream is the end of the session.
Source: modelcontextprotocol.io, specification 2024-11-05, basic/transports, "HTTP with SSE".
"""

from urllib.parse import SplitResult, urljoin, urlsplit

from mcp_chaos.history.calls import Reason
from mcp_chaos.mcp.dialect import DialectError, Headers, TransportKind
from mcp_chaos.mcp.message import Message
from mcp_chaos.mcp.streamable import State, Streamable


class Sse(Streamable):
    """The transport of the first version."""

    name = "sse"
    transport = TransportKind.SSE
    renews_sessions = False
    proposed_version = "2024-11-05"
    spoken_versions = (*Streamable.spoken_versions, "2024-11-05")

    def headers(self) -> Headers:
        """Of a message that is sent."""
        return [("Content-Type", "application/json"), ("Accept", "application/json")]

    def opening_has_an_event(self) -> bool:
        """Whether :meth:`opening` is answered on the stream as initialize is; the notification is accepted only."""
        return self.state is State.NEW

    def closing(self) -> bool:
        """The end of the stream is the end of the session."""
        return False

    def cancellation(self, call_id: int) -> bytes | None:
        """None: whoever gives up a call closes the stream it would have come on, and the session with it."""
        return None

    def judge_status(self, status: int, message: Message | None) -> Reason:
        """A POST that is not accepted: 404 means that the session is lost, for its id is in the address."""
        return Reason.SESSION_LOST if status == 404 else super().judge_status(status, message)


def endpoint_path(data: bytes, stream_path: str, host: str, *, tls: bool) -> str:
    """Where messages are to be posted: the path of what the event ``endpoint`` says.

    Args:
        data: of the event.
        stream_path: the path of the stream, to which it may be relative.
        host: ``host:port`` of the server; messages go to no other (the specification has clients check that).
        tls: whether the stream came by TLS; messages go the same way.

    Returns:
        A path that begins with one slash only: two are the beginning of a host where URLs are joined.

    Raises:
        DialectError: it is no address, or one of another origin.
    """
    origin = f"{'https' if tls else 'http'}://{host}"
    try:
        there = urlsplit(urljoin(f"{origin}{stream_path}", data.decode("ascii").strip()))
        is_same = _origin(there) == _origin(urlsplit(origin))
    except ValueError:
        there, is_same = urlsplit(""), True
    if there.scheme not in ("http", "https") or not there.path.startswith("/") or there.path.startswith("//"):
        raise DialectError(Reason.WRONG_ANSWER, "the first event of the stream does not say where messages go")
    if not is_same:
        where = f"{there.scheme}://{there.netloc}"
        raise DialectError(Reason.WRONG_ANSWER, f"the stream sends messages to another server ({where})")
    return there.path + (f"?{there.query}" if there.query else "")


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None, str | None]:
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, port, parts.username

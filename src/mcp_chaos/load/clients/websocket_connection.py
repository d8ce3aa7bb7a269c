"""A WebSocket connection on the sans-I/O protocol of ``websockets``.

Source: RFC 6455; https://websockets.readthedocs.io, "Integrate the Sans-I/O layer".
"""

import asyncio
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from mcp_chaos.history.calls import Reason
from mcp_chaos.load.clients.http_connection import MAX_ANSWER_BYTES, Head, Listener
from mcp_chaos.load.clients.request import LostError
from mcp_chaos.mcp.dialect import Headers
from mcp_chaos.mcp.message import JSON
from mcp_chaos.mcp.websocket import SUBPROTOCOL

_MESSAGE = Head(200, JSON, None, keep_alive=True)
_LAST_MESSAGE = _MESSAGE._replace(keep_alive=False)


class RefusedError(LostError):
    """The server answered, and not with an upgrade."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(Reason.HTTP_ERROR)


class WebSocketConnection(asyncio.Protocol):
    """A connection whose text messages are handed on as responses.

    Args:
        listener: told what arrives once the connection is open.
        url: ``ws://host:port/path`` as the server is called.
        headers: that the request for the upgrade carries besides, such as credentials.
    """

    def __init__(self, listener: Listener, url: str, headers: Headers) -> None:
        self._listener: Listener | None = listener
        self._headers = headers
        self._protocol = ClientProtocol(
            parse_uri(url), subprotocols=[Subprotocol(SUBPROTOCOL)], max_size=MAX_ANSWER_BYTES
        )
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection stands; ask for the upgrade."""
        self._transport = cast(asyncio.Transport, transport)
        request = self._protocol.connect()
        for name, value in self._headers:
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    @property
    def is_open(self) -> bool:
        """Whether a message can be sent."""
        return self._protocol.state is State.OPEN and self._transport is not None

    def send(self, data: bytes) -> None:
        """Send a text message."""
        if self.is_open:
            self._protocol.send_text(data)
            self._flush()

    def abandon(self) -> None:
        """Close at once and say nothing more to the listener."""
        self._listener = None
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived, cut anywhere."""
        self._protocol.receive_data(data)
        self._take_events()
        if self._is_nonsense():
            self._lost(LostError(Reason.WRONG_ANSWER))
        if self._protocol.close_expected() and self._transport is not None:
            self._transport.abort()  # a load has no time for the closing handshake

    def eof_received(self) -> None:
        """asyncio: no more will come; a refusal whose body lasts until the end of the connection is whole now."""
        self._protocol.receive_eof()
        self._take_events()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is gone."""
        self._transport = None
        self._lost(LostError(Reason.RESET if isinstance(error, ConnectionError) else Reason.CLOSED))

    def _lost(self, error: LostError) -> None:
        if not self.opened.done():
            self.opened.set_exception(error)
            self.opened.exception()  # whoever waited may have gone, and asyncio would call that an error of ours
        listener = self._listener
        self.abandon()
        if listener is not None:
            listener.got_lost(self, error.reason)

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._take_response(event)
            elif isinstance(event, Frame):
                self._take_frame(event)
        self._flush()

    def _is_nonsense(self) -> bool:
        """Whether what arrived is not the protocol, or beyond all measure."""
        error = self._protocol.parser_exc or self._protocol.handshake_exc
        return error is not None and not isinstance(error.__cause__ or error, EOFError)

    def _take_response(self, response: Response) -> None:
        if self._protocol.handshake_exc is not None:
            self._lost(RefusedError(response.status_code))
        elif not self.opened.done():
            self.opened.set_result(None)

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return  # pings are answered and closes are taken by the protocol
        self._pieces.append(bytes(frame.data))
        if frame.fin and self._listener is not None:
            message = b"".join(self._pieces)
            self._pieces.clear()
            self._listener.got_response(self, _MESSAGE if self.is_open else _LAST_MESSAGE, message, len(message))

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and self._transport is not None:
                self._transport.write(data)

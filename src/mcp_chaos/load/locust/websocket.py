"""A WebSocket for Locust's greenlets, on the sans-I/O protocol of ``websockets``."""

from collections import deque
from urllib.parse import urlsplit

from gevent import socket
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from mcp_chaos.config.tls import client_context
from mcp_chaos.mcp.dialect import Headers
from mcp_chaos.mcp.websocket import SUBPROTOCOL


class ClosedError(Exception):
    """The server ended the connection, or did not open it."""


class LocustWebSocket:
    """An open connection.

    Args:
        origin: ``http://host:port`` to connect to.
        path: where WebSockets are opened.
        host_header: what the server is called, when ``origin`` is a proxy.
        headers: that the request for the upgrade carries besides, such as credentials.

    Raises:
        OSError: nobody is there.
        ClosedError: it is not a WebSocket.
    """

    def __init__(self, origin: str, path: str, host_header: str | None, headers: Headers) -> None:
        where = urlsplit(origin)
        secure = where.scheme == "https"
        self._socket = socket.create_connection((where.hostname, where.port or (443 if secure else 80)))
        if secure:
            self._socket = client_context().wrap_socket(self._socket, server_hostname=where.hostname)
        uri = parse_uri(f"{'wss' if secure else 'ws'}://{host_header or where.netloc}{path}")
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol(SUBPROTOCOL)])
        self._messages: deque[bytes] = deque()
        self._pieces: list[bytes] = []
        request = self._protocol.connect()
        for name, value in headers:
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()
        while self._protocol.state is State.CONNECTING:
            self._read()
        if self._protocol.state is not State.OPEN:
            raise ClosedError(str(self._protocol.handshake_exc or "it was closed"))

    def send(self, message: bytes) -> None:
        """Send a text message."""
        if self._protocol.state is not State.OPEN:
            raise ClosedError("it was closed")
        self._protocol.send_text(message)
        self._flush()

    def receive(self) -> bytes:
        """The next message."""
        while not self._messages:
            self._read()
        return self._messages.popleft()

    def close(self) -> None:
        """Close at once. May be repeated."""
        self._socket.close()

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise ClosedError("the server ended it")
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._pieces.append(bytes(event.data))
                if event.fin:
                    self._messages.append(b"".join(self._pieces))
                    self._pieces.clear()
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)

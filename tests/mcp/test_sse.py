"""Where a server of the first version may have messages sent: to its own origin."""

import pytest

from mcp_chaos.mcp import DialectError
from mcp_chaos.mcp.sse import endpoint_path

HOST = "server.example:8000"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"/messages?session=1", "/messages?session=1"),
        (b"messages", "/a/messages"),
        (b"http://server.example:8000/m", "/m"),
        (b"//SERVER.example:8000/m", "/m"),
        (b"?session=2", "/a/sse?session=2"),
    ],
)
def test_an_address_of_the_server_itself_is_its_path(data: bytes, path: str) -> None:
    assert endpoint_path(data, "/a/sse", HOST, tls=False) == path


@pytest.mark.parametrize(
    "data",
    [
        b"////other.example:8000/m",
        b"http://server.example:8000//other.example/m",
        b"/a/..//other.example/m",
        b"//other.example/m",
        b"http://other.example:8000/m",
        b"http://server.example:8001/m",
        b"https://server.example:8000/m",
        b"http://user@server.example:8000/m",
        b"http://server.example:8000@other.example/m",
        b"http://server.example:99999/m",
        b"ftp://server.example:8000/m",
        b"http:////other.example/m",
        b"\\\\other.example/m",
        b"http://[/m",
        b"\xff",
    ],
)
def test_no_address_leads_to_another_origin(data: bytes) -> None:
    try:
        path = endpoint_path(data, "/a/sse", HOST, tls=False)
    except DialectError:
        return
    assert path.startswith("/")
    assert not path.startswith("//")
    assert path == "/a/\\\\other.example/m"


def test_a_port_that_goes_without_saying_is_the_same() -> None:
    assert endpoint_path(b"https://server.example:443/m", "/sse", "server.example", tls=True) == "/m"
    with pytest.raises(DialectError, match="another server"):
        endpoint_path(b"http://server.example/m", "/sse", "server.example", tls=True)

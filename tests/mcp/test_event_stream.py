"""Event streams, cut anywhere, with every kind of line end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_chaos.mcp.event_stream import EventStream
from tests.mcp.recordings import FILES, exchanges

STREAM = b": ping\r\n\r\nid: 1\r\ndata:\r\n\r\nevent: message\r\ndata: one\r\n\r\nretry: 5\ndata: two\ndata:three\n\n"


@pytest.mark.parametrize("end", [b"\r\n", b"\n", b"\r"])
def test_messages_come_out_whatever_ends_a_line(end: bytes) -> None:
    stream = STREAM.replace(b"\r\n", b"\n").replace(b"\n", end)
    assert EventStream().feed(stream) == [b"one", b"two\nthree"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_messages_come_out_wherever_the_bytes_are_cut(cuts: list[int]) -> None:
    stream, edges = EventStream(), [0, *sorted(cuts), len(STREAM)]
    found = [data for a, b in pairwise(edges) for data in stream.feed(STREAM[a:b])]
    assert found == [b"one", b"two\nthree"]


@pytest.mark.parametrize("name", [name for name in FILES if "sse" in name])
def test_recorded_streams_byte_by_byte(name: str) -> None:
    for exchange in exchanges(name).values():
        if exchange.headers.get("content-type", "").startswith("text/event-stream") and exchange.body.endswith(b"\n"):
            stream = EventStream()
            found = [data for i in range(len(exchange.body)) for data in stream.feed(exchange.body[i : i + 1])]
            assert found == EventStream().feed(exchange.body)
            assert found


def test_a_byte_order_mark_is_not_data() -> None:
    assert EventStream().feed(b"\xef\xbb\xbfdata: x\n\n") == [b"x"]


def test_a_long_line_in_small_chunks_costs_no_more_than_its_length() -> None:
    stream = EventStream()
    stream.feed(b"data: ")
    # Scanning the whole line again at each chunk would take minutes here.
    for _ in range(200_000):
        stream.feed(b"x" * 10)
    assert [len(data) for data in stream.feed(b"\n\n")] == [2_000_000]


def test_an_event_without_its_end_is_not_a_message() -> None:
    assert EventStream().feed(b"data: half") == []
    assert EventStream().feed(b"data\ndata: x\n\n") == [b"\nx"]

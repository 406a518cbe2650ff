"""Blocks of whole events, wherever the body is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codec.sse import BOM, EventTooLarge
from hoosh.codec.sse_blocks import SseBlocks, events_in, fields_of

PIECES = st.lists(st.sampled_from([b"data: a", b"event: b", b": c", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n"]))
WIRES = [
    b"data: a\n\nevent: b\ndata: c\n\n",
    b"data: a\r\n\r\ndata: b\r\n\r\n",
    b"data: a\r\rdata: b\r\r\n",
    b"data: a\n\r\ndata: b\r\n\ndata: c",
    b"\n\n\ndata: a\n\n\n",
]


def blocks_of(pieces: list[bytes]) -> tuple[bytes, bytes]:
    """All that came out, and the rest."""
    blocks = SseBlocks()
    return b"".join([blocks.feed(piece) for piece in pieces]), blocks.close()


def events_of(pieces: list[bytes]) -> list[tuple[bytes, bytes]]:
    blocks = SseBlocks()
    events = [event for piece in pieces for event in events_in(blocks.feed(piece))]
    return [fields for event in (*events, blocks.close()) if any(fields := fields_of(event))]


@pytest.mark.parametrize("wire", WIRES)
def test_events_cut_at_any_byte_are_the_same(wire: bytes):
    whole = events_of([wire])
    for cut in range(len(wire) + 1):
        assert events_of([wire[:cut], wire[cut:]]) == whole
    assert events_of([bytes([byte]) for byte in wire]) == whole


@given(PIECES, st.lists(st.integers(0, 60)))
def test_nothing_is_lost_and_no_block_ends_within_an_event(parts: list[bytes], cuts: list[int]):
    wire = b"".join(parts)
    places = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    pieces = [wire[start:end] for start, end in pairwise(places)]
    said, rest = blocks_of(pieces)
    assert said + rest == wire
    assert b"".join(events_in(said)) == said
    assert events_of(pieces) == events_of([wire])


def test_a_byte_order_mark_is_dropped_at_the_start_and_nowhere_else():
    wire = BOM + b"data: a\n\n" + BOM + b"data: b\n\n"
    for cut in range(len(wire) + 1):
        assert blocks_of([wire[:cut], wire[cut:]]) == (wire[len(BOM) :], b"")
    assert blocks_of([BOM + b"data: a"]) == (b"", b"data: a")


def test_an_unfinished_event_over_the_limit_is_refused():
    blocks = SseBlocks(10)
    assert blocks.feed(b"data: 3456") == b""
    with pytest.raises(EventTooLarge):
        blocks.feed(b"7")

"""Lines of an NDJSON body, wherever it is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codec.ndjson import NdjsonBlocks, is_regular, split_lines
from hoosh.codec.sse import EventTooLarge

WIRE = '{"a":"é"}\n\n{"b":2}\r\n  {"c":"\\n"}\n{"d":4}'.encode()


def lines_of(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    blocks = NdjsonBlocks()
    lines = [line for piece in pieces for line in split_lines(blocks.feed(piece))]
    return lines, blocks.close()


def test_lines_cut_at_any_byte_are_the_same():
    whole = lines_of([WIRE])
    assert whole == (['{"a":"é"}'.encode(), b'{"b":2}', b'{"c":"\\n"}'], b'{"d":4}')
    for cut in range(len(WIRE) + 1):
        assert lines_of([WIRE[:cut], WIRE[cut:]]) == whole
    assert lines_of([bytes([byte]) for byte in WIRE]) == whole


@given(st.binary(), st.lists(st.integers(0, 100)))
def test_nothing_is_lost(body: bytes, cuts: list[int]):
    blocks, out, start = NdjsonBlocks(), [], 0
    for cut in sorted(cuts):
        out.append(blocks.feed(body[start:cut]))
        start = max(start, cut)
    out.append(blocks.feed(body[start:]))
    assert all(not block or block.endswith(b"\n") for block in out)
    assert b"".join(out) + blocks.close() == body


@pytest.mark.parametrize(
    "pieces", [[b"x" * 11], [b"x" * 6, b"x" * 5], [b"a\n" + b"x" * 11 + b"\n"], [b"ab" * 5 + b"x\n"]]
)
def test_a_line_over_the_limit_is_refused_finished_or_not(pieces: list[bytes]):
    blocks = NdjsonBlocks(max_line_bytes=10)
    with pytest.raises(EventTooLarge):
        [blocks.feed(piece) for piece in pieces]


def test_a_line_at_the_limit_is_not_refused():
    blocks = NdjsonBlocks(max_line_bytes=10)
    assert blocks.feed(b"x" * 10) + blocks.feed(b"\n" + b"y" * 10 + b"\n") == b"x" * 10 + b"\n" + b"y" * 10 + b"\n"


@pytest.mark.parametrize(
    ("block", "count"),
    [
        (b'{"a":1}\n', 1),
        (b'{"a":1}\n{"b":2}\n', 2),
        (b'{"a":1}\r\n{"b":2}\r\n', 2),
        (b'{"a":1}\n\n{"b":2}\n', 0),
        (b'{"a":\n1}{"b":2}\n', 0),
        (b"[1]\n", 0),
        (b"\n", 0),
    ],
)
def test_a_block_is_regular_when_every_line_end_lies_between_objects(block: bytes, count: int):
    assert is_regular(block) == count
    assert not count or [json.loads(line) for line in split_lines(block)]

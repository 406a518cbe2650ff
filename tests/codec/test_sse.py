from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.codec.sse import EventTooLarge, ServerSentEvent, SseDecoder, encode_comment, encode_event

Event = ServerSentEvent

WIRE = (
    "\ufeff: hello\n\ndata: eins\r\ndata: zwei\r\n\r\nevent: ping\rdata:{}\r\rid: 7\ndata:  drei – 你好 🙂\n\n"
    "retry: 1500\n\nid\ndata\n\nevent: lost\n\nunknown: x\ndata: last"
).encode()


def decode(pieces: list[bytes]) -> list[Event]:
    decoder = SseDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events + decoder.close()


def oracle(wire: bytes) -> list[Event]:
    """Section 9.2.6 as one slow pass over the whole text."""
    lines = re.split("\r\n|\r|\n", wire.decode("utf-8", "replace").removeprefix("\ufeff"))
    events, data, name, last_id = [], "", "", ""
    for line in [*lines, ""]:
        if line == "":
            if data:
                events.append(Event(data[:-1], name, last_id))
            data, name = "", ""
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if field == "data":
            data += value + "\n"
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            last_id = value
    return events


def test_each_kind_of_field_and_line_end_is_understood():
    assert decode([WIRE]) == [
        Event("eins\nzwei"),
        Event("{}", "ping"),
        Event(" drei – 你好 🙂", "", "7"),
        Event(""),
        Event("last"),
    ]


def test_an_event_cut_at_any_byte_decodes_the_same():
    whole = decode([WIRE])
    for cut in range(len(WIRE) + 1):
        assert decode([WIRE[:cut], WIRE[cut:]]) == whole
    assert decode([bytes([byte]) for byte in WIRE]) == whole


@given(
    st.lists(
        st.sampled_from([b"data", b"event", b"id", b":", b" ", b"\n", b"\r", b"\xef\xbb\xbf", b"\xe2", b"\0", b"x"])
    )
)
def test_the_decoder_agrees_with_the_standard_read_slowly(pieces: list[bytes]):
    wire = b"".join(pieces)
    assert decode(pieces) == decode([wire]) == oracle(wire)


def test_the_time_to_reconnect_is_kept_and_nonsense_is_not():
    decoder = SseDecoder()
    decoder.feed(b"retry: 250\n\nretry: soon\n\nretry: 99999999999999999999\n\n")
    assert decoder.retry_ms == 250


def test_an_event_over_the_limit_is_refused_however_slowly_it_comes():
    decoder = SseDecoder(max_event_bytes=100)
    assert decoder.feed(b"data: " + b"x" * 90 + b"\n\n") == [Event("x" * 90)]
    for _ in range(16):
        decoder.feed(b"data:\n")
    with pytest.raises(EventTooLarge):
        decoder.feed(b"data:\n")


def test_a_line_without_end_is_refused_at_the_limit():
    decoder = SseDecoder(max_event_bytes=100)
    for _ in range(10):
        decoder.feed(b"x" * 10)
    with pytest.raises(EventTooLarge):
        decoder.feed(b"x")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")), st.sampled_from(["", "delta"]))
def test_what_is_encoded_decodes_to_the_same(data: str, name: str):
    assert decode([encode_event(data, event=name)]) == [Event(data, name)]
    assert decode([encode_comment(data)]) == []


def test_a_name_cannot_break_out_of_its_line():
    with pytest.raises(ValueError, match="line end"):
        encode_event("x", event="a\ndata: b")

"""What HTTP/2 needs beside h2, without any socket: floods, request heads, header encoding, and our own protocol."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.errors
import h2.events
import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import OPENING, Codes, frame

from hoosh.http.h2 import PREFACE, FloodGuard, MalformedHead, ServerProtocol, read_head
from hoosh.http.hpack import HeaderDecoder, encode_fields
from hoosh.http.message import Limits

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, END_HEADERS = 1, 4


def fed(*frames: bytes, budget: int = 10, at: float = 0.0) -> FloodGuard:
    guard = FloodGuard(budget, now=0.0)
    guard.feed(b"".join(frames), now=at)
    return guard


IDLE = {
    "PING": frame(PING, 0, 0, bytes(8)),
    "SETTINGS": frame(SETTINGS, 0, 0),
    "WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "PRIORITY": frame(PRIORITY, 0, 1, bytes(5)),
    "RST_STREAM": frame(RST_STREAM, 0, 1, bytes(4)),
    "empty DATA": frame(DATA, 0, 1),
    "an unknown type": frame(0x42, 0, 0, b"x"),
}


@pytest.mark.parametrize("name", IDLE)
def test_idle_frames_spend_the_budget(name: str) -> None:
    assert fed(IDLE[name] * 10).verdict() is None
    assert fed(IDLE[name] * 11).verdict() == Codes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("name", IDLE)
def test_time_gives_the_budget_back(name: str) -> None:
    guard = fed(IDLE[name] * 10)
    guard.feed(IDLE[name] * 10, now=1.0)
    assert guard.verdict() is None


def test_the_budget_is_never_more_than_it_was() -> None:
    assert fed(IDLE["PING"] * 11, at=1000.0).verdict() == Codes.ENHANCE_YOUR_CALM


def test_continuations_cost_more() -> None:
    assert fed(frame(CONTINUATION, 0, 1)).verdict() is None
    assert fed(frame(CONTINUATION, 0, 1) * 2).verdict() == Codes.ENHANCE_YOUR_CALM


def test_bodies_and_requests_cost_nothing() -> None:
    assert fed(frame(DATA, 0, 1, b"x") * 1000, frame(DATA, END_STREAM, 1) * 1000).verdict() is None
    assert fed(frame(HEADERS, END_HEADERS, 1, b"x") * 1000).verdict() is None


def test_sending_pays_for_the_windows_it_needs_and_dribbling_does_not() -> None:
    guard = FloodGuard(10, now=0.0)
    for _ in range(100):
        guard.feed(IDLE["WINDOW_UPDATE"] * 2, now=0.0)
        guard.sent_data(1000, cut_by_window=True)
    assert guard.verdict() is None
    for _ in range(10):
        guard.feed(IDLE["WINDOW_UPDATE"], now=0.0)
        guard.sent_data(1, cut_by_window=True)
    assert guard.verdict() == Codes.ENHANCE_YOUR_CALM


def test_a_frame_too_large_is_seen_in_its_header() -> None:
    assert fed((16384).to_bytes(3, "big") + bytes(6)).verdict() is None
    assert fed((16385).to_bytes(3, "big") + bytes(6)).verdict() == Codes.FRAME_SIZE_ERROR


@given(
    st.lists(st.sampled_from([*IDLE.values(), frame(HEADERS, 0, 1, b"abc"), frame(DATA, 0, 1, b"x" * 30)])), st.data()
)
def test_frames_weigh_the_same_wherever_they_are_cut(frames: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(frames)
    whole = fed(wire, budget=1000)
    guard = FloodGuard(1000, now=0.0)
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        guard.feed(wire[:size], now=0.0)
        wire = wire[size:]
    assert guard._left == whole._left
    assert guard.head_open == whole.head_open


def test_a_head_is_open_until_the_last_byte_of_its_last_frame() -> None:
    guard = FloodGuard(100, now=0.0)
    wire = frame(HEADERS, 0, 1, b"abc") + frame(CONTINUATION, END_HEADERS, 1, b"def")
    assert not guard.head_open
    for byte in wire[:-1]:
        guard.feed(bytes((byte,)), now=0.0)
        assert guard.head_open
    guard.feed(wire[-1:], now=0.0)
    assert not guard.head_open


# -- request heads ----------------------------------------------------------------------------------------------

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/a?b"), (b":authority", b"here")]


def test_a_head_is_sorted_and_authority_becomes_host() -> None:
    head = read_head([*GET, (b"x", b"1"), (b"cookie", b"a=1"), (b"y", b""), (b"cookie", b"b=2"), (b"host", b"here")])
    assert (head.method, head.path) == (b"GET", b"/a?b")
    assert head.fields == [(b"x", b"1"), (b"y", b""), (b"host", b"here"), (b"cookie", b"a=1; b=2")]


def test_host_will_do_without_authority() -> None:
    assert read_head([*GET[:3], (b"host", b"there")]).fields == [(b"host", b"there")]


MALFORMED_HEADS: dict[str, list[tuple[bytes, bytes]]] = {
    "no method": GET[1:],
    "an empty method": [(b":method", b""), *GET[1:]],
    "no scheme": [GET[0], *GET[2:]],
    "no path": [*GET[:2], GET[3]],
    "an empty path": [*GET[:2], (b":path", b""), GET[3]],
    "no host": GET[:3],
    "two methods": [GET[0], *GET],
    "a pseudo-header after a header": [*GET[:3], (b"x", b"y"), GET[3]],
    "an unknown pseudo-header": [*GET, (b":magic", b"1")],
    "a response's pseudo-header": [*GET, (b":status", b"200")],
    "two hosts": [*GET[:3], (b"host", b"a"), (b"host", b"b")],
    "a host that is not the authority": [*GET, (b"host", b"there")],
    "a capital letter": [*GET, (b"X", b"y")],
    "an empty name": [*GET, (b"", b"y")],
    "a space in a name": [*GET, (b"a b", b"y")],
    "a colon in a name": [*GET, (b"a:b", b"y")],
    "a line end in a name": [*GET, (b"a\r\n", b"y")],
    "a line feed at the end of a name": [*GET, (b"a\n", b"y")],
    "CR in a value": [*GET, (b"x", b"a\rb")],
    "LF in a value": [*GET, (b"x", b"a\nb")],
    "LF at the end of a value": [*GET, (b"x", b"a\n")],
    "NUL in a value": [*GET, (b"x", b"a\0b")],
    "NUL in the path": [*GET[:2], (b":path", b"/\0"), GET[3]],
    "a space before a value": [*GET, (b"x", b" a")],
    "a tab after a value": [*GET, (b"x", b"a\t")],
    "connection": [*GET, (b"connection", b"close")],
    "transfer-encoding": [*GET, (b"transfer-encoding", b"chunked")],
    "upgrade": [*GET, (b"upgrade", b"h2c")],
    "keep-alive": [*GET, (b"keep-alive", b"1")],
    "te other than trailers": [*GET, (b"te", b"gzip")],
}


@pytest.mark.parametrize("name", MALFORMED_HEADS)
def test_a_head_that_breaks_the_rules_is_refused(name: str) -> None:
    with pytest.raises(MalformedHead):
        read_head(MALFORMED_HEADS[name])


names = st.sampled_from(
    [b"x", b"te", b"host", b":path", b":method", b"cookie", b"X", b"upgrade", b"a b", b":authority"]
)
some_values = st.sampled_from([b"", b"here", b"/", b"trailers", b" x", b"x\t", b"a\0b", b"a b", b"GET"])


@given(st.lists(st.tuples(names, some_values), max_size=3), st.booleans())
def test_what_h2_refuses_in_a_head_is_refused_here(extra: list[tuple[bytes, bytes]], first: bool) -> None:
    head = [*extra, *GET] if first else [*GET, *extra]
    protocol = ServerProtocol(Limits())
    checking = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
    for connection in (protocol, checking):
        connection.receive_data(OPENING)
    block = frame(HEADERS, END_HEADERS | END_STREAM, 1, hpack.Encoder().encode(head))
    try:
        (event,) = (e for e in checking.receive_data(block) if isinstance(e, h2.events.RequestReceived))
    except h2.exceptions.ProtocolError:
        if sum(name == b"cookie" for name, _ in extra) > 1:
            return  # h2 looks at what it has made of them
        with pytest.raises(MalformedHead):
            read_head(head)
    else:
        # h2 looks at the order, and at the ends of values, only after it has joined the cookies and put them last.
        is_odd = any(name == b"cookie" and value.strip(b" \t") != value for name, value in extra)
        if head[0][0] != b"cookie" and not is_odd:
            assert dict(read_head(head).fields).get(b"cookie") == dict(event.headers).get(b"cookie")


# -- response heads ---------------------------------------------------------------------------------------------

texts = st.binary(max_size=300)


@given(st.lists(st.tuples(texts, texts), max_size=5), st.sampled_from([b"200", b"204", b"431", b"599"]))
def test_any_hpack_decoder_reads_the_heads_we_write(fields: list[tuple[bytes, bytes]], status: bytes) -> None:
    head = [(b":status", status), *fields, (b"content-type", b"text/plain")]
    decoder = hpack.Decoder()
    assert [tuple(field) for field in decoder.decode(encode_fields(head), raw=True)] == head
    assert not decoder.header_table.dynamic_entries


def test_a_decoder_whose_table_was_shut_is_told_that_we_use_none() -> None:
    protocol = opened()
    client = hpack.Decoder()
    client.max_allowed_table_size = 0  # smaller than the 4096 it began with: it expects to hear of it
    protocol.send_head(1, [(b":status", b"200")], end=True)
    block = protocol.data_to_send()[9:]
    assert client.decode(block, raw=True) == [(b":status", b"200")]


literals = st.tuples(st.sampled_from([b"x", b"content-length", b"authorization", b"x-long" * 20]), texts)
fields = st.one_of(st.sampled_from([*GET, (b"accept", b"*/*"), (b":path", b"/v1/x")]), literals)


@given(st.lists(st.lists(fields, max_size=6), max_size=5), st.lists(st.sampled_from([0, 100, 4096])), st.booleans())
def test_heads_are_read_as_hpack_reads_them(
    heads: list[list[tuple[bytes, bytes]]], sizes: list[int], huffman: bool
) -> None:
    """Over a connection's life: the table fills, is used, is resized."""
    encoder, ours, theirs = hpack.Encoder(), HeaderDecoder(), hpack.Decoder()
    for head in heads:
        if sizes:
            encoder.header_table_size = sizes.pop()
        block = encoder.encode(head, huffman=huffman)
        assert ours.decode(block, raw=True) == [tuple(field) for field in theirs.decode(block, raw=True)] == head
        assert list(ours.header_table.dynamic_entries) == list(theirs.header_table.dynamic_entries)


@given(st.lists(st.binary(max_size=40), max_size=4))
def test_noise_is_read_or_refused_as_hpack_does(blocks: list[bytes]) -> None:
    ours, theirs = HeaderDecoder(), hpack.Decoder()
    for block in blocks:
        try:
            expected = [tuple(field) for field in theirs.decode(block, raw=True)]
        except hpack.HPACKError:
            with pytest.raises(hpack.HPACKError):
                ours.decode(block, raw=True)
            return
        assert ours.decode(block, raw=True) == expected


def test_a_head_that_blows_up_in_reading_is_refused() -> None:
    bomb = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 100
    with pytest.raises(hpack.OversizedHeaderListError):
        HeaderDecoder().decode(bomb, raw=True)


# -- the protocol's own changes ---------------------------------------------------------------------------------


def opened(*, extra: bytes = b"", flags: int = END_HEADERS | END_STREAM) -> ServerProtocol:
    """A protocol with stream 1 open."""
    protocol = ServerProtocol(Limits())
    head = hpack.Encoder().encode([*GET, (b"content-length", b"3")] if not flags & END_STREAM else GET)
    protocol.receive_data(OPENING + frame(HEADERS, flags, 1, head) + extra)
    protocol.data_to_send()
    return protocol


def test_a_head_larger_than_a_frame_is_continued() -> None:
    protocol = opened()
    head = [(b":status", b"200"), (b"x", b"y" * 40_000)]
    protocol.send_head(1, head, end=True)
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    client.initiate_connection()
    client.send_headers(1, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "here")])
    events = client.receive_data(frame(SETTINGS, 0, 0) + protocol.data_to_send())
    (response,) = (event for event in events if isinstance(event, h2.events.ResponseReceived))
    assert response.headers == head
    assert any(isinstance(event, h2.events.StreamEnded) for event in events)


def test_goaway_leaves_what_is_queued_and_what_comes_behind_it() -> None:
    protocol = opened()
    protocol.send_head(1, [(b":status", b"200")], end=False)
    queued = protocol.queued_bytes
    goaway = frame(7, 0, 0, bytes(8))
    events = protocol.receive_data(goaway + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
    assert [type(event) for event in events] == [h2.events.ConnectionTerminated, h2.events.WindowUpdated]
    assert protocol.queued_bytes == queued
    protocol.send_body(1, b"more", end=True)


@pytest.mark.parametrize("body", [frame(DATA, 0, 1, b"abcd"), frame(DATA, END_STREAM, 1, b"ab")])
def test_a_body_that_is_not_as_long_as_promised_resets_its_stream_only(body: bytes) -> None:
    protocol = opened(flags=END_HEADERS)
    before = protocol.inbound_flow_control_window
    (event,) = protocol.receive_data(body)
    assert isinstance(event, h2.events.StreamReset)
    assert (event.error_code, event.remote_reset) == (Codes.PROTOCOL_ERROR, False)
    manager = protocol._inbound_flow_control_window_manager
    assert manager.current_window_size + manager._bytes_processed == before
    assert protocol.receive_data(frame(PING, 0, 0, bytes(8)))


def test_priorities_are_ignored_also_those_h2_would_end_a_connection_for() -> None:
    depends_on_itself = frame(PRIORITY, 0, 3, b"\0\0\0\3\0")
    assert opened().receive_data(depends_on_itself * 2000) == []


def test_a_long_connection_forgets_its_streams() -> None:
    protocol = ServerProtocol(Limits())
    protocol.receive_data(OPENING)
    block = hpack.Encoder().encode(GET)
    for stream_id in range(1, 6001, 2):
        protocol.receive_data(frame(HEADERS, END_HEADERS | END_STREAM, stream_id, block))
        protocol.abandon(stream_id, Codes.CANCEL)
        protocol.forget(stream_id)
    assert not protocol.streams
    assert len(protocol._closed_streams) == ServerProtocol.MAX_CLOSED_STREAMS


def test_frames_that_were_on_their_way_to_a_reset_stream_are_no_error() -> None:
    protocol = opened(flags=END_HEADERS)
    protocol.abandon(1, Codes.CANCEL)
    protocol.forget(1)
    assert protocol.receive_data(frame(DATA, END_STREAM, 1, b"abc") + frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1")) == []
    assert protocol.receive_data(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82")) == []


def test_more_of_a_request_that_has_ended_resets_it() -> None:
    protocol = opened()
    (event,) = protocol.receive_data(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82"))
    assert isinstance(event, h2.events.StreamReset)
    assert frame(RST_STREAM, 0, 1, Codes.STREAM_CLOSED.to_bytes(4, "big")) in protocol.data_to_send()


def test_the_preface_is_what_the_protocol_says() -> None:
    assert bytes.fromhex("505249202a20485454502f322e300d0a0d0a534d0d0a0d0a") == PREFACE

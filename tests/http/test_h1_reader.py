"""HTTP/1.1 requests out of bytes: what is read, what is refused, and that the cut does not matter."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hoosh.http.h1 import IncomingRequest, RequestReader
from hoosh.http.message import Limits
from hoosh.http.wire import RECEIVE_BYTES

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"

MALFORMED: dict[str, tuple[int, bytes]] = {
    "length and chunked": (400, HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked and length": (400, HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
    "two different lengths": (400, HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    "the same length twice": (400, HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    "a list of lengths": (400, HEAD + b"Content-Length: 3, 3\r\n\r\nabc"),
    "a negative length": (400, HEAD + b"Content-Length: -3\r\n\r\nabc"),
    "a signed length": (400, HEAD + b"Content-Length: +3\r\n\r\nabc"),
    "a hexadecimal length": (400, HEAD + b"Content-Length: 0x3\r\n\r\nabc"),
    "an empty length": (400, HEAD + b"Content-Length:\r\n\r\n"),
    "a length past 64 bits": (400, HEAD + b"Content-Length: 99999999999999999999999999\r\n\r\n"),
    "a folded header": (400, HEAD + b"X: a\r\n b\r\n\r\n"),
    "a space before the first header": (400, b"GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n"),
    "a space before the colon": (400, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    "a header without a name": (400, HEAD + b": b\r\n\r\n"),
    "a header without a colon": (400, HEAD + b"nonsense\r\n\r\n"),
    "a space in a header name": (400, HEAD + b"X Y: b\r\n\r\n"),
    "a bare CR in a value": (400, HEAD + b"X: a\rY: b\r\n\r\n"),
    "a bare CR as a line end": (400, b"GET / HTTP/1.1\rHost: a\r\r"),
    "a bare LF as a line end": (400, b"GET / HTTP/1.1\nHost: a\n\n"),
    "NUL in a value": (400, HEAD + b"X: a\x00b\r\n\r\n"),
    "NUL in a name": (400, HEAD + b"X\x00: ab\r\n\r\n"),
    "a control character in a value": (400, HEAD + b"X: a\x01b\r\n\r\n"),
    "a control character in the target": (400, b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a target beyond ASCII": (400, "GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode()),
    "a target that is neither path nor URL": (400, b"GET foo HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no target": (400, b"GET HTTP/1.1\r\nHost: a\r\n\r\n"),
    "text after the version": (400, b"GET / HTTP/1.1 x\r\nHost: a\r\n\r\n"),
    "an unknown method": (400, b"MAKE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "a method in small letters": (400, b"get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    "no Host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two Hosts": (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    "the same Host twice": (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    "two Hosts on HTTP/1.0": (400, b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"),
    "chunked under another coding": (400, HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "another coding alone": (400, HEAD + b"Transfer-Encoding: gzip\r\n\r\n"),
    "chunked twice": (400, HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "chunked not last": (400, HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    "a coding that only looks like chunked": (400, HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    "chunked on HTTP/1.0": (400, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a chunk size that is no number": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n"),
    "a negative chunk size": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size with a prefix": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk size past 64 bits": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc"),
    "a chunk longer than its size": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n"),
    "a chunk that ends in a bare LF": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n"),
    "a bare CR in a chunk extension": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "a bare LF in a chunk extension": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n"),
    "a bad trailer": (400, HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX : y\r\n\r\n"),
    "HTTP/0.9": (505, b"GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    "HTTP/1.2": (505, b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    "HTTP/2.0": (505, b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    "HTTP/3.0": (505, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"),
    "HTTP/1.10": (400, b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    "CONNECT": (405, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "TLS where none is spoken": (400, bytes.fromhex("16030100a5010000a10303") + b"\x00" * 40),
    "a long request line": (431, b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "many headers": (431, HEAD + b"X: y\r\n" * 101 + b"\r\n"),
    "a long header": (431, HEAD + b"X: " + b"y" * 33_000 + b"\r\n\r\n"),
    "a long header that never ends": (431, HEAD + b"X: " + b"y" * 33_000),
    "a long header name that never ends": (431, HEAD + b"y" * 33_000),
    "a trailer that never ends": (431, HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"y" * 140_000),
    "a chunk extension that never ends": (431, HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;" + b"y" * 140_000),
}


def read(*pieces: bytes, limits: Limits | None = None) -> RequestReader:
    reader = RequestReader(limits or Limits())
    for piece in pieces:
        reader.feed(piece)
    return reader


def in_pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def facts(request: IncomingRequest) -> tuple[object, ...]:
    return (
        request.method,
        request.path,
        request.query,
        request.version,
        list(request.headers),
        bytes(request.body),
        request.complete,
        request.keep_alive,
    )


@pytest.mark.parametrize("name", MALFORMED)
def test_a_message_that_breaks_the_rules_is_refused(name: str) -> None:
    status, data = MALFORMED[name]
    reader = read(*in_pieces(data, RECEIVE_BYTES))
    assert reader.failure is not None, [facts(request) for request in reader.requests]
    assert reader.failure.status == status
    assert not any(request.complete for request in reader.requests)


@pytest.mark.parametrize("name", [name for name in MALFORMED if len(MALFORMED[name][1]) < 500])
def test_it_is_refused_just_the_same_when_it_comes_byte_by_byte(name: str) -> None:
    status, data = MALFORMED[name]
    reader = read(*in_pieces(data, 1))
    assert reader.failure is not None
    assert reader.failure.status == status
    assert not any(request.complete for request in reader.requests)


@pytest.mark.parametrize("name", [name for name in MALFORMED if len(MALFORMED[name][1]) > 500])
def test_no_more_is_kept_of_an_endless_head_than_the_limit_and_one_receive(name: str) -> None:
    status, data = MALFORMED[name]
    reader = RequestReader(Limits())
    for piece in in_pieces(data, 4096):
        if reader.failure is not None:
            break
        reader.feed(piece)
        assert reader._overhead_bytes <= Limits().head_bytes + 4096
    assert reader.failure is not None
    assert reader.failure.status == status


def test_nothing_is_read_after_a_failure() -> None:
    reader = read(b"GET / HTTP/1.2\r\n\r\n")
    reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert not reader.requests


def test_requests_before_a_malformed_one_are_kept() -> None:
    reader = read(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.2\r\n\r\n")
    assert [request.path for request in reader.requests] == ["/1"]
    assert reader.failure is not None


def test_pipelined_requests_are_told_apart() -> None:
    reader = read(HEAD + b"Content-Length: 3\r\n\r\nabc" + b"GET /2?x=1 HTTP/1.1\r\nHost: b\r\n\r\n")
    first, second = reader.requests
    assert (first.path, bytes(first.body), first.complete) == ("/", b"abc", True)
    assert (second.path, second.query, second.headers.raw) == ("/2", "x=1", [(b"host", b"b")])


def test_trailers_are_ignored_and_do_not_become_headers_of_the_next_request() -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
    reader = read(chunked + b"GET /2 HTTP/1.1\r\nHost: b\r\n\r\n")
    first, second = reader.requests
    assert [name for name, _ in first.headers] == [b"host", b"transfer-encoding"]
    assert second.headers.raw == [(b"host", b"b")]


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_an_upgrade_is_declined_and_its_body_is_a_body(size: int) -> None:
    """llhttp takes what follows such a head for another protocol: the body must not pass for a request."""
    inner = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    upgrade = HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    data = upgrade + b"Content-Length: %d\r\n\r\n" % len(inner) + inner
    data += upgrade + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner)
    data += upgrade + b"\r\n" + b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n"
    reader = read(*in_pieces(data, size))
    assert reader.failure is None
    assert [(r.path, bytes(r.body), r.complete) for r in reader.requests] == [
        ("/", inner, True),
        ("/", inner, True),
        ("/", b"", True),
        ("/last", b"", True),
    ]


def test_a_thousand_upgrades_in_one_packet_are_read() -> None:
    one = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n"
    reader = read(one * 1100)
    assert reader.failure is None
    assert len(reader.requests) == 1100


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a/b?c=d&e", "/a/b", "c=d&e"),
        ("/a?b?c", "/a", "b?c"),
        ("//a", "//a", ""),
        ("/a%20b", "/a%20b", ""),
        ("/a#b", "/a", ""),
        ("*", "*", ""),
        ("http://here/a?b", "/a", "b"),
        ("http://here", "/", ""),
        ("http://here?b", "/", "b"),
        ("http://here:80/a/http://there/b", "/a/http://there/b", ""),
    ],
)
def test_the_target_may_have_any_form_a_server_is_sent(target: str, path: str, query: str) -> None:
    reader = read(b"OPTIONS %b HTTP/1.1\r\nHost: a\r\n\r\n" % target.encode())
    assert reader.failure is None
    (request,) = reader.requests
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        ("1.1", b"", True),
        ("1.1", b"Connection: close\r\n", False),
        ("1.1", b"Connection: x, Close\r\n", False),
        ("1.0", b"", False),
        ("1.0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_keep_alive_is_read_from_version_and_connection(version: str, connection: bytes, stays: bool) -> None:
    reader = read(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version.encode(), connection))
    (request,) = reader.requests
    assert request.keep_alive is stays


def test_empty_lines_before_a_request_are_skipped_and_are_no_head() -> None:
    reader = read(b"\r\n\r\n")
    assert not reader.in_head
    reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n")
    assert len(reader.requests) == 1
    assert not reader.in_head


def test_half_a_head_behind_a_whole_request_counts_as_a_head() -> None:
    reader = read(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGE")
    assert reader.in_head


def test_white_space_around_a_value_is_not_part_of_it() -> None:
    (request,) = read(HEAD + b"X: \t a b \t \r\nContent-Length: 0 \r\n\r\n").requests
    assert request.headers.get(b"x") == b"a b"
    assert request.content_length == 0


def test_tiny_chunks_cost_what_they_weigh() -> None:
    reader = read(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nab\r\n" * 5000)
    (request,) = reader.requests
    assert len(request.body) == 10_000
    assert isinstance(request.body, bytearray)  # one buffer, not 5000 objects


def test_expectations_of_http_1_0_clients_are_ignored() -> None:
    (request,) = read(b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n").requests
    assert not request.expects_continue


# -- the cut does not matter, and h11 agrees ------------------------------------------------------------------------

tokens = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=12).map(lambda t: "x-" + t)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)
bodies = st.binary(max_size=60)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """One valid request, framed one of three ways."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH"]))
    path = draw(st.text("abc/?=&%20-._~", max_size=15))
    lines = [f"{method} /{path} HTTP/1.1", f"Host: {draw(tokens)}"]
    lines += [f"{name}: {value}" for name, value in draw(st.lists(st.tuples(tokens, values), max_size=4))]
    body = draw(bodies)
    framing = draw(st.sampled_from(["none", "length", "chunked"]))
    if framing == "none":
        return "\r\n".join([*lines, "", ""]).encode()
    if framing == "length":
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
    size = draw(st.integers(1, 20))
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), draw(extensions), piece) for piece in in_pieces(body, size))
    trailer = draw(st.sampled_from([b"", b"x-trailer: y\r\n"]))
    return "\r\n".join([*lines, "Transfer-Encoding: chunked", "", ""]).encode() + chunks + b"0\r\n" + trailer + b"\r\n"


extensions = st.sampled_from([b"", b";a", b";a=b"])


def as_h11_reads(data: bytes) -> list[tuple[str, str, list[tuple[bytes, bytes]], bytes]]:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    read: list[tuple[str, str, list[tuple[bytes, bytes]], bytes]] = []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            head = event.method.decode(), event.target.decode(), [(bytes(n), bytes(v)) for n, v in event.headers]
            body = b""
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            read.append((*head, body))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
        else:
            return read


@given(st.lists(messages(), min_size=1, max_size=3))
def test_h11_reads_the_same_requests(wire: list[bytes]) -> None:
    data = b"".join(wire)
    reader = read(data)
    assert reader.failure is None
    ours = [
        (r.method, r.path + ("?" if "?" in target else "") + r.query, list(r.headers), bytes(r.body))
        for r, (_, target, _, _) in zip(reader.requests, as_h11_reads(data), strict=True)
    ]
    assert ours == as_h11_reads(data)
    assert all(request.complete for request in reader.requests)


@given(st.lists(messages(), min_size=1, max_size=2))
def test_requests_cut_at_any_byte_are_the_same_requests(wire: list[bytes]) -> None:
    data = b"".join(wire)
    whole = [facts(request) for request in read(data).requests]
    for cut in range(len(data) + 1):
        assert [facts(request) for request in read(data[:cut], data[cut:]).requests] == whole
    assert [facts(request) for request in read(*in_pieces(data, 1)).requests] == whole


@given(st.binary(max_size=200), st.sampled_from([b"", b"GET / HTTP/1.1\r\n", HEAD, HEAD + b"\r\n"]))
def test_no_bytes_make_the_reader_raise(noise: bytes, start: bytes) -> None:
    read(start + noise)

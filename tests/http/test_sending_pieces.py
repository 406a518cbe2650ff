"""A request body that lies in files: sent as if it had been held, with little of it in memory, anew each time."""

from __future__ import annotations

import pytest
import trio
from client_house import ORIGIN, TIMEOUTS, open_house

from hoosh.errors import ConnectionBroke, StorageError
from hoosh.http import client_h2, pieces
from hoosh.http.client import Timeouts
from hoosh.http.message import HttpRequest, RequestHead
from hoosh.http.pieces import READ_BYTES, PieceReader
from hoosh.testing.upstream import Body, Cut, End, Hang, Head, json_reply
from hoosh.values import FileRange, Pieces

SOUND = bytes(range(256)) * 8000
"""Two million bytes: several pieces, and more than any window."""


@pytest.fixture
def body(tmp_path):
    path = tmp_path / "sound"
    path.write_bytes(b"head" + SOUND + b"tail")
    return Pieces.of([b"before", FileRange(str(path), len(SOUND), 4), b"", b"behind", FileRange(str(path), 0), b"end"])


WHOLE = b"before" + SOUND + b"behind" + b"end"


def asking(body):
    return HttpRequest(RequestHead(ORIGIN, "POST", "/v1/x"), body)


# Threads read the files: the clock of these tests is the real one.


async def test_a_reader_gives_all_of_it_in_small_pieces(body):
    reader, got = PieceReader(body), []
    while piece := await reader.next():
        got.append(piece)
    assert b"".join(got) == WHOLE
    assert len(body) == len(WHOLE)
    assert max(map(len, got)) == READ_BYTES
    assert (reader.left, await reader.next()) == (0, b"")


@pytest.mark.parametrize("http2", ["off", "prior"])
async def test_the_upstream_gets_it_whole_with_its_length(body, http2):
    async with open_house(json_reply({}), json_reply({}), http2=http2) as house:
        for _ in range(2):  # a body can be sent again
            status, _, _ = await house.pool.fetch(asking(body), TIMEOUTS, max_bytes=1000)
            assert status == 200
        assert [request.body for request in house.upstream.requests] == [WHOLE, WHOLE]
        assert house.upstream.requests[0].headers.get(b"content-length") == b"%d" % len(WHOLE)
        assert house.upstream.connections == 1  # the first exchange has left it clean


async def test_a_held_body_and_one_in_a_file_share_a_connection_in_turns(body):
    async with open_house(json_reply({}), json_reply({}), http2="prior") as house:
        async with trio.open_nursery() as nursery:
            for each in (body, b"x" * 300_000):
                nursery.start_soon(lambda each=each: house.pool.fetch(asking(each), TIMEOUTS, max_bytes=1000))
        assert sorted(len(request.body) for request in house.upstream.requests) == [300_000, len(WHOLE)]


async def test_a_stale_connection_is_tried_again_with_the_whole_of_it(body):
    async with open_house(json_reply({}), [Cut()], json_reply({"at": "last"})) as house:
        await house.pool.fetch(asking(b"{}"), TIMEOUTS, max_bytes=1000)
        await house.pool.fetch(asking(body), TIMEOUTS, max_bytes=1000)
        assert [len(request.body) for request in house.upstream.requests] == [2, len(WHOLE), len(WHOLE)]


@pytest.mark.parametrize("http2", ["off", "prior"])
async def test_a_file_that_is_gone_is_our_fault_and_harms_nobody_else(body, http2, tmp_path):
    async with open_house(json_reply({}), http2=http2) as house:
        (tmp_path / "sound").write_bytes(b"short")
        with pytest.raises(StorageError):
            await house.pool.fetch(asking(body), TIMEOUTS, max_bytes=1000)
        assert (await house.pool.fetch(asking(b"{}"), TIMEOUTS, max_bytes=1000))[0] == 200


@pytest.mark.parametrize("http2", ["off", "prior"])
async def test_leaving_in_the_middle_ends_the_exchange(body, http2, monkeypatch):
    reads = trio.Event()

    async def never(self, part):
        reads.set()
        await trio.sleep_forever()

    monkeypatch.setattr(pieces.PieceReader, "_read", never)
    async with open_house([Hang()], http2=http2) as house:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: house.pool.fetch(asking(body), TIMEOUTS, max_bytes=1000))
            await reads.wait()
            nursery.cancel_scope.cancel()
        assert house.pool.statistics().active == 0
        if http2 == "off":
            await house.upstream.wait_closed()


async def test_an_upstream_that_takes_nothing_is_too_slow(body, autojump_clock):
    async def read(self, part):
        return bytes(min(READ_BYTES, part.size - self._at))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces.PieceReader, "_read", read)
        for http2 in ("off", "prior"):
            async with open_house([Hang()], http2=http2) as house:
                with pytest.raises(Exception, match="first_byte deadline"):
                    await house.pool.fetch(asking(body), Timeouts(first_byte_s=3.0), max_bytes=1000)


async def test_an_early_refusal_over_http2_stops_the_upload(body, monkeypatch):
    """The peer opens no window: what it says is heard all the same, and the rest is not read from the disk."""
    given = 0
    push = client_h2.H2Connection.push

    def counted(self, response, piece, *, is_last):
        nonlocal given
        given += len(piece)
        response.head_arrived(413, response.headers)
        response.end_arrived()
        push(self, response, piece, is_last=is_last)

    monkeypatch.setattr(client_h2.H2Connection, "push", counted)
    async with open_house([Head(200), Body(b"x"), End()], http2="prior") as house:
        status, _, _ = await house.pool.fetch(asking(body), TIMEOUTS, max_bytes=1000)
        assert (status, given) == (413, len(b"before"))
        assert house.pool.statistics().http2_streams == 0


async def test_a_piece_that_comes_from_the_disk_after_a_reset_harms_no_neighbour(body, monkeypatch):
    """The stream is gone while its next piece is being read: nothing is sent into it."""
    push, uploads = client_h2.H2Connection.push, []

    def noted(self, response, piece, *, is_last):
        uploads.append((self, response))
        push(self, response, piece, is_last=is_last)

    async def read(self, part):
        connection, response = uploads[-1]
        connection._take(b"\0\0\4\3\0" + response.stream_id.to_bytes(4, "big") + bytes(4))  # RST_STREAM
        return bytes(min(READ_BYTES, part.size - self._at))

    monkeypatch.setattr(client_h2.H2Connection, "push", noted)
    monkeypatch.setattr(pieces.PieceReader, "_read", read)
    async with open_house(json_reply({}), http2="prior") as house:
        with pytest.raises(ConnectionBroke, match="stream reset"):
            await house.pool.fetch(asking(body), TIMEOUTS, max_bytes=1000)
        assert (await house.pool.fetch(asking(b"{}"), TIMEOUTS, max_bytes=1000))[0] == 200
        assert house.upstream.connections == 1

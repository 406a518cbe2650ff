"""HTTP/2 as clients of the server meet it, on wires in memory and a mock clock."""

from __future__ import annotations

import h2.events
import h2.settings
import hpack
import pytest
import trio
import trio.lowlevel
from serving import HOST, OPENING, TEXT, Codes, H2Client, Serving, frame, hello, read_to_end, serving, settle

from hoosh.errors import BodyTooLarge, RequestTimeout
from hoosh.http.exchange import Exchange
from hoosh.http.h2 import PREFACE, STREAM_WINDOW
from hoosh.http.message import Limits
from hoosh.http.server_h2 import BACKLOG_BYTES, OUTPUT_BYTES, TURN_BYTES

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"here")]


async def stream_two(exchange: Exchange) -> None:
    await exchange.start(200, TEXT)
    await exchange.send(b"one,")
    await exchange.send(b"")
    await exchange.end(b"two.")


class Held:
    """A handler that starts an answer, or not, and waits; knows who was cancelled."""

    def __init__(self, *, start: bool = False) -> None:
        self.start = start
        self.running: set[str] = set()
        self.cancelled: set[str] = set()

    async def __call__(self, exchange: Exchange) -> None:
        self.running.add(exchange.path)
        try:
            if self.start:
                await exchange.start(200, TEXT)
                await exchange.send(b"begun")
            await trio.sleep_forever()
        except trio.Cancelled:
            self.cancelled.add(exchange.path)
            raise
        finally:
            self.running.discard(exchange.path)


def windows_are_whole(served: Serving) -> bool:
    """Every byte of the connection's receive window is there, or waiting to be given back."""
    manager = served.h2().protocol._inbound_flow_control_window_manager
    return manager.current_window_size + manager._bytes_processed == manager.max_window_size


# -- answers ----------------------------------------------------------------------------------------------------


async def test_requests_of_one_connection_are_answered_each_on_its_stream(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        streams = [client.request(f"/{n}", method="POST", body=b"x" * n) for n in range(40)]
        await client.flush()
        await client.until(lambda: all(client.is_over(stream) for stream in streams))
        for n, stream in enumerate(streams):
            assert client.body(stream) == b"POST /%d %d" % (n, n)
            head = client.head(stream)
            assert head[b":status"] == b"200"
            assert head[b"content-length"] == b"%d" % len(client.body(stream))
            assert b"date" in head
        await settle()
        assert windows_are_whole(served)


async def test_the_preface_may_come_byte_by_byte(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        stream = client.request()
        for byte in client.h2.data_to_send():
            await client.wire.send(bytes((byte,)))
            await settle()
        await client.until(lambda: client.is_over(stream))
        assert client.body(stream) == b"GET / 0"


async def test_a_stream_comes_in_pieces_and_ends(autojump_clock: object) -> None:
    async with serving(stream_two) as served:
        client = H2Client(served.connect())
        stream = client.request()
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.body(stream) == b"one,two."
        assert client.reset_code(stream) is None


@pytest.mark.parametrize("handler", [hello, stream_two])
async def test_head_is_answered_without_a_body(handler: object, autojump_clock: object) -> None:
    async with serving(handler) as served:  # type: ignore[arg-type]
        client = H2Client(served.connect())
        stream = client.request(method="HEAD")
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.reset_code(stream) is None
        assert client.body(stream) == b""


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body_send_none(status: int, autojump_clock: object) -> None:
    async def handler(exchange: Exchange) -> None:
        if exchange.path == "/whole":
            await exchange.respond(status, [], b"dropped")
        else:
            await exchange.start(status, [])
            await exchange.send(b"dropped")
            await exchange.end(b"dropped")

    async with serving(handler) as served:
        client = H2Client(served.connect())
        streams = [client.request("/whole"), client.request("/streamed")]
        await client.flush()
        await client.until(lambda: all(client.is_over(stream) for stream in streams))
        assert not any(client.body(stream) for stream in streams)
        assert all(b"content-length" not in client.head(stream) for stream in streams)


async def test_a_broken_answer_is_reset(autojump_clock: object) -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        await exchange.send(b"one")
        await exchange.end(b"two", broken=True)

    async with serving(breaks) as served:
        client = H2Client(served.connect())
        stream = client.request()
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.reset_code(stream) == Codes.INTERNAL_ERROR


async def test_trailers_of_a_request_are_ignored(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        stream = client.request(method="POST", body=b"abc", end=False)
        client.h2.send_headers(stream, [("x-trailer", "y")], end_stream=True)
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.body(stream) == b"POST / 3"


# -- request bodies -----------------------------------------------------------------------------------------------


async def test_a_large_body_arrives_and_all_its_window_comes_back(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        stream = client.request(method="POST", end=False)
        await client.flush()
        left = 500_000
        while left:
            size = min(left, client.h2.local_flow_control_window(stream), 16384)
            if size:
                client.h2.send_data(stream, b"x" * size, end_stream=size == left)
                left -= size
                await client.flush()
            else:
                assert await client.receive()
        await client.until(lambda: client.is_over(stream))
        assert client.body(stream) == b"POST / 500000"
        await settle()
        assert windows_are_whole(served)


async def test_100_continue_is_sent_to_who_expects_it(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        stream = client.request(method="POST", end=False, extra=[(b"expect", b"100-continue")])
        await client.flush()
        await client.until(lambda: client.of(h2.events.InformationalResponseReceived))
        client.h2.send_data(stream, b"abc", end_stream=True)
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.body(stream) == b"POST / 3"


async def test_a_body_past_the_limit_is_refused_and_the_rest_not_wanted(autojump_clock: object) -> None:
    async def small(exchange: Exchange) -> None:
        with pytest.raises(BodyTooLarge):
            await exchange.body(1000)
        await exchange.respond(413, TEXT, b"too large")

    async with serving(small) as served:
        client = H2Client(served.connect())
        stream = client.request(method="POST", body=b"x" * 1500, end=False)
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.head(stream)[b":status"] == b"413"
        await client.until(lambda: client.of(h2.events.StreamReset))
        assert client.reset_code(stream) == Codes.NO_ERROR
        await settle()
        assert windows_are_whole(served)


async def test_a_body_that_stops_arriving_times_out(autojump_clock: object) -> None:
    async def waits(exchange: Exchange) -> None:
        with pytest.raises(RequestTimeout):
            await exchange.body(1000)
        await exchange.respond(408, TEXT, b"slow")

    async with serving(waits) as served:
        client = H2Client(served.connect())
        stream = client.request(method="POST", body=b"ab", end=False)
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.head(stream)[b":status"] == b"408"


@pytest.mark.parametrize("body", [b"ab", b"abcd", b""])
async def test_a_body_that_is_not_as_long_as_promised_cancels_its_request_only(
    body: bytes, autojump_clock: object
) -> None:
    held = Held()
    async with serving(held) as served:
        client = H2Client(served.connect())
        other = client.request("/other")
        stream = client.request("/short", method="POST", end=False, extra=[(b"content-length", b"3")])
        await client.flush()
        await settle()
        await client.raw(frame(DATA, END_STREAM, stream, body))
        await client.until(lambda: client.is_over(stream))
        assert client.reset_code(stream) == Codes.PROTOCOL_ERROR
        await settle()
        assert held.cancelled == {"/short"}
        assert not client.is_over(other)
        assert windows_are_whole(served)


async def test_a_promised_body_that_never_comes_at_all_is_noticed_in_the_head(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        await client.raw(frame(HEADERS, 5, 1, hpack.Encoder().encode([*GET, (b"content-length", b"3")])))
        data = b""
        while frame(RST_STREAM, 0, 1, b"\0\0\0\1") not in data:
            data += await client.wire.receive()


async def test_bodies_that_nobody_reads_do_not_stop_others(autojump_clock: object) -> None:
    async def some_read(exchange: Exchange) -> None:
        if exchange.path == "/deaf":
            await trio.sleep_forever()
        await hello(exchange)

    limits = Limits(streams=20)
    async with serving(some_read, limits) as served:
        client = H2Client(served.connect())
        for _ in range(19):
            stream = client.request("/deaf", method="POST", end=False)
            for size in (16384, 16384, 16384, STREAM_WINDOW - 3 * 16384):
                await client.raw(frame(DATA, 0, stream, b"x" * size))
        heard = client.request("/heard", method="POST", end=False)
        await client.raw(frame(DATA, END_STREAM, heard, b"x" * 16384))
        await client.until(lambda: client.is_over(heard))
        assert client.body(heard) == b"POST /heard 16384"


# -- back-pressure ------------------------------------------------------------------------------------------------


async def endless(exchange: Exchange) -> None:
    if exchange.path == "/hello":
        await exchange.respond(200, TEXT, b"hello")
        return
    await exchange.start(200, TEXT)
    while True:
        await exchange.send(b"x" * 5000)


async def test_a_stream_with_a_shut_window_waits_alone(autojump_clock: object) -> None:
    async with serving(endless) as served:
        client = H2Client(served.connect())
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
        slow = client.request("/endless")
        await client.raw(b"")
        await client.until(lambda: len(client.body(slow)) == 10)
        other = client.request("/hello")
        await client.flush()
        await client.until(lambda: client.is_over(other))
        assert client.body(other) == b"hello"
        stream = served.h2().streams[slow]
        assert len(stream.rest) <= 5000


async def test_five_hundred_streams_of_slow_readers_are_kept_in_little_memory(autojump_clock: object) -> None:
    async with serving(endless, Limits(streams=600)) as served:
        client = H2Client(served.connect(), window=1000)
        client.acknowledges = False
        client.h2.increment_flow_control_window(1 << 20)
        slow = [client.request("/endless") for _ in range(500)]
        await client.flush()
        await client.until(lambda: all(len(client.body(stream)) == 1000 for stream in slow))
        other = client.request("/hello")
        await client.flush()
        await client.until(lambda: client.is_over(other))
        connection = served.h2()
        assert connection._backlog_bytes <= BACKLOG_BYTES
        assert all(len(stream.rest) <= 5000 for stream in connection.streams.values())


async def test_five_hundred_connections_that_read_nothing_are_kept_in_little_memory(autojump_clock: object) -> None:
    async with serving(endless) as served:
        clients = [H2Client(served.connect(buffer_bytes=4096)) for _ in range(500)]
        for client in clients:
            client.h2.increment_flow_control_window(1 << 30)
            stream = client.request("/endless")
            client.h2.increment_flow_control_window(1 << 30, stream)
            await client.flush()
        await settle()
        for connection in served.server._connections:
            assert OUTPUT_BYTES <= connection._backlog_bytes <= OUTPUT_BYTES + TURN_BYTES + 100  # type: ignore[attr-defined]
        other = H2Client(served.connect())
        stream = other.request("/hello")
        await other.flush()
        await other.until(lambda: other.is_over(stream))
        assert other.body(stream) == b"hello"


async def test_a_peer_that_reads_nothing_cannot_make_us_queue_without_bound(autojump_clock: object) -> None:
    """Heads of answers without a body wait for no window: then the reader waits."""
    gone: list[str] = []

    async def empty(exchange: Exchange) -> None:
        if exchange.path == "/waits":
            try:
                await trio.sleep_forever()
            finally:
                gone.append(exchange.path)
        await exchange.respond(200, [(b"x", b"y" * 1000)], b"")

    async with serving(empty) as served:
        client = H2Client(served.connect(buffer_bytes=4096))
        encoder = hpack.Encoder()
        stream_id = 1
        with trio.move_on_after(5):
            await client.raw(frame(HEADERS, 5, stream_id, encoder.encode([*GET[:2], (b":path", b"/waits"), GET[3]])))
            while True:
                stream_id += 2
                await client.wire.send(frame(HEADERS, 5, stream_id, encoder.encode(GET)))
                await settle()  # so that it is not refused
        assert served.h2()._backlog_bytes < BACKLOG_BYTES + 128 * 1200
        client.wire.shutdown()  # and its leaving is seen all the same
        await settle()
        assert gone == ["/waits"]


async def test_streams_take_turns(autojump_clock: object) -> None:
    async def large(exchange: Exchange) -> None:
        await exchange.respond(200, TEXT, b"x" * 200_000)

    async with serving(large) as served:
        client = H2Client(served.connect(buffer_bytes=8192))
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        client.h2.increment_flow_control_window(1 << 20)
        streams = [client.request() for _ in range(4)]
        await client.flush()
        await client.until(lambda: client.is_over(streams[0]))
        for stream in streams:
            assert len(client.body(stream)) >= 200_000 - 5 * TURN_BYTES


async def test_the_end_of_a_stream_is_sent_also_when_it_must_wait_for_its_turn(autojump_clock: object) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        await exchange.send(b"x" * (OUTPUT_BYTES - 100 if exchange.path == "/large" else 100))
        await exchange.end()

    async with serving(handler) as served:
        client = H2Client(served.connect(buffer_bytes=1024))
        client.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
        client.h2.increment_flow_control_window(1 << 20)
        streams = [client.request("/large"), *(client.request("/small") for _ in range(10))]
        await client.flush()
        await client.until(lambda: all(client.is_over(stream) for stream in streams))
        assert [client.reset_code(stream) for stream in streams] == [None] * 11


async def test_a_stream_whose_window_stays_shut_is_given_up(autojump_clock: object) -> None:
    async with serving(endless, sweep=True) as served:
        client = H2Client(served.connect(), window=0)
        stream = client.request()
        await client.flush()
        with trio.fail_after(Limits().send_idle_s + 5):
            await client.until(lambda: client.is_over(stream))
        assert client.reset_code(stream) == Codes.CANCEL


async def test_windows_may_be_shrunk_below_zero_and_opened_again(autojump_clock: object) -> None:
    async with serving(endless) as served:
        client = H2Client(served.connect())
        stream = client.request()
        await client.flush()
        while len(client.body(stream)) < 20_000:
            assert await client.receive()
        size = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
        await client.raw(frame(SETTINGS, 0, 0, b"\0\4" + bytes(4)))
        await settle()
        await client.raw(frame(SETTINGS, 0, 0, b"\0\4" + (1 << 20).to_bytes(4, "big")))
        client.h2.local_settings[size] = 1 << 20
        while len(client.body(stream)) < 60_000:
            data = await client.wire.receive()
            assert data
            client.events += client.h2.receive_data(data)


async def test_nothing_follows_a_send_that_was_cancelled_half_way(autojump_clock: object) -> None:
    async def gives_up(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        with trio.move_on_after(5):
            await exchange.send(b"x" * 200_000)
        await exchange.send(b"sorry")
        await exchange.end()

    async with serving(gives_up) as served:
        client = H2Client(served.connect(), window=1000)
        stream = client.request()
        await client.flush()
        await client.wire.receive()
        await trio.sleep(10)
        client.h2.increment_flow_control_window(100_000, stream)
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.reset_code(stream) == Codes.INTERNAL_ERROR


# -- leaving ------------------------------------------------------------------------------------------------------


async def test_a_send_to_a_stream_that_was_reset_is_where_the_cancellation_arrives(autojump_clock: object) -> None:
    outcome: list[str] = []

    async def handler(exchange: Exchange) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)  # the reset comes meanwhile
        try:
            await exchange.respond(200, TEXT, b"too late")
            outcome.append("sent")
        except trio.Cancelled:
            outcome.append("cancelled")
            raise

    async with serving(handler) as served:
        client = H2Client(served.connect())
        stream = client.request()
        await client.flush()
        await settle()
        client.h2.reset_stream(stream)
        await client.flush()
        await trio.sleep(10)
        assert outcome == ["cancelled"]
        assert not served.h2().streams


async def test_a_reset_before_the_handler_starts_means_that_it_does_not(autojump_clock: object) -> None:
    held = Held()
    async with serving(held) as served:
        client = H2Client(served.connect())
        stream = client.request()
        client.h2.reset_stream(stream)
        await client.flush()
        await settle()
        assert not held.running
        assert not held.cancelled
        assert not served.h2().streams
        assert not served.h2().protocol.streams


async def test_a_goaway_without_error_lets_running_streams_finish(autojump_clock: object) -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        await exchange.send(b"one,")
        await trio.sleep(20)
        await exchange.end(b"two.")

    async with serving(slow) as served:
        client = H2Client(served.connect())
        stream = client.request()
        await client.raw(frame(GOAWAY, 0, 0, bytes(8)) + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"))
        with trio.fail_after(30):
            await client.read_to_end()
        assert client.body(stream) == b"one,two."
        assert client.is_over(stream)


async def test_a_goaway_to_an_idle_connection_ends_it(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        await client.raw(frame(GOAWAY, 0, 0, bytes(8)))
        with trio.fail_after(5):
            await client.read_to_end()


# -- handlers that misbehave ----------------------------------------------------------------------------------------


async def test_a_handlers_bug_is_a_500_and_reaches_no_other_stream(autojump_clock: object) -> None:
    async def bug(exchange: Exchange) -> None:
        if exchange.path == "/bug":
            raise LookupError("bug")
        if exchange.path == "/half":
            await exchange.start(200, TEXT)
            await exchange.send(b"half")
            raise LookupError("bug")
        await trio.sleep(1)
        await exchange.respond(200, TEXT, b"fine")

    async with serving(bug) as served:
        served.expects_crashes = True
        client = H2Client(served.connect())
        streams = bad, half, fine = client.request("/bug"), client.request("/half"), client.request("/fine")
        await client.flush()
        await client.until(lambda: all(client.is_over(stream) for stream in streams))
        assert client.head(bad)[b":status"] == b"500"
        assert client.reset_code(half) == Codes.INTERNAL_ERROR
        assert client.body(fine) == b"fine"
        assert len(served.crashes) == served.server.statistics().crashed == 2


async def test_a_bug_after_the_client_has_gone_is_told_and_answers_nobody(autojump_clock: object) -> None:
    async def bug(exchange: Exchange) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise LookupError("bug")

    async with serving(bug) as served:
        served.expects_crashes = True
        client = H2Client(served.connect())
        stream = client.request()
        await client.flush()
        await settle()
        client.h2.reset_stream(stream)
        await client.flush()
        await settle()
        assert len(served.crashes) == 1
        assert not served.h2().streams


async def test_tasks_of_a_request_whose_handler_has_a_bug_end_too(autojump_clock: object) -> None:
    ended = trio.Event()

    async def lingers() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async def handler(exchange: Exchange) -> None:
        exchange.nursery.start_soon(lingers)
        await trio.lowlevel.checkpoint()
        raise LookupError("bug")

    async with serving(handler) as served:
        served.expects_crashes = True
        client = H2Client(served.connect())
        stream = client.request()
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.head(stream)[b":status"] == b"500"
        with trio.fail_after(5):
            await ended.wait()


async def test_a_handler_that_gives_no_answer_has_a_bug(autojump_clock: object) -> None:
    async def handler(exchange: Exchange) -> None:
        return

    async with serving(handler) as served:
        served.expects_crashes = True
        client = H2Client(served.connect())
        stream = client.request()
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.head(stream)[b":status"] == b"500"


async def test_a_handler_that_never_waits_lets_others_have_their_turn(autojump_clock: object) -> None:
    async def busy(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        while True:
            await exchange.send(b"x")

    async with serving(busy) as served:
        client = H2Client(served.connect())
        client.request()
        await client.flush()
        await trio.lowlevel.checkpoint()
        client.wire.close()  # it is noticed, or this test hangs


# -- limits -------------------------------------------------------------------------------------------------------


async def test_streams_past_the_ceiling_are_refused_and_may_come_again(autojump_clock: object) -> None:
    held = Held()
    async with serving(held, Limits(streams=3)) as served:
        client = H2Client(served.connect())
        streams = [client.request(f"/{n}") for n in range(5)]
        await client.flush()
        await client.until(lambda: client.is_over(streams[4]))
        assert [client.reset_code(stream) for stream in streams] == [None, None, None, *[Codes.REFUSED_STREAM] * 2]
        assert held.running == {"/0", "/1", "/2"}
        client.h2.reset_stream(streams[0])
        again = client.request("/again")
        await client.flush()
        await settle()
        assert held.running == {"/1", "/2"} or "/again" in held.running
        assert again not in served.h2().protocol.streams or "/again" in held.running


async def test_our_settings_say_how_many_streams_and_headers_we_take(autojump_clock: object) -> None:
    async with serving(hello, Limits(streams=7, head_bytes=5000)) as served:
        client = H2Client(served.connect())
        await client.flush()
        await client.until(lambda: client.of(h2.events.RemoteSettingsChanged))
        assert client.h2.remote_settings.max_concurrent_streams == 7
        assert client.h2.remote_settings.max_header_list_size == 5000
        assert client.h2.remote_settings.enable_connect_protocol == 0


LARGE_HEADS = {
    "a long path": (431, {"path": "/" + "a" * 9000}),
    "many headers": (431, {"extra": [(b"x", b"y")] * 101}),
    "large headers": (431, {"extra": [(b"x-%d" % n, b"y" * 4000) for n in range(9)]}),
    "a path beyond ASCII": (400, {"path": "/é".encode()}),
    "a path that is none": (400, {"path": "foo"}),
}


@pytest.mark.parametrize("name", LARGE_HEADS)
async def test_a_head_that_is_not_fit_is_answered_in_the_error_shape(name: str, autojump_clock: object) -> None:
    status, request = LARGE_HEADS[name]
    async with serving(hello) as served:
        client = H2Client(served.connect())
        stream = client.request(**request)  # type: ignore[arg-type]
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        assert client.head(stream)[b":status"] == b"%d" % status
        assert b'"error"' in client.body(stream)


async def test_connect_is_refused(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        block = hpack.Encoder().encode([(b":method", b"CONNECT"), (b":authority", b"a:443")])
        client.h2.get_next_available_stream_id()
        await client.raw(frame(HEADERS, 5, 1, block))
        await settle()
        assert b"405" in await client.wire.receive()


async def test_a_malformed_head_resets_its_stream_only(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = H2Client(served.connect())
        bad = client.request(extra=[(b"connection", b"close")])
        good = client.request()
        client.h2.config.normalize_outbound_headers = client.h2.config.validate_outbound_headers = False
        worse = client.request(extra=[(b"Upper", b"x"), (b"transfer-encoding", b"chunked")])
        await client.flush()
        await client.until(lambda: all(client.is_over(stream) for stream in (good, worse)))
        assert client.body(good) == b"GET / 0"
        assert client.reset_code(worse) == Codes.PROTOCOL_ERROR
        assert bad


async def test_an_idle_connection_is_told_goodbye(autojump_clock: object) -> None:
    async with serving(hello, sweep=True) as served:
        client = H2Client(served.connect())
        stream = client.request()
        await client.flush()
        await client.until(lambda: client.is_over(stream))
        with trio.fail_after(Limits().keepalive_s + 5):
            await client.read_to_end()
        assert client.goaway_code() == Codes.NO_ERROR


@pytest.mark.parametrize("kind", ["no end", "payload", "frame header"])
async def test_half_a_head_that_drips_is_given_up(kind: str, autojump_clock: object) -> None:
    block = hpack.Encoder().encode(GET)
    halves = {
        "no end": frame(HEADERS, END_STREAM, 1, block),
        "payload": frame(HEADERS, 5, 1, block)[:-1],
        "frame header": frame(HEADERS, 5, 1, block)[:5],
    }
    held = Held()
    async with serving(held, sweep=True) as served:
        client = served.connect()
        await client.send(OPENING + halves[kind])
        with trio.fail_after(Limits().head_s + 5):
            received = await read_to_end(client)
        assert frame(GOAWAY, 0, 0, bytes(7) + b"\x0b") in received


# -- floods -------------------------------------------------------------------------------------------------------


def rapid_reset(n: int) -> bytes:
    block = hpack.Encoder().encode(GET)  # its first block: literals that enter the table, all the same bytes
    return frame(HEADERS, 5, 2 * n + 1, block) + frame(RST_STREAM, 0, 2 * n + 1, b"\0\0\0\x08")


FLOODS = {
    "rapid reset": rapid_reset,
    "PING": lambda n: frame(PING, 0, 0, bytes(8)),
    "SETTINGS": lambda n: frame(SETTINGS, 0, 0),
    "WINDOW_UPDATE": lambda n: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "PRIORITY": lambda n: frame(2, 0, 2 * n + 1, bytes(5)),
    "unknown frames": lambda n: frame(0x42, 0, 0, b""),
    "RST_STREAM of nothing": lambda n: (
        frame(HEADERS, 5, 1, hpack.Encoder().encode(GET)) * (n == 0) + frame(RST_STREAM, 0, 1, bytes(4))
    ),
    "empty DATA": lambda n: frame(HEADERS, END_HEADERS, 1, hpack.Encoder().encode(GET)) * (n == 0) + frame(DATA, 0, 1),
    "CONTINUATION": lambda n: frame(CONTINUATION, 0, 1, b"\x82") if n else frame(HEADERS, 0, 1, b"\x82"),
    "malformed requests": lambda n: frame(HEADERS, 5, 2 * n + 1, b"\x82"),
    "tiny windows": lambda n: (
        frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0") + frame(HEADERS, 5, 1, hpack.Encoder().encode(GET))
        if n == 0
        else frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1")
    ),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_is_answered_with_enhance_your_calm_and_cancels_everything(
    name: str, autojump_clock: object
) -> None:
    async with serving(endless) as served:
        client = H2Client(served.connect())
        await client.wire.send(OPENING)
        client.h2.data_to_send()
        received = bytearray()
        for n in range(1000):
            if n and served.h2()._finished:
                break
            await client.wire.send(FLOODS[name](n))  # type: ignore[no-untyped-call]
            if n % 8 == 0:
                await settle()
        else:
            pytest.fail("it may go on for ever")
        received += await read_to_end(client.wire)
        place = received.index(frame(GOAWAY, 0, 0)[3:9])
        assert received[place + 10 : place + 14] == Codes.ENHANCE_YOUR_CALM.to_bytes(4, "big")


async def test_an_ordinary_client_is_not_taken_for_a_flood(autojump_clock: object) -> None:
    """Downloads with a WINDOW_UPDATE or two per frame, PINGs now and then, a change of mind now and then."""

    async def pages(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        for _ in range(10):
            await exchange.send(b"x" * 1000)
            await trio.sleep(0.01)
        await exchange.end()

    async with serving(pages) as served:
        client = H2Client(served.connect())
        for n in range(300):
            stream = client.request()
            client.h2.ping(bytes(8))
            await client.flush()
            while not client.is_over(stream):
                assert await client.receive()
                if client.h2.streams.get(stream) and not client.is_over(stream):
                    client.h2.increment_flow_control_window(500, stream)
                client.h2.increment_flow_control_window(500)
                await client.flush()
                if n % 10 == 0:
                    client.h2.reset_stream(stream)
                    break
        assert client.goaway_code() is None


# -- draining and errors of the protocol ---------------------------------------------------------------------------


async def test_draining_says_goaway_finishes_what_runs_and_refuses_what_is_new(autojump_clock: object) -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        await trio.sleep(20)
        await exchange.end(b"done")

    async with serving(slow) as served:
        client = H2Client(served.connect())
        old = client.request()
        await client.flush()
        await settle()
        served.server.drain()
        await settle()
        new = client.request()
        await client.flush()
        await trio.sleep(1)
        data = await client.wire.receive()
        assert frame(RST_STREAM, 0, new, Codes.REFUSED_STREAM.to_bytes(4, "big")) in data
        assert frame(GOAWAY, 0, 0, old.to_bytes(4, "big") + bytes(4)) in data
        with trio.fail_after(30):
            rest = await read_to_end(client.wire)
        assert b"done" in rest


async def test_a_server_that_drains_already_says_so_to_a_new_connection(autojump_clock: object) -> None:
    async with serving(hello) as served:
        wire = served.connect()
        await wire.send(PREFACE[:5])
        await settle()
        served.server.draining = True
        await wire.send(PREFACE[5:] + frame(SETTINGS, 0, 0))
        assert frame(GOAWAY, 0, 0, bytes(8)) in await read_to_end(wire)


BROKEN = {
    "no SETTINGS frame but HTTP": (b"GET / HTTP/1.1\r\n" + HOST, Codes.FRAME_SIZE_ERROR),
    "a frame too large": (frame(DATA, 0, 1, b"x" * 16385), Codes.FRAME_SIZE_ERROR),
    "DATA on an idle stream": (frame(DATA, 0, 1, b"x"), Codes.PROTOCOL_ERROR),
    "HEADERS on an even stream": (frame(HEADERS, 5, 2, hpack.Encoder().encode(GET)), Codes.PROTOCOL_ERROR),
    "a header block out of its table": (frame(HEADERS, 5, 1, b"\xff\xff\xff\x7f"), None),
    "CONTINUATION of nothing": (frame(CONTINUATION, 4, 1, b"x"), Codes.PROTOCOL_ERROR),
    "PUSH_PROMISE": (frame(5, 4, 1, b"\0\0\0\2"), Codes.PROTOCOL_ERROR),
    "a PING of 7 bytes": (frame(PING, 0, 0, bytes(7)), None),
    "a window past its limit": (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), Codes.FLOW_CONTROL_ERROR),
    "an initial window past its limit": (frame(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"), Codes.FLOW_CONTROL_ERROR),
    "a header bomb": (
        frame(HEADERS, 5, 1, b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * 100),
        Codes.ENHANCE_YOUR_CALM,
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_protocol_ends_the_connection_with_goaway_and_cancels_what_ran(
    name: str, autojump_clock: object
) -> None:
    data, code = BROKEN[name]
    held = Held()
    async with serving(held) as served:
        wire = served.connect()
        running = frame(HEADERS, 5, 101, hpack.Encoder().encode(GET))
        if name in (
            "DATA on an idle stream",
            "a header block out of its table",
            "a header bomb",
            "CONTINUATION of nothing",
        ):
            running = b""  # it would close the lower stream
        await wire.send(OPENING + running)
        await settle()
        await wire.send(data)
        received = await read_to_end(wire)
        await settle()
        assert not held.running
        if code is not None:
            assert received.endswith(code.to_bytes(4, "big")), received[-17:]

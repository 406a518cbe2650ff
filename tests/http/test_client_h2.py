"""HTTP/2 upstreams: sharing a connection, flow control both ways, and every way a stream or connection can end."""

from __future__ import annotations

from contextlib import asynccontextmanager

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest
import trio
from client_house import ORIGIN, TIMEOUTS, open_house, request

from hoosh.errors import ConnectFailed, ConnectionBroke, ProtocolViolation, TransportTimeout
from hoosh.http import client_h2
from hoosh.http.client import Pool, PoolLimits, Timeouts
from hoosh.http.client_h2 import STREAM_WINDOW_BYTES
from hoosh.http.message import Origin
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import Body, Cut, End, FakeUpstream, Hang, Head, Pause, Reset, json_reply

CANCEL = h2.errors.ErrorCodes.CANCEL
REFUSED = h2.errors.ErrorCodes.REFUSED_STREAM
SECURE = Origin("https", "api.example", 443)


async def fetch(house, timeouts=TIMEOUTS, body=b"{}"):
    return await house.pool.fetch(request(body), timeouts, max_bytes=1 << 24)


class Peer:
    """The upstream's end of one connection, moved by hand."""

    def __init__(self, wire):
        self.wire = wire
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.seen = []

    async def greet(self, **settings):
        codes = {h2.settings.SettingCodes[name.upper()]: value for name, value in settings.items()}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=codes)
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self):
        await self.wire.send(self.h2.data_to_send())

    async def expect(self, kind, number=1):
        """Receive until `number` more events of `kind` have come; the last of them."""
        had = self.count(kind)
        while self.count(kind) < had + number:
            data = await self.wire.receive()
            assert data, f"the connection ended before {kind.__name__}"
            self.seen += self.h2.receive_data(data)
            await self.flush()
        return [event for event in self.seen if type(event) is kind][-1]

    async def expect_request(self):
        return (await self.expect(h2.events.RequestReceived)).stream_id

    async def read_on(self):
        """Receive whatever comes until the connection ends."""
        while data := await self.wire.receive():
            self.seen += self.h2.receive_data(data)
            await self.flush()

    def count(self, kind):
        return sum(type(event) is kind for event in self.seen)

    async def respond(self, stream_id, body=b"", *, headers=(), end=True):
        self.h2.send_headers(stream_id, [(b":status", b"200"), *headers])
        if body or end:
            self.h2.send_data(stream_id, body, end_stream=end)
        await self.flush()


class ByHand:
    """A pool whose connections are each answered by a Peer, in order."""

    def __init__(self, pool, peers, nursery):
        self.pool, self.peers, self.nursery = pool, peers, nursery

    async def next_peer(self, **settings):
        peer = Peer(await self.peers.receive())
        await peer.greet(**settings)
        return peer

    async def first_peer(self, **settings):
        """A peer whose settings have arrived: it has answered one request."""
        self.ask([])
        peer = await self.next_peer(**settings)
        await peer.respond(await peer.expect_request())
        await trio.sleep(1)
        return peer

    def ask(self, results, body=b"{}", timeouts=TIMEOUTS):
        async def ask():
            try:
                results.append((await fetch(self, timeouts, body))[2])
            except (ConnectionBroke, ProtocolViolation, TransportTimeout) as error:
                results.append(error)

        self.nursery.start_soon(ask)


@asynccontextmanager
async def by_hand(**limits):
    send, peers = trio.open_memory_channel(10)
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery, buffer_bytes=1 << 22)

        async def serve(wire):
            await send.send(wire)
            await trio.sleep_forever()

        network.listen(ORIGIN, serve)
        pool = Pool(ORIGIN, dialer=network.dialer(), http2="prior", limits=PoolLimits(**limits))
        await nursery.start(pool.run)
        yield ByHand(pool, peers, nursery)
        nursery.cancel_scope.cancel()


# Sharing.


async def test_many_exchanges_share_one_connection_and_one_dial(autojump_clock):
    async with open_house([Pause(1), *json_reply({"a": 1})], http2="prior", connect_s=1) as house:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(fetch, house)
        assert house.network.dialled == 1
        assert house.pool.statistics().http2_streams == 0
        assert len(house.upstream.requests) == 50


async def test_request_and_response_arrive_whole(autojump_clock):
    async with open_house([Head(201, [(b"x-id", b"7")]), Body(b"y" * 300_000), End()], http2="prior") as house:
        status, headers, body = await fetch(house, body=b"x" * 300_000)
        assert (status, headers.get(b"x-id"), body) == (201, b"7", b"y" * 300_000)
        (received,) = house.upstream.requests
        assert received.body == b"x" * 300_000
        assert received.headers.get(b"content-length") == b"300000"


async def test_a_full_connection_is_joined_by_another_up_to_the_limit(autojump_clock):
    limits = PoolLimits(max_connections=2, max_streams_per_connection=3)
    async with open_house([Pause(1), *json_reply({})], http2="prior", limits=limits) as house:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(fetch, house)
            await trio.sleep(0.5)
            assert house.pool.statistics().http2_streams == 6
            assert house.pool.statistics().waiting == 4
        assert house.network.dialled == 2


async def test_those_who_wait_for_one_dial_share_its_failure(autojump_clock):
    async with open_house(http2="prior", connect_s=1) as house:
        house.network.stop(ORIGIN)
        failures = []

        async def ask():
            with pytest.raises(ConnectFailed):
                await fetch(house)
            failures.append(1)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        assert len(failures) == 20


async def test_a_dial_whose_exchange_is_cancelled_is_taken_over(autojump_clock):
    async with open_house(http2="prior", connect_s=3) as house, trio.open_nursery() as nursery:
        first = trio.CancelScope()

        @nursery.start_soon
        async def leave():
            with first:
                await fetch(house)

        await trio.sleep(1)
        nursery.start_soon(fetch, house)
        await trio.sleep(1)
        first.cancel()
        await trio.sleep(4)
        assert len(house.upstream.requests) == 1


@pytest.mark.parametrize(("alpn", "streams"), [("h2", 1), ("http/1.1", 0), (None, 0)])
async def test_alpn_decides(autojump_clock, alpn, streams):
    upstream = FakeUpstream([Head(), Body(b"a"), Pause(1), End()])
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        network.listen(SECURE, upstream.serve_wire_h2 if alpn == "h2" else upstream.serve_wire, alpn=alpn)
        pool = Pool(SECURE, dialer=network.dialer())
        await nursery.start(pool.run)
        async with pool.exchange(request(origin=SECURE), TIMEOUTS) as response:
            assert pool.statistics().http2_streams == streams
            assert await response.read(9) == b"a"
        nursery.cancel_scope.cancel()


# Leaving.


async def test_leaving_early_resets_the_stream_and_keeps_the_connection(autojump_clock):
    async with open_house([Head(), Body(b"a"), Hang()], json_reply({}), http2="prior") as house:
        async with house.pool.exchange(request(), TIMEOUTS) as response:
            assert await response.receive() == b"a"
        await house.upstream.wait_cancelled()
        assert house.upstream.reset_codes == [CANCEL]
        await fetch(house)
        assert house.network.dialled == 1


@pytest.mark.parametrize("script", [[Hang()], [Pause(5), *json_reply({})]])
async def test_cancelling_before_the_head_resets_the_stream(autojump_clock, script):
    async with open_house(script, http2="prior") as house:
        with trio.move_on_after(1):
            await fetch(house)
        await house.upstream.wait_cancelled()
        assert house.upstream.reset_codes == [CANCEL]


async def test_300_cancelled_streams_cost_neither_stream_nor_window(autojump_clock):
    """Each leaves unread what fits its window: together more than the connection's window holds."""
    big = [Head(), Body(b"x" * 200_000), End()]
    async with open_house(*[big] * 300, [Head(), Body(b"y" * 2_000_000), End()], http2="prior") as house:
        for number in range(300):
            async with house.pool.exchange(request(), TIMEOUTS):
                await trio.sleep(0.1)
            await house.upstream.wait_cancelled(number + 1)
        _, _, body = await fetch(house)
        assert len(body) == 2_000_000
        assert house.network.dialled == 1
        assert house.upstream.reset_codes == [CANCEL] * 300
        assert house.pool.statistics().http2_streams == 0


async def test_data_on_its_way_when_we_left_is_not_answered(autojump_clock):
    async with by_hand() as house:
        scope = trio.CancelScope()

        @house.nursery.start_soon
        async def leave():
            with scope:
                await fetch(house)

        peer = await house.next_peer()
        stream_id = await peer.expect_request()
        scope.cancel()
        await trio.sleep(1)
        await peer.respond(stream_id, b"late", end=False)
        for _ in range(50):
            peer.h2.send_data(stream_id, b"late")
        await peer.flush()
        house.ask([])
        await peer.expect_request()
        assert peer.count(h2.events.StreamReset) == 1


# Flow control.


async def test_a_consumer_that_takes_nothing_stops_its_own_stream_and_no_other(autojump_clock):
    stuck = [Head(), Body(b"x" * 1_000_000), End()]
    async with open_house(*[stuck] * 20, [Head(), Body(b"y" * 3_000_000), End()], http2="prior") as house:
        async with trio.open_nursery() as nursery:
            for _ in range(20):

                @nursery.start_soon
                async def hold():
                    async with house.pool.exchange(request(), TIMEOUTS) as response:
                        await trio.sleep(100)
                        assert len(await response.receive()) <= STREAM_WINDOW_BYTES

            await trio.sleep(10)
            assert not any(seen.answered for seen in house.upstream.requests)
            _, _, body = await fetch(house)
            assert len(body) == 3_000_000
        assert house.network.dialled == 1


async def test_a_slow_consumer_gets_everything_in_the_end(autojump_clock):
    async with open_house([Head(), *[Body(b"x" * 30_000)] * 20, End()], http2="prior") as house:
        total = 0
        async with house.pool.exchange(request(), TIMEOUTS) as response:
            while body := await response.receive():
                total += len(body)
                await trio.sleep(10)
        assert total == 600_000


async def test_a_request_body_waits_for_the_upstreams_window(autojump_clock):
    async with by_hand() as house:
        results = []
        peer = await house.first_peer(initial_window_size=1000)
        house.ask(results, b"x" * 100_000)
        stream_id = await peer.expect_request()
        with trio.move_on_after(1):
            await peer.read_on()
        data = [event for event in peer.seen if isinstance(event, h2.events.DataReceived)]
        assert sum(len(event.data) for event in data if event.stream_id == stream_id) == 1000
        peer.h2.increment_flow_control_window(1 << 20)
        peer.h2.increment_flow_control_window(1 << 20, stream_id)
        await peer.flush()
        await peer.expect(h2.events.StreamEnded)
        await peer.respond(stream_id, b"done")
        await trio.sleep(1)
        assert results == [b"done"]


async def test_an_answer_that_comes_before_the_whole_request_is_heard(autojump_clock):
    async with by_hand() as house:
        results = []
        peer = await house.first_peer(initial_window_size=1000)
        house.ask(results, b"x" * 100_000)
        stream_id = await peer.expect_request()
        await peer.respond(stream_id, b"too large")
        reset = await peer.expect(h2.events.StreamReset)
        assert (results, reset.error_code) == ([b"too large"], CANCEL)


# Limits of the upstream.


async def test_max_concurrent_streams_is_respected_and_a_higher_one_is_used(autojump_clock):
    async with by_hand(max_connections=1) as house:
        results = []
        house.ask(results)
        peer = await house.next_peer(max_concurrent_streams=1)
        first = await peer.expect_request()
        await trio.sleep(1)
        house.ask(results)
        house.ask(results)
        await trio.sleep(1)
        assert house.pool.statistics().waiting == 2
        peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        await peer.flush()
        second = await peer.expect_request()
        assert house.pool.statistics().waiting == 1
        await peer.respond(second, b"2")
        third = await peer.expect_request()
        await peer.respond(third, b"3")
        await trio.sleep(1)
        await peer.respond(first, b"1")
        await trio.sleep(1)
        assert results == [b"2", b"3", b"1"]


async def test_an_upstream_that_wants_no_streams_is_not_dialled_again(autojump_clock):
    async with by_hand() as house:
        results = []
        house.ask(results)
        peer = await house.next_peer()
        await peer.respond(await peer.expect_request(), b"1")
        peer.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        await peer.flush()
        await trio.sleep(1)
        house.ask(results)
        await trio.sleep(10)
        assert isinstance(results[1], TransportTimeout)
        assert house.pool.statistics().open == 1


async def test_goaway_lets_earlier_streams_finish_and_later_ones_are_asked_again(autojump_clock):
    async with by_hand() as house:
        results = []
        house.ask(results, b"first")
        peer = await house.next_peer()
        first = await peer.expect_request()
        house.ask(results, b"second")
        await peer.expect_request()
        state = peer.h2.state_machine.state
        peer.h2.send_headers(first, [(b":status", b"200")])
        peer.h2.close_connection(last_stream_id=first)
        peer.h2.state_machine.state = state
        peer.h2.send_data(first, b"one", end_stream=True)  # in the same packet as GOAWAY
        await peer.flush()
        other = await house.next_peer()
        await other.respond(await other.expect_request(), b"two")
        await trio.sleep(1)
        assert sorted(results) == [b"one", b"two"]
        await peer.read_on()  # ends: we close what is drained
        assert house.pool.statistics().open == 1


async def test_a_refused_stream_is_asked_again_once(autojump_clock):
    async with open_house([Reset(REFUSED)], json_reply({"a": 1}), http2="prior") as house:
        _, _, body = await fetch(house)
        assert body == b'{"a": 1}'
        assert len(house.upstream.requests) == 2


async def test_a_stream_refused_twice_is_an_error_that_says_asking_again_is_safe(autojump_clock):
    async with open_house([Reset(REFUSED)], http2="prior") as house:
        with pytest.raises(ConnectionBroke) as caught:
            await fetch(house)
        assert caught.value.request_lost
        assert len(house.upstream.requests) == 2


# Breaking.


async def test_a_reset_stream_is_an_error_and_its_connection_goes_on(autojump_clock):
    async with open_house([Head(), Body(b"a"), Pause(1), Reset()], json_reply({}), http2="prior") as house:
        async with house.pool.exchange(request(), TIMEOUTS) as response:
            assert await response.receive() == b"a"
            with pytest.raises(ConnectionBroke, match="INTERNAL_ERROR") as caught:
                await response.receive()
            assert not caught.value.request_lost
        await fetch(house)
        assert house.network.dialled == 1


async def test_a_dead_connection_fails_all_its_streams(autojump_clock):
    async with open_house([Head(), Hang()], [Head(), Hang()], [Pause(1), Cut()], http2="prior") as house:
        failures = []

        async def ask():
            with pytest.raises(ConnectionBroke):
                await fetch(house)
            failures.append(1)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
                await trio.sleep(0.1)
        assert len(failures) == 3
        assert house.pool.statistics().open == 0


async def test_what_arrived_before_a_connection_died_can_still_be_taken(autojump_clock):
    script = [Head(), Body(b"a"), Body(b"b"), Pause(1), Cut()]
    async with open_house(script, http2="prior") as house, house.pool.exchange(request(), TIMEOUTS) as response:
        await trio.sleep(2)
        assert await response.receive() == b"ab"
        with pytest.raises(ConnectionBroke):
            await response.receive()


async def test_an_idle_connection_that_dies_when_used_again_is_replaced_silently(autojump_clock):
    async with by_hand() as house:
        results = []
        house.ask(results)
        peer = await house.next_peer()
        await peer.respond(await peer.expect_request(), b"1")
        await trio.sleep(1)
        house.ask(results)
        await peer.expect_request()
        peer.wire.reset()
        other = await house.next_peer()
        await other.respond(await other.expect_request(), b"2")
        await trio.sleep(1)
        assert results == [b"1", b"2"]


async def test_a_silent_connection_is_not_offered_until_it_shows_life(autojump_clock):
    async with by_hand() as house:
        results = []
        house.ask(results)
        peer = await house.next_peer()
        await peer.respond(await peer.expect_request(), b"1")
        await trio.sleep(1)
        house.ask(results, timeouts=Timeouts(first_byte_s=10))
        await trio.sleep(11)  # the peer has gone dumb
        assert isinstance(results[1], TransportTimeout)
        house.ask(results)
        other = await house.next_peer()
        await other.respond(await other.expect_request(), b"3")
        await peer.expect(h2.events.PingReceived)  # it wakes up, and answers
        await trio.sleep(1)
        assert house.pool.statistics().open == 2
        house.ask(results)
        await peer.respond(await peer.expect_request(), b"4")
        await trio.sleep(1)
        assert results[2:] == [b"3", b"4"]


async def test_an_idle_connection_says_goaway_and_closes(autojump_clock):
    async with by_hand(keepalive_s=60) as house:
        results = []
        house.ask(results)
        peer = await house.next_peer()
        await peer.respond(await peer.expect_request(), b"1")
        goaway = await peer.expect(h2.events.ConnectionTerminated)
        assert goaway.error_code == h2.errors.ErrorCodes.NO_ERROR
        assert await peer.wire.receive() == b""
        assert house.pool.statistics().open == 0


async def test_an_idle_connection_whose_peer_does_not_read_closes_too(autojump_clock):
    async with by_hand(keepalive_s=60) as house:
        results = []
        house.ask(results)
        peer = await house.next_peer()
        await peer.respond(await peer.expect_request(), b"1")
        peer.wire._far._buffer_bytes = 0  # no byte fits any more
        await trio.sleep(100)
        assert house.pool.statistics().open == 0


# What upstreams must not do, and what they may.


async def test_pings_are_answered(autojump_clock):
    async with by_hand() as house:
        house.ask([])
        peer = await house.next_peer()
        await peer.expect_request()
        peer.h2.ping(b"12345678")
        await peer.flush()
        await peer.expect(h2.events.PingAckReceived)


async def test_a_peer_that_pings_and_never_reads_loses_its_connection(autojump_clock, monkeypatch):
    monkeypatch.setattr(client_h2, "FLOOD_BYTES", 50_000)
    async with by_hand() as house:
        results = []
        house.ask(results)
        peer = await house.next_peer()
        await peer.expect_request()
        peer.wire._far._buffer_bytes = 0  # no byte fits any more
        for _ in range(5_000):
            peer.h2.ping(b"12345678")
        await peer.flush()
        await trio.sleep(1)
        assert isinstance(results[0], ConnectionBroke)
        assert house.pool.statistics().open == 0


async def test_informational_heads_and_trailers_are_skipped(autojump_clock):
    async with by_hand() as house:
        results = []
        house.ask(results)
        peer = await house.next_peer()
        stream_id = await peer.expect_request()
        peer.h2.send_headers(stream_id, [(b":status", b"103"), (b"link", b"x")])
        peer.h2.send_headers(stream_id, [(b":status", b"200")])
        peer.h2.send_data(stream_id, b"a")
        peer.h2.send_headers(stream_id, [(b"grpc-status", b"0")], end_stream=True)
        await peer.flush()
        await trio.sleep(1)
        assert results == [b"a"]


async def test_too_many_headers_fail_one_stream_only(autojump_clock):
    async with by_hand() as house:
        results = []
        house.ask(results)
        peer = await house.next_peer()
        await peer.respond(await peer.expect_request(), headers=[(b"x-%d" % i, b"y") for i in range(250)])
        await trio.sleep(1)
        assert isinstance(results[0], ProtocolViolation)
        house.ask(results)
        await peer.respond(await peer.expect_request(), b"fine")
        await trio.sleep(1)
        assert results[1] == b"fine"


async def push(peer, stream_id):
    peer.h2.remote_settings = h2.settings.Settings(client=True)  # it does not care that we forbid it
    peer.h2.push_stream(
        stream_id, 2, [(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"http"), (b":authority", b"a")]
    )


async def huge_head(peer, stream_id):
    peer.h2.send_headers(stream_id, [(b":status", b"200"), *((b"x-%d" % i, b"y" * 1000) for i in range(100))])


async def capital_letters(peer, stream_id):
    peer.h2.config.normalize_outbound_headers = peer.h2.config.validate_outbound_headers = False
    peer.h2.send_headers(stream_id, [(b":status", b"200"), (b"X-Id", b"1")])


async def wrong_length(peer, stream_id):
    peer.h2.send_headers(stream_id, [(b":status", b"200"), (b"content-length", b"5")])
    peer.h2.send_data(stream_id, b"abc", end_stream=True)


@pytest.mark.parametrize("misdeed", [push, huge_head, capital_letters, wrong_length])
async def test_a_violation_ends_the_connection_with_goaway(autojump_clock, misdeed):
    async with by_hand() as house:
        results = []
        house.ask(results)
        house.ask(results)
        peer = await house.next_peer()
        stream_id = await peer.expect_request()
        await misdeed(peer, stream_id)
        await peer.flush()
        goaway = await peer.expect(h2.events.ConnectionTerminated)
        assert goaway.error_code != h2.errors.ErrorCodes.NO_ERROR
        await trio.sleep(2)
        assert [type(result) for result in results] == [ConnectionBroke] * 2
        assert house.pool.statistics().open == 0


async def test_an_upstream_that_does_not_speak_http_2_is_told_apart(autojump_clock):
    async def answer_in_http_1(wire):
        await wire.receive()
        await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await trio.sleep_forever()

    async with open_house(http2="prior") as house:
        house.network.listen(ORIGIN, answer_in_http_1)
        with pytest.raises(ConnectionBroke, match="does not speak HTTP/2"):
            await fetch(house)

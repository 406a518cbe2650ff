"""Connections kept, shared, limited, retried; exchanges interrupted at any moment."""

from __future__ import annotations

import pytest
import trio
from client_house import JSON, ORIGIN, TIMEOUTS, open_house, request

from hoosh.errors import (
    ConnectFailed,
    ConnectionBroke,
    TransportError,
    TransportTimeout,
    Unavailable,
)
from hoosh.http.client import Pool, PoolLimits, Timeouts
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import Body, Cut, End, Hang, Head, Pause, Reset, json_reply

SLOW = [Pause(10), *json_reply({})]


async def fetch(house, timeouts=TIMEOUTS):
    return await house.pool.fetch(request(), timeouts, max_bytes=1 << 20)


# Kept connections.


async def test_an_idle_connection_is_used_again(autojump_clock):
    async with open_house() as house:
        for _ in range(5):
            await fetch(house)
        assert house.upstream.connections == 1
        assert house.pool.statistics().idle == 1


async def test_the_connection_used_last_is_used_first(autojump_clock):
    async with open_house(SLOW) as house:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch, house)
            await trio.sleep(1)
            nursery.start_soon(fetch, house)
        await fetch(house)
        assert [seen.connection for seen in house.upstream.requests] == [0, 1, 1]


async def test_idle_connections_are_closed_after_the_keep_alive_limit(autojump_clock):
    async with open_house(limits=PoolLimits(keepalive_s=60)) as house:
        await fetch(house)
        await trio.sleep(59)
        assert house.network.still_open() == 1
        await trio.sleep(17)
        assert house.network.still_open() == 0
        assert house.pool.statistics().open == 0


async def test_more_idle_connections_than_allowed_are_closed_oldest_first(autojump_clock):
    async with open_house(SLOW, limits=PoolLimits(max_idle=2)) as house:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(fetch, house)
        assert house.pool.statistics().open == house.network.still_open() == 2


async def test_a_connection_that_ended_while_idle_is_noticed_and_replaced(autojump_clock):
    async with open_house([*json_reply({}), Pause(1), Cut()], json_reply({})) as house:
        await fetch(house)
        await trio.sleep(2)
        await fetch(house)
        assert house.upstream.connections == 2
        assert house.network.still_open() == 1


# The retry rule.


@pytest.mark.parametrize("end", [Cut(), Reset()])
async def test_a_used_connection_that_breaks_before_any_response_byte_is_replaced_silently(autojump_clock, end):
    async with open_house(json_reply({}), [Pause(1), end], json_reply({"second": 1})) as house:
        await fetch(house)
        _, _, body = await fetch(house)
        assert body == b'{"second": 1}'
        assert [seen.connection for seen in house.upstream.requests] == [0, 0, 1]


async def test_a_fresh_connection_that_breaks_is_an_error(autojump_clock):
    async with open_house([Cut()], json_reply({})) as house:
        with pytest.raises(ConnectionBroke):
            await fetch(house)
        assert len(house.upstream.requests) == 1


async def test_the_silent_retry_happens_once_and_on_a_fresh_connection(autojump_clock):
    async with open_house(SLOW, SLOW, [Cut()], [Cut()]) as house:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch, house)
            nursery.start_soon(fetch, house)
        assert house.pool.statistics().idle == 2
        with pytest.raises(ConnectionBroke):
            await fetch(house)
        reused, fresh = house.upstream.requests[2:]
        assert reused.connection in (0, 1)
        assert fresh.connection == 2
        assert house.pool.statistics().idle == 1  # the other one is left alone


async def test_no_retry_after_a_response_byte(autojump_clock):
    async with open_house(json_reply({}), [b"H", Pause(1), Cut()], json_reply({})) as house:
        await fetch(house)
        with pytest.raises(ConnectionBroke):
            await fetch(house)
        assert len(house.upstream.requests) == 2


async def test_a_retry_at_the_limit_takes_the_place_of_an_idle_connection(autojump_clock):
    async with open_house(SLOW, SLOW, [Cut()], json_reply({}), limits=PoolLimits(max_connections=2)) as house:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fetch, house)
            nursery.start_soon(fetch, house)
        await fetch(house)
        assert house.upstream.connections == 3
        assert house.network.still_open() <= 2


# The limit.


async def test_at_the_limit_exchanges_wait_first_come_first_served(autojump_clock):
    served = []

    async def ask(house, name):
        await fetch(house)
        served.append(name)

    async with open_house([Pause(1), *json_reply({})], limits=PoolLimits(max_connections=1)) as house:
        async with trio.open_nursery() as nursery:
            for name in range(4):
                nursery.start_soon(ask, house, name)
                await trio.sleep(0.1)
            assert house.pool.statistics().waiting == 3
        assert served == [0, 1, 2, 3]
        assert house.upstream.connections == 1


async def test_waiting_for_a_connection_counts_as_connecting(autojump_clock):
    async with open_house(SLOW, limits=PoolLimits(max_connections=1)) as house, trio.open_nursery() as nursery:
        nursery.start_soon(fetch, house)
        await trio.sleep(0.1)
        with pytest.raises(TransportTimeout) as caught:
            await fetch(house, Timeouts(connect_s=3))
        assert caught.value.phase == "connect"
        assert caught.value.request_lost
        assert house.pool.statistics().waiting == 0


async def test_a_waiter_that_leaves_does_not_take_the_place_along(autojump_clock):
    async with open_house(SLOW, limits=PoolLimits(max_connections=1)) as house, trio.open_nursery() as nursery:
        nursery.start_soon(fetch, house)
        await trio.sleep(1)
        with trio.move_on_after(5):
            await fetch(house, Timeouts(connect_s=100))
        nursery.start_soon(fetch, house, Timeouts(connect_s=100))
        await trio.sleep(15)
        assert house.pool.statistics().waiting == 0


async def test_connections_to_http_1_are_dialled_side_by_side(autojump_clock):
    async with open_house(connect_s=2) as house:
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(fetch, house)
        assert trio.current_time() - started == pytest.approx(2)


# Deadlines.


@pytest.mark.parametrize(
    ("script", "phase", "after_s"),
    [
        ([Hang()], "first_byte", 30),
        ([b"HTTP/1.1 200 OK\r\n", Hang()], "first_byte", 30),
        ([Head(), Hang()], "idle", 20),
        ([Head(), Body(b"a"), Hang()], "idle", 20),
        ([Head(), *([Body(b"a"), Pause(15)] * 9)], "total", 100),
    ],
)
async def test_the_deadline_that_fires_is_named(autojump_clock, script, phase, after_s):
    async with open_house(script) as house:
        started = trio.current_time()
        with pytest.raises(TransportTimeout) as caught:
            await fetch(house, Timeouts(connect_s=5, first_byte_s=30, idle_s=20, total_s=100))
        assert (caught.value.phase, caught.value.after_s) == (phase, after_s)
        assert trio.current_time() - started == pytest.approx(after_s)
        assert house.network.still_open() == 0


async def test_a_slow_connect_is_a_connect_timeout(autojump_clock):
    async with open_house(connect_s=100) as house:
        with pytest.raises(TransportTimeout, match="connect deadline of 5 s passed"):
            await fetch(house)
        assert house.pool.statistics().open == 0


@pytest.mark.parametrize("http2", ["off", "prior"])
async def test_a_silence_that_its_waiter_looks_up_from_is_one_silence(autojump_clock, http2):
    limits = Timeouts(idle_s=20, total_s=None)
    async with (
        open_house([Head(), Body(b"a"), Hang()], http2=http2) as house,
        house.pool.exchange(request(), limits) as response,
    ):
        await response.receive()
        with trio.move_on_after(15) as patience:  # as long as a relay waits before it sends a comment
            await response.receive()
        assert patience.cancelled_caught
        with pytest.raises(TransportTimeout, match="idle deadline of 20 s"), trio.fail_after(6):
            await response.receive()


async def test_a_stream_that_keeps_coming_is_not_idle(autojump_clock):
    async with open_house([Head(), *([Body(b"a"), Pause(9)] * 50), End()]) as house:
        _, _, body = await fetch(house, Timeouts(idle_s=10, total_s=None))
        assert len(body) == 50


async def test_a_slow_caller_does_not_make_the_upstream_look_idle(autojump_clock):
    script = [Head(), *([Body(b"a"), Pause(1)] * 3), End()]
    async with open_house(script) as house, house.pool.exchange(request(), Timeouts(idle_s=5)) as response:
        while await response.receive():
            await trio.sleep(50)


@pytest.mark.parametrize("http2", ["off", "prior"])
async def test_the_total_frees_the_upstream_of_a_caller_that_is_busy(autojump_clock, http2):
    script = [Head(), Body(b"a"), Pause(1), Body(b"b"), Hang()]
    async with open_house(script, http2=http2) as house:
        started = trio.current_time()
        async with house.pool.exchange(request(), Timeouts(total_s=60)) as response:
            await response.receive()
            await house.upstream.wait_cancelled()
            assert trio.current_time() - started == pytest.approx(60)
            with pytest.raises(TransportTimeout, match="total"):
                await response.receive()


@pytest.mark.parametrize("http2", ["off", "prior"])
async def test_a_response_that_is_whole_stays_whole_when_its_time_is_over(autojump_clock, http2):
    async with open_house(json_reply({"a": 1}), http2=http2) as house:
        async with house.pool.exchange(request(), Timeouts(total_s=60)) as response:
            await trio.sleep(100)
            assert await response.read(99) == b'{"a": 1}'
        assert house.pool.statistics().idle == 1


async def test_one_watch_serves_many_deadlines_in_any_order(autojump_clock):
    fired = []

    async def ask(house, limit_s):
        with pytest.raises(TransportTimeout):
            await fetch(house, Timeouts(first_byte_s=limit_s))
        fired.append((limit_s, round(trio.current_time(), 3)))

    async with open_house([Hang()]) as house:
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            for limit_s in (30, 10, 20, 5, 25):
                nursery.start_soon(ask, house, limit_s)
        assert [(limit_s, at - started) for limit_s, at in fired] == [
            (limit_s, pytest.approx(limit_s)) for limit_s in (5, 10, 20, 25, 30)
        ]


# Interruption, cancellation and errors.


@pytest.mark.parametrize("http2", ["off", "prior"])
@pytest.mark.parametrize("script", [[Hang()], [Head(), Hang()], [Head(), Body(b"a"), Hang()]])
async def test_interrupting_an_exchange_raises_the_given_error_in_its_block(autojump_clock, script, http2):
    async with open_house(script, http2=http2) as house, trio.open_nursery() as nursery:
        exchange = house.pool.exchange(request(), TIMEOUTS)

        @nursery.start_soon
        async def interrupt():
            await trio.sleep(1)
            exchange.interrupt(Unavailable("closing"))
            await house.upstream.wait_cancelled()

        with pytest.raises(Unavailable, match="closing"):
            async with exchange as response:
                await response.read(99)
        assert house.pool.statistics().active == 0
        assert trio.current_time() < 1.1


async def test_an_exchange_can_be_interrupted_before_it_begins_and_while_it_connects(autojump_clock):
    async with open_house(connect_s=3) as house:
        early = house.pool.exchange(request(), TIMEOUTS)
        early.interrupt(Unavailable("early"))
        with pytest.raises(Unavailable, match="early"):
            async with early:
                pass
        late = house.pool.exchange(request(), TIMEOUTS)
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def interrupt():
                await trio.sleep(1)
                late.interrupt(Unavailable("late"))
                late.interrupt(Unavailable("too late"))

            with pytest.raises(Unavailable, match=r"^late$"):
                async with late:
                    pass
        assert house.pool.statistics().open == 0


async def test_interrupting_a_finished_exchange_does_nothing(autojump_clock):
    async with open_house() as house:
        exchange = house.pool.exchange(request(), TIMEOUTS)
        async with exchange as response:
            await response.read(99)
        exchange.interrupt(Unavailable("late"))
        await trio.lowlevel.checkpoint()


async def test_an_error_of_the_callers_own_passes_through_untouched(autojump_clock):
    async with open_house([Head(), Hang()]) as house:
        mine = KeyError("mine")
        with pytest.raises(KeyError) as caught:
            async with house.pool.exchange(request(), TIMEOUTS):
                raise mine
        assert caught.value is mine
        assert house.network.still_open() == 0


async def test_cancellation_from_outside_stays_cancellation(autojump_clock):
    async with open_house([Head(), Hang()]) as house:
        with trio.move_on_after(1) as scope:
            async with house.pool.exchange(request(), TIMEOUTS) as response:
                await response.receive()
        assert scope.cancelled_caught


async def test_a_refused_connection_is_an_error_and_leaves_nothing(autojump_clock):
    async with open_house() as house:
        house.network.stop(ORIGIN)
        with pytest.raises(ConnectFailed, match="connection refused"):
            await fetch(house)
        assert house.pool.statistics().open == 0


async def test_closing_the_pool_ends_what_runs_on_it_and_refuses_what_comes(autojump_clock):
    async with trio.open_nursery() as outer:
        network = MemoryNetwork(outer)

        async def hang(wire):
            await trio.sleep_forever()

        network.listen(ORIGIN, hang)
        pool = Pool(ORIGIN, dialer=network.dialer(), limits=PoolLimits(max_connections=1))
        failures = []

        async def ask():
            try:
                await pool.fetch(request(), TIMEOUTS, max_bytes=9)
            except TransportError as error:
                failures.append(type(error))

        async with trio.open_nursery() as nursery:
            await nursery.start(pool.run)
            outer.start_soon(ask)
            outer.start_soon(ask)
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        await trio.sleep(1)
        await ask()
        assert sorted(kind.__name__ for kind in failures) == ["ConnectFailed", "ConnectFailed", "ConnectionBroke"]
        assert network.still_open() == 0
        outer.cancel_scope.cancel()


@pytest.mark.parametrize("http2", ["off", "prior"])
async def test_cancelled_at_any_step_an_exchange_leaves_nothing_behind(autojump_clock, http2):
    """Cancel at the n-th turn of the scheduler, for every n that such an exchange has."""

    class CancelAfter(trio.abc.Instrument):
        def __init__(self, scope, turns):
            self.scope, self.turns = scope, turns

        def after_task_step(self, task):
            self.turns -= 1
            if self.turns == 0:
                self.scope.cancel()

    reply = [Head(), Body(b"a"), Pause(0), Body(b"b"), Pause(0), End()]
    async with open_house(reply, http2=http2, connect_s=0.1) as house:
        for turns in range(1, 300):
            with trio.CancelScope() as scope:
                watch = CancelAfter(scope, turns)
                trio.lowlevel.add_instrument(watch)
                try:
                    async with house.pool.exchange(request(b"x" * 100_000), TIMEOUTS) as response:
                        while await response.receive():
                            await trio.lowlevel.checkpoint()
                finally:
                    trio.lowlevel.remove_instrument(watch)
            await trio.sleep(1)
            statistics = house.pool.statistics()
            assert (statistics.active, statistics.waiting, statistics.http2_streams) == (0, 0, 0), turns
            assert statistics.open == house.network.still_open() <= 1, turns
            if not scope.cancelled_caught:
                break
        else:
            pytest.fail("never came through")
        assert turns > 10
        await fetch(house)


async def test_fetch_gives_status_headers_and_body(autojump_clock):
    async with open_house(json_reply({"a": 1}, status=201, headers=[(b"x-id", b"7")])) as house:
        status, headers, body = await fetch(house)
        assert (status, headers.get(b"x-id"), body) == (201, b"7", b'{"a": 1}')


async def test_a_pool_that_does_not_run_refuses(autojump_clock):
    async with trio.open_nursery() as nursery:
        pool = Pool(ORIGIN, dialer=MemoryNetwork(nursery).dialer())
        with pytest.raises(ConnectFailed):
            await pool.fetch(request(), TIMEOUTS, max_bytes=9)


async def test_the_repr_of_a_request_shows_no_header_value(autojump_clock):
    head = RequestHead(Origin("https", "a", 443), "POST", "/", [JSON, (b"authorization", b"Bearer sk-secret")])
    assert "secret" not in repr(head)
    assert "secret" not in repr(HttpRequest(head))

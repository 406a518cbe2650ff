"""HTTP/1.1 as clients of the server meet it, on wires in memory and a mock clock."""

from __future__ import annotations

import json

import pytest
import trio
import trio.lowlevel
from serving import HOST, TEXT, hello, read_to_end, read_until, serving, settle
from test_h1_reader import MALFORMED

from hoosh.errors import BodyTooLarge, ConnectionBroke, InvalidRequest, RequestTimeout
from hoosh.http.exchange import Exchange
from hoosh.http.h1 import RequestReader, http_date
from hoosh.http.message import Limits
from hoosh.http.server_h1 import LINGER_BYTES, UNREAD_BYTES

GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
GET_AND_CLOSE = b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"


def post(body: bytes, *, path: bytes = b"/") -> bytes:
    return b"POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (path, HOST, len(body), body)


def without_date(answer: bytes) -> bytes:
    return answer.replace(b"date: %b\r\n" % http_date(), b"")


async def answer_to(data: bytes, handler: object = hello, limits: Limits | None = None) -> bytes:
    """Everything one connection is sent for `data`."""
    async with serving(handler, limits, sweep=True) as served:  # type: ignore[arg-type]
        client = served.connect()
        await client.send(data)
        return without_date(await read_to_end(client))


# -- answers ----------------------------------------------------------------------------------------------------


async def test_an_answer_has_its_length_and_date(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = served.connect()
        await client.send(GET)
        answer = await read_until(client, b"GET / 0")
    assert answer == (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ndate: %b\r\ncontent-length: 7\r\n\r\nGET / 0" % http_date()
    )


async def test_a_connection_serves_many_requests_and_closes_when_asked(autojump_clock: object) -> None:
    answer = await answer_to(GET + post(b"abc") + GET_AND_CLOSE)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert b"POST / 3" in answer
    assert b"connection: close\r\n\r\nGET / 0" in answer


async def test_pipelined_requests_are_answered_in_order(autojump_clock: object) -> None:
    async def slow_first(exchange: Exchange) -> None:
        if exchange.path == "/1":
            await trio.sleep(5)
        await exchange.respond(200, TEXT, exchange.path.encode())

    requests = [b"GET /%d HTTP/1.1\r\n%b\r\n" % (n, HOST) for n in range(1, 30)]
    answer = await answer_to(b"".join(requests) + GET_AND_CLOSE, slow_first)
    places = [answer.index(b"\r\n\r\n/%d" % n) for n in range(1, 30)]
    assert places == sorted(places)


async def test_what_follows_connection_close_is_not_answered(autojump_clock: object) -> None:
    answer = await answer_to(GET_AND_CLOSE + GET)
    assert answer.count(b"HTTP/1.1") == 1


async def test_http_1_0_gets_keep_alive_only_when_it_asks(autojump_clock: object) -> None:
    assert b"connection: close" in await answer_to(b"GET / HTTP/1.0\r\n\r\n")
    asking = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answer = await answer_to(asking + b"GET / HTTP/1.0\r\n\r\n")
    assert answer.count(b"200 OK") == 2
    assert answer.count(b"connection: keep-alive") == 1


async def test_a_stream_to_http_1_0_ends_with_the_connection(autojump_clock: object) -> None:
    answer = await answer_to(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", stream_two)
    assert answer.endswith(b"connection: close\r\n\r\none,two.")
    assert b"chunked" not in answer


async def stream_two(exchange: Exchange) -> None:
    await exchange.start(200, TEXT)
    await exchange.send(b"one,")
    await exchange.send(b"")
    await exchange.end(b"two.")


async def test_a_stream_is_chunked_and_the_connection_stays(autojump_clock: object) -> None:
    answer = await answer_to(GET + GET_AND_CLOSE, stream_two)
    assert answer.count(b"transfer-encoding: chunked") == 2
    assert answer.count(b"\r\n\r\n4\r\none,\r\n4\r\ntwo.\r\n0\r\n\r\n") == 2


async def test_head_is_answered_without_a_body(autojump_clock: object) -> None:
    head = b"HEAD / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n"
    whole = await answer_to(head)
    assert b"content-length: 8\r\n" in whole
    assert whole.endswith(b"\r\n\r\n")
    assert (await answer_to(head, stream_two)).endswith(b"connection: close\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body_send_none(status: int, autojump_clock: object) -> None:
    async def whole(exchange: Exchange) -> None:
        await exchange.respond(status, [], b"dropped")

    async def streamed(exchange: Exchange) -> None:
        await exchange.start(status, [])
        await exchange.send(b"dropped")
        await exchange.end(b"dropped")

    for handler in (whole, streamed):
        answer = await answer_to(GET + GET_AND_CLOSE, handler)
        assert answer.count(b"HTTP/1.1 %d" % status) == 2
        assert b"dropped" not in answer
        assert b"content-length" not in answer
        assert b"chunked" not in answer


async def test_a_broken_stream_has_no_last_chunk_and_ends_the_connection(autojump_clock: object) -> None:
    async def breaks(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        await exchange.send(b"one")
        await exchange.end(b"two", broken=True)

    answer = await answer_to(GET + GET, breaks)
    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n")


async def test_an_upgrade_is_ignored_and_answered_as_http_1_1(autojump_clock: object) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    answer = await answer_to(b"POST / HTTP/1.1\r\n%b%bContent-Length: 3\r\n\r\nabc" % (HOST, upgrade) + GET_AND_CLOSE)
    assert b"POST / 3" in answer
    assert b"GET / 0" in answer


# -- request bodies -----------------------------------------------------------------------------------------------


async def test_a_client_that_expects_100_continue_is_told_to(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = served.connect()
        await client.send(b"POST / HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" % HOST)
        assert await client.receive() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(b"abc")
        assert (await read_until(client, b"POST / 3")).startswith(b"HTTP/1.1 200 OK")


async def test_it_is_not_told_to_when_nobody_wants_the_body(autojump_clock: object) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.respond(401, TEXT, b"no")

    answer = await answer_to(b"POST / HTTP/1.1\r\n%bExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" % HOST, refuse)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_past_the_limit_is_refused_and_not_kept(chunked: bool, autojump_clock: object) -> None:
    async def small(exchange: Exchange) -> None:
        with pytest.raises(BodyTooLarge):
            await exchange.body(1000)
        await exchange.respond(413, TEXT, b"too large")

    body = b"5dc\r\n" + b"x" * 1500 + b"\r\n" if chunked else b"x" * 1500
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 1000000"
    async with serving(small) as served:
        client = served.connect()
        await client.send(b"POST / HTTP/1.1\r\n%b%b\r\n\r\n%b" % (HOST, framing, body))
        assert b"413" in await read_until(client, b"too large")
        await client.send(b"x" * 5000)  # goes on all the same, and is read away
        assert await client.receive() == b""


async def test_a_body_nobody_reads_stops_at_a_ceiling_and_the_client_can_still_leave(autojump_clock: object) -> None:
    gone = trio.Event()

    async def never_reads(exchange: Exchange) -> None:
        try:
            await trio.sleep_forever()
        finally:
            gone.set()

    async with serving(never_reads) as served:
        client = served.connect()
        await client.send(b"POST / HTTP/1.1\r\n%bContent-Length: 100000000\r\n\r\n" % HOST)
        with trio.move_on_after(1):
            while True:
                await client.send(b"x" * 10_000)
        receiving = served.h1().reader.receiving
        assert receiving is not None
        assert UNREAD_BYTES < len(receiving.body) <= UNREAD_BYTES + 65536
        client.shutdown()
        await gone.wait()


async def test_a_body_that_stops_arriving_times_out(autojump_clock: object) -> None:
    async def waits(exchange: Exchange) -> None:
        with pytest.raises(RequestTimeout):
            await exchange.body(1000)
        await exchange.respond(408, TEXT, b"slow")

    answer = await answer_to(b"POST / HTTP/1.1\r\n%bContent-Length: 3\r\n\r\nab" % HOST, waits)
    assert answer.startswith(b"HTTP/1.1 408")


async def test_a_malformed_body_is_the_handlers_to_answer_and_ends_the_connection(autojump_clock: object) -> None:
    async def reads(exchange: Exchange) -> None:
        with pytest.raises(InvalidRequest, match="chunk size"):
            await exchange.body(1000)
        await exchange.respond(400, TEXT, b"bad")

    answer = await answer_to(b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\nxyz\r\n" % HOST + GET, reads)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


# -- hostile input ------------------------------------------------------------------------------------------------


def is_in_the_body(data: bytes) -> bool:
    head, blank, _ = data.partition(b"\r\n\r\n")
    reader = RequestReader(Limits())
    reader.feed(head + blank)
    return reader.failure is None and bool(reader.requests)


IN_THE_HEAD = [name for name, (_, data) in MALFORMED.items() if not is_in_the_body(data)]
"""The others have a head that is fine, so that a handler answers."""


@pytest.mark.parametrize("name", [name for name in IN_THE_HEAD if MALFORMED[name][0] != 431])
async def test_a_malformed_request_is_answered_in_the_error_shape_and_the_connection_closed(
    name: str, autojump_clock: object
) -> None:
    status, data = MALFORMED[name]
    head, _, body = (await answer_to(data)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"connection: close" in head
    assert b"content-length: %d" % len(body) in head
    assert json.loads(body)["error"]["code"] == status


@pytest.mark.parametrize("name", [name for name in IN_THE_HEAD if MALFORMED[name][0] == 431])
async def test_more_head_than_the_limits_allow_is_431(name: str, autojump_clock: object) -> None:
    assert (await answer_to(MALFORMED[name][1])).startswith(b"HTTP/1.1 431 ")


async def test_requests_before_a_malformed_one_are_answered(autojump_clock: object) -> None:
    answer = await answer_to(GET + b"GARBAGE\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 400" in answer


async def test_a_client_that_leaves_behind_garbage_still_cancels_what_it_asked_for(autojump_clock: object) -> None:
    gone = trio.Event()

    async def waits(exchange: Exchange) -> None:
        try:
            await trio.sleep_forever()
        finally:
            gone.set()

    async with serving(waits) as served:
        client = served.connect()
        await client.send(GET + b"GARBAGE\r\n\r\n")
        await settle()
        assert not gone.is_set()
        client.close()
        await gone.wait()


async def test_a_refused_client_may_send_on_for_a_while_but_not_for_ever(autojump_clock: object) -> None:
    async with serving(hello) as served:
        client = served.connect()
        await client.send(b"GARBAGE\r\n\r\n")
        assert (await client.receive()).startswith(b"HTTP/1.1 400")
        assert await client.receive() == b""  # FIN comes at once
        with pytest.raises(ConnectionBroke):
            await client.send(bytes(2 * LINGER_BYTES))


# -- time limits --------------------------------------------------------------------------------------------------


async def test_half_a_head_times_out_with_408(mock_clock: trio.testing.MockClock) -> None:
    mock_clock.autojump_threshold = 0
    async with serving(hello, sweep=True) as served:
        client = served.connect()
        await client.send(b"GET / HT")
        before = trio.current_time()
        answer = await read_to_end(client)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert Limits().head_s <= trio.current_time() - before <= Limits().head_s + 4


async def test_a_head_that_drips_times_out_too_also_on_a_used_connection(autojump_clock: object) -> None:
    async with serving(hello, sweep=True) as served:
        client = served.connect()
        await client.send(GET)
        await read_until(client, b"GET / 0")
        await trio.sleep(60)  # idle is something else
        for byte in GET[: int(Limits().head_s) + 2]:
            await client.send(bytes((byte,)))
            await trio.sleep(1)
        assert (await read_to_end(client)).startswith(b"HTTP/1.1 408 ")


async def test_the_second_of_two_requests_may_be_late_while_the_first_is_answered(autojump_clock: object) -> None:
    async def slow(exchange: Exchange) -> None:
        await trio.sleep(100)
        await exchange.respond(200, TEXT, b"ok")

    async with serving(slow, sweep=True) as served:
        client = served.connect()
        await client.send(GET + b"GET / HT")
        await read_until(client, b"ok")
        await trio.sleep(3)
        await client.send(b"TP/1.1\r\n" + HOST + b"\r\n")
        assert (await read_until(client, b"ok")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("first", [b"", b"\r\n", GET])
async def test_an_idle_connection_is_closed_without_a_word(first: bytes, autojump_clock: object) -> None:
    async with serving(hello, sweep=True) as served:
        client = served.connect()
        await client.send(first)
        with trio.fail_after(Limits().keepalive_s + 5):
            answer = await read_to_end(client)
    assert answer.count(b"HTTP/1.1") == (1 if first == GET else 0)


async def test_a_connection_that_is_being_answered_is_not_idle(autojump_clock: object) -> None:
    async def slow(exchange: Exchange) -> None:
        await trio.sleep(10_000)
        await exchange.respond(200, TEXT, b"ok")

    async with serving(slow, sweep=True) as served:
        client = served.connect()
        await client.send(GET)
        assert (await read_until(client, b"ok")).startswith(b"HTTP/1.1 200")


# -- handlers that misbehave ----------------------------------------------------------------------------------------


async def test_a_handlers_bug_is_a_500_and_the_connection_goes_on(autojump_clock: object) -> None:
    async def bug(exchange: Exchange) -> None:
        if exchange.path == "/bug":
            raise LookupError("bug")
        await exchange.respond(200, TEXT, b"fine")

    async with serving(bug) as served:
        served.expects_crashes = True
        client = served.connect()
        await client.send(b"GET /bug HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        answer = await read_until(client, b"fine")
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"bug" not in answer
        (crash,) = served.crashes
        assert isinstance(crash, LookupError)
        assert served.server.statistics().crashed == 1


async def test_a_bug_in_a_task_of_the_request_counts_as_the_handlers(autojump_clock: object) -> None:
    async def fails() -> None:
        raise LookupError("bug")

    async def handler(exchange: Exchange) -> None:
        exchange.nursery.start_soon(fails)
        await trio.sleep_forever()

    async with serving(handler) as served:
        served.expects_crashes = True
        client = served.connect()
        await client.send(GET)
        assert (await client.receive()).startswith(b"HTTP/1.1 500 ")


async def test_a_task_that_a_request_leaves_behind_ends_with_it_and_the_next_request_has_its_own_nursery(
    autojump_clock: object,
) -> None:
    nurseries: list[trio.Nursery] = []
    left_behind: list[str] = []

    async def linger() -> None:
        try:
            await trio.sleep_forever()
        finally:
            left_behind.append("ended")

    async def handler(exchange: Exchange) -> None:
        assert not exchange.nursery.child_tasks
        assert not exchange.nursery.cancel_scope.cancel_called
        nurseries.append(exchange.nursery)
        if exchange.path == "/leaves":
            exchange.nursery.start_soon(linger)
            await trio.lowlevel.checkpoint()
        await exchange.respond(200, TEXT, exchange.path.encode())

    async with serving(handler) as served:
        client = served.connect()
        for path in (b"/plain", b"/leaves", b"/next"):
            await client.send(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            await read_until(client, path)
        assert left_behind == ["ended"]
        assert nurseries[0] is nurseries[1]  # nothing was left in it
        assert nurseries[1] is not nurseries[2]


async def test_a_bug_in_the_middle_of_a_stream_breaks_the_stream(autojump_clock: object) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        await exchange.send(b"one")
        raise LookupError("bug")

    async with serving(handler) as served:
        served.expects_crashes = True
        client = served.connect()
        await client.send(GET)
        assert (await read_to_end(client)).endswith(b"3\r\none\r\n")


async def test_a_handler_that_gives_no_answer_has_a_bug(autojump_clock: object) -> None:
    async def handler(exchange: Exchange) -> None:
        return

    async with serving(handler) as served:
        served.expects_crashes = True
        client = served.connect()
        await client.send(GET)
        assert (await client.receive()).startswith(b"HTTP/1.1 500 ")
        assert "no answer" in str(served.crashes)


async def test_a_second_answer_to_one_request_is_a_bug_and_does_not_reach_the_client(autojump_clock: object) -> None:
    async def handler(exchange: Exchange) -> None:
        await exchange.respond(200, TEXT, b"one")
        await exchange.respond(200, TEXT, b"two")

    async with serving(handler) as served:
        served.expects_crashes = True
        client = served.connect()
        await client.send(GET)
        assert b"two" not in await read_until(client, b"one")
        await settle()
        assert served.crashes


async def test_tasks_of_a_request_end_with_it(autojump_clock: object) -> None:
    ended = trio.Event()

    async def lingers() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async def handler(exchange: Exchange) -> None:
        exchange.nursery.start_soon(lingers)
        await exchange.respond(200, TEXT, b"ok")

    async with serving(handler) as served:
        client = served.connect()
        await client.send(GET)
        await read_until(client, b"ok")
        await ended.wait()


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
        client = served.connect()
        await client.send(GET)
        assert (await client.receive()).startswith(b"HTTP/1.1 500 ")
        with trio.fail_after(5):
            await ended.wait()


async def test_nothing_follows_a_write_that_was_cancelled_half_way(autojump_clock: object) -> None:
    async def gives_up(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        with trio.move_on_after(5):
            await exchange.send(b"x" * 200_000)
        await exchange.send(b"sorry")
        await exchange.end()

    async with serving(gives_up) as served:
        client = served.connect()
        await client.send(GET + GET)
        await trio.sleep(10)
        answer = await read_to_end(client)
        assert b"sorry" not in answer
        assert answer.count(b"HTTP/1.1") == 1
        assert answer.endswith(b"x")


async def test_a_handler_that_never_waits_lets_others_have_their_turn(autojump_clock: object) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        while True:
            await exchange.send(b"x")

    async with serving(endless) as served:
        client = served.connect(buffer_bytes=1 << 40)
        await client.send(GET)
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        client.close()  # it is noticed, or this test hangs


async def test_five_hundred_slow_readers_keep_one_chunk_each_and_harm_nobody(autojump_clock: object) -> None:
    handed_over = dict.fromkeys(range(500), 0)

    async def endless(exchange: Exchange) -> None:
        if exchange.path == "/hello":
            await exchange.respond(200, TEXT, b"hello")
            return
        await exchange.start(200, TEXT)
        while True:
            await exchange.send(b"x" * 5000)
            handed_over[int(exchange.path[1:])] += 5000

    async with serving(endless) as served:
        for n in range(500):
            await served.connect(buffer_bytes=20_000).send(b"GET /%d HTTP/1.1\r\n%b\r\n" % (n, HOST))
        await trio.sleep(10)
        assert all(0 < size <= 20_000 for size in handed_over.values())  # no more than the network took
        other = served.connect()
        await other.send(b"GET /hello HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await read_until(other, b"hello")).startswith(b"HTTP/1.1 200")


# -- draining -----------------------------------------------------------------------------------------------------


async def test_draining_lets_an_answer_finish_and_closes_idle_and_silent_connections(autojump_clock: object) -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.start(200, TEXT)
        await trio.sleep(20)
        await exchange.end(b"done")

    async with serving(slow) as served:
        busy, idle, silent = served.connect(), served.connect(), served.connect()
        await busy.send(GET)
        await idle.send(b"\r\n")
        await trio.sleep(1)
        served.server.drain()
        with trio.fail_after(1):
            assert await read_to_end(idle) == b""
            assert await read_to_end(silent) == b""
        assert (await read_to_end(busy)).endswith(b"4\r\ndone\r\n0\r\n\r\n")


async def test_a_draining_server_says_so_in_answers_that_have_not_begun(autojump_clock: object) -> None:
    async def slow(exchange: Exchange) -> None:
        await trio.sleep(5)
        await exchange.respond(200, TEXT, b"ok")

    async with serving(slow) as served:
        client = served.connect()
        await client.send(GET + GET)
        await trio.sleep(1)
        served.server.drain()
        answer = await read_to_end(client)
        assert answer.count(b"HTTP/1.1 200") == 1
        assert b"connection: close" in answer

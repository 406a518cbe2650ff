"""Whoever ends an exchange in the very turn in which it gets its connection ends it: nothing is sent, nothing stays."""

from __future__ import annotations

import trio
import trio.testing

from hoosh.errors import Unavailable
from hoosh.http.client import Pool
from hoosh.http.deadlines import Timeouts
from hoosh.http.message import HttpRequest, Origin, RequestHead
from hoosh.http.wire import Wire
from hoosh.testing.network import MemoryNetwork

ORIGIN = Origin("http", "host", 80)


class Late:
    """Its connection is there when the test says so."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.there = trio.Event()
        self._dialer = network.dialer()

    async def dial(self, origin: Origin, tls: object) -> Wire:
        wire = await self._dialer.dial(origin, None)
        await self.there.wait()
        return wire


async def test_an_interruption_that_comes_with_the_connection_is_not_lost(autojump_clock):
    heard: list[bytes] = []

    async def listen(wire: Wire) -> None:
        while data := await wire.receive():
            heard.append(data)

    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        network.listen("host:80", listen)
        late = Late(network)
        pool = Pool(ORIGIN, dialer=late, http2="off")
        await nursery.start(pool.run)
        exchange = pool.exchange(HttpRequest(RequestHead(ORIGIN, "GET", "/")), Timeouts(10, 10, 10, 20))
        ends: list[str] = []

        async def use() -> None:
            try:
                async with exchange:
                    ends.append("answered")
            except Unavailable as error:
                ends.append(str(error))

        nursery.start_soon(use)
        await trio.testing.wait_all_tasks_blocked()
        late.there.set()
        exchange.interrupt(Unavailable("the owner has had enough"))
        with trio.fail_after(5):
            while not ends:
                await trio.sleep(0.1)
        assert (ends, heard) == (["the owner has had enough"], [])
        assert pool.statistics().open == 0
        nursery.cancel_scope.cancel()

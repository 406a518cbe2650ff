"""How `bench` times and judges one request: to the second, in memory, on a mock clock."""

from __future__ import annotations

import pytest
import trio

from hoosh.cli.bench.load import Asker
from hoosh.cli.bench.plan import Plan
from hoosh.cli.bench.tally import Tally
from hoosh.cli.place import Place
from hoosh.http.client import Pool
from hoosh.http.message import Origin
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import Cut, FakeUpstream, Hang, Pause, Reset, Script, json_reply, sse_chat, with_pauses

ORIGIN = Origin("http", "server", 80)
PLAN = Plan(
    place=Place(ORIGIN, "", "http://server", []),
    model="m",
    concurrency=1,
    requests=1,
    seconds=None,
    body=(b'{"n":', b"}"),
    is_same=False,
    stream=True,
    warm_up=0,
    timeout_s=60.0,
    http2=False,
)


async def asked(nursery: trio.Nursery, *scripts: Script, times: int = 1) -> tuple[Tally, FakeUpstream]:
    """What is noted after so many requests, and who was asked."""
    network, upstream, tally = MemoryNetwork(nursery), FakeUpstream(*scripts), Tally()
    network.listen(ORIGIN, upstream.serve_wire)
    pool = Pool(ORIGIN, dialer=network.dialer(), http2="off")
    await nursery.start(pool.run)
    asker = Asker(PLAN, pool)
    for _ in range(times):
        await asker.ask(tally)
    nursery.cancel_scope.cancel()
    return tally, upstream


async def test_first_content_gaps_and_the_whole_are_timed_where_they_arrive(autojump_clock, nursery):
    tally, upstream = await asked(nursery, with_pauses(sse_chat("a", "b", "c"), 2.0), times=2)
    assert (tally.good, tally.failures) == (2, {})
    assert (tally.first.least_s, tally.first.greatest_s) == (2.0, 2.0)
    assert (tally.gaps.count, tally.gaps.least_s, tally.gaps.greatest_s) == (4, 2.0, 2.0)
    assert tally.whole.greatest_s == 10.0
    assert (tally.prompt_tokens, tally.completion_tokens, tally.chunks) == (2, 6, 6)
    assert [request.body for request in upstream.requests] == [b'{"n":1}', b'{"n":2}']
    assert upstream.connections == 1


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ([Cut()], "connection broke"),
        ([*sse_chat("a")[:2], Pause(1.0), Reset()], "cut short"),
        ([*sse_chat("a")[:2], Pause(1.0), Cut()], "cut short"),
        (sse_chat("a", done=False), "cut short"),
        ([Hang()], "too slow"),
        ([*sse_chat("a")[:2], Hang()], "too slow"),
        ([b"no HTTP at all\r\n\r\n"], "not HTTP"),
        (json_reply({"hello": "world"}), "not understood"),
        (json_reply([], status=503), "status 503"),
    ],
)
async def test_what_went_wrong_is_named(script, kind, autojump_clock, nursery):
    tally, _ = await asked(nursery, script)
    assert (tally.good, tally.failures) == (0, {kind: 1})
    assert tally.whole.count == 0


async def test_nobody_there_is_a_kind_of_its_own(autojump_clock, nursery):
    tally = Tally()
    pool = Pool(ORIGIN, dialer=MemoryNetwork(nursery).dialer(), http2="off")
    await nursery.start(pool.run)
    await Asker(PLAN, pool).ask(tally)
    nursery.cancel_scope.cancel()
    assert tally.failures == {"cannot connect": 1}

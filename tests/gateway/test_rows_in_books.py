"""What the row of a request says of how it ended."""

from __future__ import annotations

from typing import Any

import trio
from gateway_house import CHAT, FakeUpstream, house_with

from hoosh.testing.upstream import End, Hang, sse_chat
from hoosh.values import Settlement

STREAM: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "salam"}], "stream": True}


async def test_who_has_got_all_of_a_stream_and_leaves_before_its_upstream_is_done_has_not_left(autojump_clock):
    upstream = FakeUpstream([step for step in sse_chat("sa", "lam") if not isinstance(step, End)] + [Hang()])
    rows: list[Settlement] = []
    async with house_with(upstream) as house:
        put = house.gateway.books.put
        house.gateway.books.put = lambda row, *more: (rows.append(row), put(row, *more))[1]
        got = b""
        async with house.exchange(CHAT, STREAM, headers=[(b"connection", b"close")]) as response:
            while not got.endswith(b"data: [DONE]\n\n"):
                got += await response.receive()
        await trio.sleep(1)
    assert [row.outcome for row in rows] == ["ok"]

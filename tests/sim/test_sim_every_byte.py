"""A client that goes after any byte of its stream: one row, for what had gone by then."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import pytest
import trio
from sim_books import check_books
from sim_streams import WIRES, Told, config_of, stream
from sim_upstream import PROMPT_TOKENS, WORD, Wire
from sim_world import dice, world

from hoosh.config import Budget
from hoosh.testing.upstream import Body, End, FakeUpstream, Head, Pause, Received, Step
from hoosh.values import Settlement

PIECES = 4
STEP = int(os.environ.get("HOOSH_BYTE_STEP", 13))
"""From one byte to the next that a client goes after; 1 for every one."""
ROADS = {
    "openai": ("chat", "oai-1"),
    "anthropic": ("messages", "claude-1"),
    "openai to anthropic": ("chat", "claude-1"),
    "anthropic to openai": ("messages", "oai-1"),
}
COUNTED = (PROMPT_TOKENS, PIECES)


class OneByOne:
    """A reply of one token an event, each event at its time."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def __iter__(self) -> Iterator[Step]:
        wire = self._wire
        yield Head(200, [(b"content-type", wire.stream_type)])
        for event in (*wire.opening(), *([wire.piece(None)] * PIECES), *wire.finish(PIECES), wire.terminator):
            yield Pause(1)
            yield Body(event)
        yield End()


def talker() -> FakeUpstream:
    def script(request: Received) -> Sequence[Step]:
        return OneByOne(WIRES[request.target])  # type: ignore[return-value]

    return FakeUpstream(script)


@pytest.mark.parametrize("http2", [False, True], ids=["h1", "h2"])
@pytest.mark.parametrize("road", ROADS)
async def test_a_client_killed_at_any_byte_pays_for_what_has_gone_by(road, http2, autojump_clock):
    language, model = ROADS[road]
    upstreams = {"one:80": talker(), "two:80": talker()}
    with dice(1):
        async with world(config_of(Budget(name="small", capacity=10**6)), upstreams) as sim:
            whole = await stream(sim, language=language, model=model, http2=http2)
            assert whole.pieces == PIECES
            killed: list[Told] = []

            async def kill(after_bytes: int) -> None:
                pool = ("default", "small")[after_bytes // STEP % 2]
                killed.append(
                    await stream(
                        sim, language=language, model=model, http2=http2, pool=pool, leaves_after_bytes=after_bytes
                    )
                )

            async with trio.open_nursery() as nursery:
                offsets = [*range(1, len(whole.body), STEP), len(whole.body)]
                for after_bytes in offsets:
                    nursery.start_soon(kill, after_bytes)
            await sim.wait_quiet()
            rows = await check_books(sim)
    assert len(rows) == len(offsets) + 1
    for each in killed:
        check_row(rows[each.request_id], each, whole)


def check_row(row: Settlement, told: Told, whole: Told) -> None:
    relayed = told.pieces
    assert abs(row.usage.completion_tokens - relayed) <= 1, (told, row)
    if relayed:
        assert row.usage.prompt_tokens > 0, (told, row)
    if told.body == whole.body[: len(told.body)] and WORD.encode() not in told.body:
        assert row.usage.completion_tokens <= 1, (told, row)
    assert row.charge == row.usage.total_tokens
    if len(told.body) == len(whole.body):
        assert (row.usage.prompt_tokens, row.usage.completion_tokens) == COUNTED

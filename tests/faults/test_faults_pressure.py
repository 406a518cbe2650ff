"""D11 and D12: who reads slowly stops his own upstream and nobody else; who asks much is looked at once.

What the gateway holds of a stream is what its upstream could send, less what its client has read, less what the wires
between them hold, as a kernel would:

    upstream ──wire──▶ gateway ──wire──▶ client
      sent   ≤ 64 KiB   held    ≤ 64 KiB   read          held = sent - read - wires

All in memory on a mock clock.  Resident memory of a real process, and how long small streams wait beside large prompts,
is measured by `just bench --only pressure`.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from faults_house import CHAT
from faults_memory import ask, member, quick_house

from hoosh.budget import Budget
from hoosh.config import Alias, Http2, Routing
from hoosh.gateway import books, caching
from hoosh.gateway.said import Said
from hoosh.http.memory import BUFFER_BYTES
from hoosh.testing.faults import Asked, FaultyUpstream
from hoosh.testing.house import MemoryHouse
from hoosh.testing.leftovers import Leftovers
from hoosh.testing.upstream import Body, Head, Pause, Script, Step, with_pauses

HELD_BYTES = 64 * 1024
"""Of each stream, in the gateway."""
BIG_BYTES = 10 * 1024 * 1024
MARK = "Q"
"""A sign that is in no key of any language: what has been sent and what has been read is counted by it."""
PIECE = MARK * 1000
PATHS = {"openai": (CHAT, {}), "anthropic": ("/v1/messages", {"max_tokens": 10**6})}


class Endless(list[Step]):
    """A stream of `BIG_BYTES`, made as it is sent, which knows how much of it has been asked for."""

    def __init__(self, upstream: FaultyUpstream, asked: Asked) -> None:
        super().__init__()
        self._upstream, self._asked = upstream, asked
        self.sent_bytes = 0

    def __iter__(self) -> Iterator[Step]:
        voice = self._upstream.voice
        yield Head(200, [(b"content-type", voice.stream_type)])
        yield from [Body(event) for event in voice.opening(self._asked.model)]
        while self.sent_bytes < BIG_BYTES:
            yield Body(voice.piece(PIECE))
            self.sent_bytes += len(PIECE)


class Big(FaultyUpstream):
    """Its model `big` streams without end; by the number that its prompt says."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[str, Endless] = {}
        self.faults |= {"big": self._begin, "small": lambda upstream, asked: with_pauses(upstream.answer(asked), 0.01)}

    def _begin(self, _: FaultyUpstream, asked: Asked) -> Script:
        number = asked.body["messages"][-1]["content"]
        self.streams[number] = stream = Endless(self, asked)
        return stream


async def read_a_little(
    house: MemoryHouse, number: int, language: str, fields: dict[str, Any], read: dict[str, int]
) -> None:
    """Some of the answer, and then no more."""
    path, needed = PATHS[language]
    messages = [{"role": "user", "content": str(number)}]
    body = {"model": "big", "stream": True, "messages": messages, **needed, **fields}
    async with house.exchange(path, json.dumps(body).encode()) as response:
        assert response.status == 200
        while read[str(number)] < 20_000:
            read[str(number)] += (await response.receive()).count(MARK.encode())
        await trio.sleep_forever()


WINDOW_BYTES = 65_535
"""Of a client's HTTP/2 stream: what it has not read it holds itself."""
FLIGHT_BYTES = 3 * 64 * 1024
"""Of a flight, beyond what its members have taken: so much it may be ahead, a block, and a piece on its way out."""
CASES: dict[str, dict[str, Any]] = {
    "the same language": {"count": 500},
    "another language": {"language": "anthropic"},
    "an HTTP/2 client": {"client_h2": True},
    "an HTTP/2 upstream": {"upstream_h2": True},
    "a rescue at hand": {"targets": ("host/big", "other/big")},
    "a flight": {"fields": {"temperature": 0}, "held_bytes": FLIGHT_BYTES},
}


@pytest.mark.parametrize("case", CASES)
async def test_d11_who_does_not_read_is_not_read_for(case, autojump_clock):
    await no_one_is_read_for(**CASES[case])


async def no_one_is_read_for(
    *,
    count: int = 100,
    language: str = "openai",
    client_h2: bool = False,
    upstream_h2: bool = False,
    targets: tuple[str, ...] = ("host/big",),
    fields: dict[str, Any] | None = None,
    held_bytes: int = HELD_BYTES,
) -> None:
    upstream, leftovers = Big(), Leftovers(Said)
    host = member("host", http2=Http2.PRIOR) if upstream_h2 else member("host")
    models = (Alias("m", ("host/small",)), Alias("big", targets))
    settings: dict[str, Any] = {"models": models, "providers": [host, member("other")]}
    async with quick_house({"host": upstream, "other": Big()}, http2=client_h2, **settings) as house:
        if upstream_h2:
            house.network.listen("host:80", upstream.serve_wire_h2)
        read = {str(number): 0 for number in range(count)}
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(read_a_little, house, number, language, fields or {}, read)
            await trio.sleep(5.0)
            assert len(upstream.streams) == count
            allowed = held_bytes + 2 * BUFFER_BYTES + client_h2 * WINDOW_BYTES
            held = {number: stream.sent_bytes - read[number] for number, stream in upstream.streams.items()}
            print(f"sent and not read: at most {max(held.values())}, on average {sum(held.values()) // count}")
            assert max(held.values()) < allowed
            assert max(map(kept_by, leftovers.now()), default=0) < HELD_BYTES
            await must_be_unharmed(house)
            nursery.cancel_scope.cancel(reason="seen enough")


async def must_be_unharmed(house: MemoryHouse) -> None:
    """A stream beside them takes as long as its upstream does."""
    came = await ask(house, "m")
    came.heard.must_be_whole()
    alone_s = 0.01 * (came.heard.body.count(b"data:") - 1)
    assert came.whole_s == pytest.approx(alone_s, abs=0.001)


async def test_d11_what_is_held_is_held_once(autojump_clock):
    """In bytes that are really allocated: a block that waits to be sent must not be there in four copies.

    What wires hold is left out, as a kernel's buffers are; so is what an open stream takes that holds nothing.
    """
    upstream, count = Big(), 50
    async with quick_house({"host": upstream}, models=(Alias("big", ("host/big",)),)) as house:
        read = {str(number): 0 for number in range(count)}
        async with trio.open_nursery() as nursery:
            tracemalloc.start()
            try:
                for number in range(count):
                    nursery.start_soon(read_a_little, house, number, "openai", {}, read)
                await trio.sleep(5.0)
                blocks = tracemalloc.take_snapshot().filter_traces(IN_THE_GATEWAY).traces
            finally:
                tracemalloc.stop()
            nursery.cancel_scope.cancel(reason="seen enough")
    held_bytes = sum(block.size for block in blocks if block.size >= LARGE_BYTES) // count
    print(f"{held_bytes} bytes of each stream")
    assert held_bytes < HELD_BYTES


LARGE_BYTES = 2048
IN_THE_GATEWAY = [
    tracemalloc.Filter(inclusive=False, filename_pattern=f"*/hoosh/{path}") for path in ("http/memory.py", "testing/*")
] + [tracemalloc.Filter(inclusive=False, filename_pattern="*/tests/*")]


def kept_by(said: Any) -> int:
    assert isinstance(said, Said)
    return sum(map(len, said._raw)) + len(said._text)


# -- D12 ---------------------------------------------------------------------------------------------------------

PROMPT = "A prompt of four hundred thousand signs, " * 10_000


async def test_d12_a_large_prompt_is_read_weighed_and_hashed_once_however_often_it_is_asked(
    monkeypatch, autojump_clock
):
    """The upstreams fail, are hedged, are asked again: that is no reason to look at the prompt again."""
    looks = {"read": 0, "weigh": 0, "digest_of": 0}

    def count(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def counted(*args: Any, **named: Any) -> Any:
            looks[name] += 1
            return plain(*args, **named)

        monkeypatch.setattr(owner, name, counted)

    upstreams = {name: FaultyUpstream() for name in ("one", "two", "three")}
    upstreams["one"].faults["m"] = lambda upstream, asked: upstream.refuse("overloaded")
    upstreams["two"].faults["m"] = lambda upstream, asked: [Pause(9.0), *upstream.answer(asked)]
    settings: dict[str, Any] = {
        "models": (Alias("m", ("one/m", "two/m", "three/m")),),
        "routing": Routing(hedge_after_ms=100, hedge_max_ratio=1.0),
        "budgets": (Budget(name="default", capacity=10**9),),
    }
    async with quick_house(upstreams, **settings) as house:
        count(house.gateway.downstream("openai"), "read")
        count(books, "weigh")
        count(caching, "digest_of")
        messages = [{"role": "user", "content": PROMPT}]
        came = await ask(house, "m", messages=messages, temperature=0)
        came.heard.must_be_whole()
    assert [len(upstream.asked) for upstream in upstreams.values()] == [1, 1, 1]
    assert looks == {"read": 1, "weigh": 1, "digest_of": 1}

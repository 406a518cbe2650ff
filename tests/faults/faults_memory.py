"""A house in memory for inference alone, its upstreams by name, and a client that says when things came.

    async with quick_house({"a": FaultyUpstream(), "b": FaultyUpstream()}, strategy settings…) as house:
        came = await ask(house, "m", stream=True)

Without the cold half of a house (`memory_house` has it): hundreds of these are opened.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
from faults_house import CHAT, Heard, plain_failures, provider
from msgspec import Struct
from msgspec.structs import replace

from hoosh.api.serve import build_server
from hoosh.config import Config, Discovery, Logging, Provider, Timeouts
from hoosh.errors import TransportError
from hoosh.gateway.assembly import open_gateway
from hoosh.http.client import Pool
from hoosh.http.message import Header, Headers
from hoosh.testing.house import GATEWAY, MemoryHouse
from hoosh.testing.machines import FakeMachine
from hoosh.testing.network import MemoryNetwork
from hoosh.testing.upstream import FakeUpstream

__all__ = ["USER", "Came", "ask", "member", "quick_house"]

USER = [{"role": "user", "content": "Tell me all of it."}]


def member(name: str, *, timeouts: Timeouts | None = None, **changes: Any) -> Provider:
    """A provider of the house, which speaks OpenAI's language."""
    return replace(provider(name, "openai", f"{name}:80", timeouts or Timeouts()), **changes)


@asynccontextmanager
async def quick_house(
    upstreams: Mapping[str, FakeUpstream],
    *,
    providers: Sequence[Provider] = (),
    connect_s: Mapping[str, float] | None = None,
    http2: bool = False,
    chance: Random | None = None,
    **settings: Any,
) -> AsyncIterator[MemoryHouse]:
    """`providers` are those of `upstreams`, where they are not plain; `connect_s` says whose connections take long."""
    quiet = {"discovery": Discovery(local=False, environment=False), "logging": Logging(level="error")}
    config = Config(providers=tuple(providers or map(member, upstreams)), **{**quiet, **settings})
    with plain_failures():
        async with trio.open_nursery() as nursery:
            network = MemoryNetwork(nursery)
            for name, upstream in upstreams.items():
                network.listen(f"{name}:80", upstream.serve_wire, connect_s=(connect_s or {}).get(name, 0.0))
            async with open_gateway(
                config, dialer=network.dialer(), environ={}, chance=chance, looks=FakeMachine()
            ) as gateway:
                server, _ = build_server(gateway)
                nursery.start_soon(server.sweep)
                network.listen(GATEWAY, server.serve_wire)
                client = Pool(GATEWAY, dialer=network.dialer(), http2="prior" if http2 else "off")
                await nursery.start(client.run)
                yield MemoryHouse(gateway, network, server, client)
            nursery.cancel_scope.cancel(reason="the test is over")


class Came(Struct):
    """What a client has heard, and after how many seconds."""

    heard: Heard
    head_s: float = 0.0
    first_s: float = 0.0
    whole_s: float = 0.0


async def ask(
    house: MemoryHouse, model: str, *, stream: bool = True, headers: Sequence[Header] = (), **fields: Any
) -> Came:
    """A chat, to its end.  What breaks on the way is in `heard.broke`."""
    body: dict[str, Any] = {"model": model, "messages": USER, "stream": stream, **fields}
    if stream:
        body["stream_options"] = {"include_usage": True}
    came, began_s = Came(Heard(stream, 0, Headers([]))), trio.current_time()
    try:
        async with house.exchange(CHAT, json.dumps(body).encode(), headers=headers) as response:
            came.heard.status, came.heard.headers = response.status, response.headers
            came.head_s = trio.current_time() - began_s
            while data := await response.receive():
                came.first_s = came.first_s or trio.current_time() - began_s
                came.heard.body += data
    except TransportError as error:
        came.heard.broke = str(error)
    came.whole_s = trio.current_time() - began_s
    return came

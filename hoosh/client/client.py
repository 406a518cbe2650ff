"""The two faces of the client: HooshClient waits (Trio or asyncio), SyncHooshClient blocks.

    async with HooshClient() as client:                          with SyncHooshClient() as client:
        answer = await client.chat("salam", model="echo")            answer = client.chat("salam", model="echo")

What can be asked, with which arguments, is written in `chats.py`, `desks.py` and `sound.py`, once for both.
"""

from __future__ import annotations

import ssl
from random import Random
from types import TracebackType
from typing import Any, Self

import httpx

from hoosh.client import chats, desks, sound
from hoosh.client.address import find_address, http_options
from hoosh.client.blocking import SyncCarrier
from hoosh.client.carrier import Manner
from hoosh.client.methods import Asks, Desk, Streams, SyncAsks, SyncDesk, SyncStreams
from hoosh.client.retry import Retries
from hoosh.client.waiting import AsyncCarrier

__all__ = ["HooshClient", "SyncHooshClient"]

SILENCE_S = 600.0
"""Models may think for long before they say a word; the gateway has deadlines of its own."""


# -- what waits --------------------------------------------------------------------------------------------------


class Tokens(Desk):
    """Budgets, for programs that spend from a pool without sending their requests through the gateway."""

    check = Asks(desks.check)
    reserve = Asks(desks.reserve)
    report = Asks(desks.report)
    release = Asks(desks.release)
    pools = Asks(desks.pools)


class CostDesk(Desk):
    get = Asks(desks.costs)
    estimate = Asks(desks.estimate)
    recommend = Asks(desks.recommend)
    reset = Asks(desks.reset_costs)


class Requests(Desk):
    """What runs now, and how to end it (scope `admin`)."""

    running = Asks(desks.running)
    get = Asks(desks.request)
    cancel = Asks(desks.cancel)
    cancel_all = Asks(desks.cancel_all)


class CacheDesk(Desk):
    """The response cache (scope `admin`)."""

    stats = Asks(desks.cache_state)
    clear = Asks(desks.clear_cache)


class Audio(Desk):
    transcribe = Asks(sound.transcribe)
    translate = Asks(sound.translate)
    speak = Asks(sound.speak)


class HooshClient(Desk):
    """A client of one gateway, for one event loop.  Its methods raise HooshError.

    `server` and `key` default to HOOSH_SERVER and HOOSH_API_KEY.  `timeout_s` is the deadline of calls that name none;
    `silence_s` the longest time in which nothing at all may come.  `transport` leads elsewhere than to a socket:
    `hoosh.transport(gateway)` to a gateway in this program.  Raises ValueError for an address or a key that is none.
    """

    chat = Asks(chats.chat)
    stream = Streams(chats.stream)
    complete = Asks(chats.complete)
    stream_complete = Streams(chats.stream_complete)
    embed = Asks(chats.embed)
    infer = Asks(chats.infer)
    infer_stream = Streams(chats.infer_stream)
    models = Asks(desks.models)
    model = Asks(desks.model)
    queue = Asks(desks.queue)
    health = Asks(desks.health)
    providers = Asks(desks.providers)
    ready = Asks(desks.ready)

    def __init__(
        self,
        server: str | None = None,
        *,
        key: str | None = None,
        timeout_s: float | None = None,
        silence_s: float = SILENCE_S,
        retries: Retries | int = 2,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        manner = _manner(server, key, timeout_s, silence_s, retries)
        address = manner.address
        if transport is None and address.socket_path is not None:
            transport = httpx.AsyncHTTPTransport(uds=address.socket_path)
        options = _options(manner, verify, transport)
        super().__init__(AsyncCarrier(manner, httpx.AsyncClient(**options)))
        self.tokens = Tokens(self._carrier)
        self.costs = CostDesk(self._carrier)
        self.requests = Requests(self._carrier)
        self.cache = CacheDesk(self._carrier)
        self.audio = Audio(self._carrier)

    @property
    def base_url(self) -> str:
        return self._carrier.manner.address.shown

    def __repr__(self) -> str:
        return f"HooshClient({self.base_url!r})"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._carrier.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


# -- what blocks -------------------------------------------------------------------------------------------------


class SyncTokens(SyncDesk):
    """Budgets, for programs that spend from a pool without sending their requests through the gateway."""

    check = SyncAsks(desks.check)
    reserve = SyncAsks(desks.reserve)
    report = SyncAsks(desks.report)
    release = SyncAsks(desks.release)
    pools = SyncAsks(desks.pools)


class SyncCostDesk(SyncDesk):
    get = SyncAsks(desks.costs)
    estimate = SyncAsks(desks.estimate)
    recommend = SyncAsks(desks.recommend)
    reset = SyncAsks(desks.reset_costs)


class SyncRequests(SyncDesk):
    """What runs now, and how to end it (scope `admin`)."""

    running = SyncAsks(desks.running)
    get = SyncAsks(desks.request)
    cancel = SyncAsks(desks.cancel)
    cancel_all = SyncAsks(desks.cancel_all)


class SyncCacheDesk(SyncDesk):
    """The response cache (scope `admin`)."""

    stats = SyncAsks(desks.cache_state)
    clear = SyncAsks(desks.clear_cache)


class SyncAudio(SyncDesk):
    transcribe = SyncAsks(sound.transcribe)
    translate = SyncAsks(sound.translate)
    speak = SyncAsks(sound.speak)


class SyncHooshClient(SyncDesk):
    """HooshClient for programs without an event loop: same arguments, same methods, may be shared by threads."""

    chat = SyncAsks(chats.chat)
    stream = SyncStreams(chats.stream)
    complete = SyncAsks(chats.complete)
    stream_complete = SyncStreams(chats.stream_complete)
    embed = SyncAsks(chats.embed)
    infer = SyncAsks(chats.infer)
    infer_stream = SyncStreams(chats.infer_stream)
    models = SyncAsks(desks.models)
    model = SyncAsks(desks.model)
    queue = SyncAsks(desks.queue)
    health = SyncAsks(desks.health)
    providers = SyncAsks(desks.providers)
    ready = SyncAsks(desks.ready)

    def __init__(
        self,
        server: str | None = None,
        *,
        key: str | None = None,
        timeout_s: float | None = None,
        silence_s: float = SILENCE_S,
        retries: Retries | int = 2,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        manner = _manner(server, key, timeout_s, silence_s, retries)
        address = manner.address
        if transport is None and address.socket_path is not None:
            transport = httpx.HTTPTransport(uds=address.socket_path)
        super().__init__(SyncCarrier(manner, httpx.Client(**_options(manner, verify, transport))))
        self.tokens = SyncTokens(self._carrier)
        self.costs = SyncCostDesk(self._carrier)
        self.requests = SyncRequests(self._carrier)
        self.cache = SyncCacheDesk(self._carrier)
        self.audio = SyncAudio(self._carrier)

    @property
    def base_url(self) -> str:
        return self._carrier.manner.address.shown

    def __repr__(self) -> str:
        return f"SyncHooshClient({self.base_url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._carrier.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# -- what both are opened with -----------------------------------------------------------------------------------


def _manner(
    server: str | None, key: str | None, timeout_s: float | None, silence_s: float, retries: Retries | int
) -> Manner:
    if isinstance(retries, int):
        retries = Retries(most=retries)
    return Manner(find_address(server, key), retries, timeout_s, silence_s, Random())


def _options(manner: Manner, verify: ssl.SSLContext | bool, transport: Any) -> dict[str, Any]:
    options = http_options(manner.address, verify, manner.silence_s)
    return options if transport is None else {"transport": transport, "timeout": options["timeout"]}

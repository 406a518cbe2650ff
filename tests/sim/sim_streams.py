"""Streams on a budget: upstreams that never stop talking, clients that read them as their SDKs do."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import trio
from client_forms import CLIENTS, Seen, Wish
from msgspec import Struct
from sim_upstream import CHAT, MESSAGES, WORD, Wire
from sim_world import World

from hoosh.config import Budget, Config, Discovery, Key, Logging, PriceOverride, Provider
from hoosh.errors import TransportError
from hoosh.testing.house import ONE_TRY
from hoosh.testing.upstream import Body, Head, Pause, Step
from hoosh.values import Secret

PRICE = PriceOverride(model="*", input=1.0, output=4.0)
PIECE_MICRO_USD = 4
MODELS = {"chat": "oai-1", "messages": "claude-1"}


class Endless:
    """A script without an end: blocks of a random number of events at random times."""

    def __init__(
        self,
        seed: int,
        *,
        wire: Wire = CHAT,
        most_events: int = 64,
        most_pause_s: float = 0.2,
        first_after_s: float = 0.0,
    ) -> None:
        self._seed = seed
        self._first_after_s = first_after_s
        self._wire = wire
        self._most_events, self._most_pause_s = most_events, most_pause_s

    def __iter__(self) -> Iterator[Step]:
        chance, piece = Random(self._seed), self._wire.piece(None)
        yield Pause(self._first_after_s)
        yield Head(200, [(b"content-type", self._wire.stream_type)])
        yield Body(b"".join(self._wire.opening()))
        while True:
            yield Body(piece * chance.randint(1, self._most_events))
            if chance.random() < 0.5:
                yield Pause(chance.uniform(0, self._most_pause_s))


WIRES = {"/v1/chat/completions": CHAT, "/v1/messages": MESSAGES}


def config_of(*pools: Budget, keys: tuple[Key, ...] = ()) -> Config:
    return Config(
        providers=(
            Provider(type="openai-compatible", name="one", base_url="http://one:80", models=("oai-1",)),
            Provider(type="anthropic", name="two", base_url="http://two:80", models=("claude-1",), api_key=Secret("k")),
        ),
        budgets=pools,
        keys=keys,
        prices=(PRICE,),
        discovery=Discovery(local=False, environment=False, echo=False),
        **ONE_TRY,
        logging=Logging(level="error"),
    )


class Told(Struct):
    """What a client got of its stream."""

    status: int | None = None
    request_id: str = ""
    retry_after: str | None = None
    body: bytes = b""
    has_left: bool = False
    language: str = "chat"

    def seen(self) -> Seen:
        return CLIENTS[self.language].read_stream(self.body)

    @property
    def pieces(self) -> int:
        return self.body.count(WORD.encode())


async def stream(
    sim: World,
    *,
    language: str = "chat",
    model: str = "oai-1",
    pool: str | None = None,
    key: str | None = None,
    http2: bool = False,
    leaves_after_s: float = float("inf"),
    leaves_after_bytes: int | None = None,
) -> Told:
    """Ask for a stream without a limit, and read it to its end, or until the client leaves."""
    forms, told = CLIENTS[language], Told(language=language)
    body: dict[str, Any] = forms.ask(model, Wish(stream=True))
    body.pop("max_completion_tokens", None)
    if "max_tokens" in body:  # one has to say something
        body["max_tokens"] = 250
    headers = [] if pool is None else [(b"x-hoosh-pool", pool.encode())]
    headers += [] if key is None else [(b"authorization", f"Bearer {key}".encode())]
    sim.house.client = sim.h2 if http2 else sim.h1
    with trio.move_on_after(leaves_after_s) as patience:
        try:
            async with sim.house.exchange(forms.path, body, headers=headers) as response:
                told.status = response.status
                told.request_id = response.headers.text(b"x-request-id") or ""
                told.retry_after = response.headers.text(b"retry-after")
                while data := await response.receive():
                    told.body += data
                    if leaves_after_bytes is not None and len(told.body) >= leaves_after_bytes:
                        told.has_left = True
                        break
        except TransportError:
            pass  # a stream that ends with an error is broken off
    told.has_left = told.has_left or patience.cancelled_caught
    return told

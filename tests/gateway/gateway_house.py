"""A house with one fake upstream behind it, for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from hoosh.config import Alias, Config, Discovery, Key, Logging, Provider, Server, Timeouts
from hoosh.gateway.account import Account
from hoosh.testing.house import ONE_TRY, MemoryHouse, memory_house
from hoosh.testing.upstream import FakeUpstream
from hoosh.values import Record
from hoosh.values.secret import Secret

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "salam"}]}
STREAM: dict[str, Any] = {**ASK, "stream": True}


def config(**changes: Any) -> Config:
    provider = {
        "type": "openai-compatible",
        "name": "mock",
        "base_url": "http://mock:80",
        **changes.pop("provider", {}),
    }
    return Config(
        server=changes.pop("server", Server()),
        providers=(Provider(**provider), *changes.pop("more", ())),
        discovery=Discovery(local=False, environment=False),
        logging=Logging(level="error"),
        **{**ONE_TRY, **changes},
    )


@asynccontextmanager
async def house_with(
    upstream: FakeUpstream, settings: Config | None = None, *, http2: bool = False
) -> AsyncIterator[MemoryHouse]:
    """The house, with `upstream` at mock:80.  Its records are kept in `house.records`."""
    async with memory_house(settings or config(), http2=http2) as house:
        house.network.listen("mock:80", upstream.serve_wire)
        yield house


def records_of(house: MemoryHouse) -> list[Record]:
    """Every Record from now on, as soon as its request is over."""
    kept: list[Record] = []
    put = house.gateway.recorder.put

    def keep(account: Account) -> None:
        put(account)
        kept.append(account.record())

    house.gateway.recorder.put = keep  # type: ignore[method-assign]
    return kept


def events_of(body: bytes) -> list[Any]:
    """The data of each event: decoded JSON, or the terminator as text."""
    found = []
    for event in body.split(b"\n\n"):
        if event.startswith(b"data: "):
            data = event.removeprefix(b"data: ")
            found.append("[DONE]" if data == b"[DONE]" else msgspec.json.decode(data))
    return found


def text_of(body: bytes) -> str:
    """What the streamed reply says."""
    said = ""
    for event in events_of(body):
        for choice in event.get("choices", ()) if isinstance(event, dict) else ():
            said += choice["delta"].get("content") or ""
    return said


__all__ = [
    "ASK",
    "CHAT",
    "STREAM",
    "Alias",
    "FakeUpstream",
    "Key",
    "Secret",
    "Server",
    "Timeouts",
    "config",
    "events_of",
    "house_with",
    "records_of",
    "text_of",
]

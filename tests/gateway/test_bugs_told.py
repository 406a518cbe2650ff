"""A bug whose own text is a prompt and a key: at every door it is told with its place, and without a word of that."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest
import trio
from gateway_house import ASK, CHAT, FakeUpstream, Secret, config, house_with
from msgspec.structs import replace

from hoosh.api import serve as serving
from hoosh.api.serve import create_app, run_server
from hoosh.config import Config, Discovery, Logging, Server, Webhook
from hoosh.errors import ConnectionBroke
from hoosh.events import RateLimited
from hoosh.http.client_h2 import H2Connection
from hoosh.observe import Telemetry
from hoosh.observe.bridge import Bridge
from hoosh.observe.export import Traces
from hoosh.testing.house import MemoryHouse
from hoosh.testing.upstream import json_reply

KEY = "sk-in-a-bug-55c0b1d2"
PROMPT = "my diary says xyzzy"
ANSWER = {"choices": [{"index": 0, "message": {"content": "salam"}, "finish_reason": "stop"}]}
QUIET = Discovery(local=False, environment=False)
HOOK = Webhook(
    name="oncall",
    url=Secret("http://hook:80/"),
    secret=Secret("whsec_" + base64.b64encode(b"0123456789abcdef" * 2).decode()),
    topics=("providers/rate_limit",),
)


def trip(*_: object, **__: object) -> NoReturn:
    """The bug."""
    try:
        raise KeyError(KEY)
    except KeyError as error:
        error.add_note(PROMPT)
        raise ExceptionGroup(PROMPT, [ValueError(PROMPT, KEY), OSError(KEY)]) from error


async def trip_later(*_: object, **__: object) -> NoReturn:
    await trio.lowlevel.checkpoint()
    trip()


class Said:
    """All that has been written to the two streams."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = ""

    def __call__(self) -> str:
        self._text += "".join(self._capsys.readouterr())
        return self._text

    async def until(self, word: str) -> str:
        with trio.fail_after(60):
            while word not in self():
                await trio.sleep(0.01)
        return self._text


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Said:
    # Of several houses in a process the first hears Python's logging: one that other tests share may be open.
    monkeypatch.setattr(Bridge, "current", None)
    return Said(capsys)


def check(text: str, *, place: str = "in trip") -> None:
    assert place in text
    assert KEY not in text
    assert PROMPT not in text


@asynccontextmanager
async def house(*, http2: bool = False, **more: Any) -> AsyncIterator[MemoryHouse]:
    settings = replace(config(**more), logging=Logging(format="json"))
    async with house_with(FakeUpstream(json_reply(ANSWER)), settings, http2=http2) as house:
        yield house


def at_the_hot_door(house: MemoryHouse, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(type(house.gateway), "admit", trip)


def in_the_server(house: MemoryHouse, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(house.server, "_service", replace(house.server._service, handler=trip_later))


DOORS: dict[str, tuple[str, Callable[[MemoryHouse, pytest.MonkeyPatch], None]]] = {
    "hot": (CHAT, at_the_hot_door),
    "server": (CHAT, in_the_server),
}


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("door", DOORS)
async def test_at_our_own_doors(said: Said, monkeypatch: pytest.MonkeyPatch, http2: bool, door: str):
    path, break_it = DOORS[door]
    async with house(http2=http2) as here:
        with monkeypatch.context() as patch:
            break_it(here, patch)
            status, _, body = await here.post(path, ASK)
        assert status == 500
        check(await said.until("KeyError") + body.decode())


async def test_behind_quart(said: Said, monkeypatch: pytest.MonkeyPatch):
    async with house() as here:
        monkeypatch.setattr(type(here.gateway), "models", trip_later)
        status, _, body = await here.get("/v1/models")
        assert status == 500
        check(await said.until("KeyError") + body.decode())


@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", "/v1/models")])
async def test_in_somebody_elses_asgi_server(said: Said, monkeypatch: pytest.MonkeyPatch, method: str, path: str):
    app = create_app(Config(discovery=QUIET, logging=Logging(format="json")))
    gateway: Any = app.gateway
    monkeypatch.setattr(type(gateway), "admit", trip)
    monkeypatch.setattr(type(gateway), "models", trip_later)
    async with app._context:
        app.running = True
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            answer = await client.request(method, path, json=ASK if method == "POST" else None)
        assert answer.status_code == 500
        check(await said.until("KeyError") + answer.text)


async def test_in_a_webhook(said: Said, monkeypatch: pytest.MonkeyPatch):
    async with house(webhooks=(HOOK,)) as here:
        monkeypatch.setattr(here.gateway.webhooks._hooks["oncall"], "_attempt", trip_later)
        here.gateway.events.publish(RateLimited("a"))
        check(await said.until("failed by a bug"), place="ExceptionGroup")


async def test_in_the_exporter_of_traces(said: Said, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Traces, "_exporter_now", trip)
    async with house(telemetry=Telemetry(enabled=True, otlp_endpoint="http://127.0.0.1:9")) as here:
        await here.post(CHAT, ASK)
        check(await said.until("in the exporter"), place="ExceptionGroup")


async def test_in_a_room_that_speaks_to_pythons_logging(said: Said):
    async with house():
        for room in ("budget", "cache", "health", "http"):
            try:
                trip()
            except Exception:
                logging.getLogger(f"hoosh.{room}").exception("it failed")
            check(await said.until(f'"room":"{room}"'))


async def test_in_a_connection_to_an_upstream(said: Said, monkeypatch: pytest.MonkeyPatch):
    async with house(http2=True) as here:  # whose own client is the upstreams' client
        monkeypatch.setattr(H2Connection, "_read", trip_later)
        with pytest.raises(ConnectionBroke):
            await here.post(CHAT, ASK)
        check(await said.until("HTTP/2 connection failed"))


def test_in_a_service_that_the_house_cannot_do_without(said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(serving.House, "_serve", trip_later)
    settings = Config(server=Server(port=0), discovery=QUIET)
    assert run_server(settings, file=None, read=lambda: settings, server="hoosh") == 1
    check(said())

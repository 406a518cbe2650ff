"""A real gateway on loopback before a scripted upstream, in a thread of its own; and servers that play a script.

    with running(config) as house:       house.url; house.upstream; house.wait(upstream.wait_cancelled)
    with scripted(script, …) as server:  the same without a gateway: the script answers the client itself

The tests are plain functions: the client's loop, Trio's or asyncio's, is the one that `in_loop` starts.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import anyio
import trio

import hoosh
from hoosh.config import Budget, Config, Discovery, Key, Logging, Provider, Server
from hoosh.gateway.gateway import Gateway
from hoosh.storage.settings import Storage
from hoosh.testing.house import ONE_TRY
from hoosh.testing.upstream import Cut, FakeUpstream, Hang, Received, Script, error_reply, json_reply, sse_chat
from hoosh.values.secret import Secret

PATIENCE_S = 60.0
KEY = "sk-client-4f0c1c2b9d"
ADMIN = "sk-admin-77ab31e0c2"
BACKENDS = ("trio", "asyncio")

T = TypeVar("T")


def in_loop(backend: str, story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a story on Trio or on asyncio.  Patience only says when a test has failed."""

    async def told() -> T:
        with anyio.fail_after(PATIENCE_S):
            return await story()

    return anyio.run(told, backend=backend)


class House:
    """What runs in the other thread."""

    upstream: FakeUpstream
    gateway: Gateway
    url: str

    def __init__(self, upstream: FakeUpstream, config: Callable[[int], Config] | None) -> None:
        self.upstream = upstream
        self._config = config
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._token: trio.lowlevel.TrioToken
        self._scope: trio.CancelScope
        self._thread = threading.Thread(target=self._main)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def wait(self, for_what: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Wait in the other thread."""

        async def wait() -> T:
            with trio.fail_after(PATIENCE_S):
                return await for_what(*args)

        return trio.from_thread.run(wait, trio_token=self._token)

    async def reach(self, for_what: Callable[..., Awaitable[T]], *args: Any) -> T:
        """The same from a loop, which goes on."""
        return await anyio.to_thread.run_sync(partial(self.wait, for_what, *args))

    def _main(self) -> None:
        try:
            trio.run(self._run)
        except BaseException as error:
            self._failed = error
            self._ready.set()
            raise

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._token, self._scope = trio.lowlevel.current_trio_token(), nursery.cancel_scope
            port = await nursery.start(self.upstream.serve_tcp)
            self.url = f"http://127.0.0.1:{port}"
            if self._config is not None:
                self.gateway = await nursery.start(hoosh.serve, self._config(port))
                self.url = self.gateway.address
            self._ready.set()


@contextmanager
def running(
    script: Callable[[Received], Script] | None = None, config: Callable[[int], Config] | None = None
) -> Iterator[House]:
    """A gateway before an upstream that answers as `script`."""
    house = House(FakeUpstream(script or by_model), config or config_of)
    house.start()
    try:
        yield house
    finally:
        house.stop()


@contextmanager
def scripted(*scripts: Script | Callable[[Received], Script]) -> Iterator[House]:
    """A server that answers the n-th request with the n-th script."""
    house = House(FakeUpstream(*scripts), None)
    house.start()
    try:
        yield house
    finally:
        house.stop()


def config_of(port: int, **changes: Any) -> Config:
    """A key that may infer, one that may do everything, a pool of 100 000 tokens."""
    provider = Provider(type="openai-compatible", name="mock", base_url=f"http://127.0.0.1:{port}", models=("*",))
    settings: dict[str, Any] = {
        "server": Server(port=0),
        "keys": (Key(name="ada", key=Secret(KEY), scopes=("inference",)), Key(name="owner", key=Secret(ADMIN))),
        "budgets": (Budget(name="team", capacity=100_000),),
        "storage": Storage(url="memory:"),
        "discovery": Discovery(local=False, environment=False),
        "logging": Logging(level="error"),
        **ONE_TRY,
    }
    return Config(providers=(provider,), **{**settings, **changes})


CALLS = [
    {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Bakı"}'}}
]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def by_model(request: Received) -> Script:
    """An upstream whose models are named for what they do."""
    if request.method == "GET":
        names = ("m", "slow", "cut", "sorry")
        return json_reply({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})
    asked = json.loads(request.body)
    if request.target.endswith("/embeddings"):
        vectors = [{"object": "embedding", "index": at, "embedding": [0.5, at]} for at in range(len(asked["input"]))]
        return json_reply({"object": "list", "data": vectors[::-1], "model": "m", "usage": USAGE})
    if request.target.endswith("/v1/completions"):
        choice = {"index": 0, "text": " donya", "finish_reason": "stop"}
        return json_reply({"id": "c", "object": "text_completion", "model": "m", "choices": [choice], "usage": USAGE})
    return _chat(asked)


def _chat(asked: Any) -> Script:
    match asked["model"], asked.get("stream", False):
        case "sorry", _:
            return error_reply(400, "This model's maximum context length is 8 tokens.", code="context_length_exceeded")
        case "slow", True:
            return [*sse_chat("Salam", " donya")[:2], Hang()]
        case "slow", _:
            return [Hang()]
        case "cut", _:
            return [*sse_chat("Salam", " donya")[:2], Cut()]
        case _, True:
            return sse_chat("Salam", ",", " donya")
    message: dict[str, Any] = {"role": "assistant", "content": "Salam, donya"}
    finish = "stop"
    if asked.get("tools"):
        message, finish = {"role": "assistant", "content": None, "tool_calls": CALLS}, "tool_calls"
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return json_reply({"id": "c", "object": "chat.completion", "model": "m-1", "choices": [choice], "usage": USAGE})

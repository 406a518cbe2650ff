"""A gateway on a loopback port, in a thread of its own, by our listener or by Hypercorn, before a scripted upstream.

Its keys: ADMIN may do everything, POOR nothing at all.  The upstream answers soundly to whatever it is asked.
"""

from __future__ import annotations

import json
import queue
import threading
from functools import partial
from typing import Any

import trio
import trio.lowlevel
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio import serve as hypercorn_serve

import hoosh.api.app
import hoosh.api.serve as doors
from hoosh.access import Key
from hoosh.audit import Audit
from hoosh.budget import Budget
from hoosh.config import Config, Discovery, Health, Provider, Retry, Server, Storage
from hoosh.testing.upstream import Body, End, FakeUpstream, Head, Received, Script, json_reply, sse_chat
from hoosh.values.secret import Secret

ADMIN, POOR = "sk-openapi-all", "sk-openapi-none"
MODELS = ("tiny", "whisper-1", "tts-1")
BODY_BYTES = 256 * 1024
PATIENCE_S = 60.0


def upstream_script(request: Received) -> Script:
    path = request.target.partition("?")[0]
    if path.endswith("/models"):
        return json_reply({"object": "list", "data": [{"id": n, "object": "model", "owned_by": "x"} for n in MODELS]})
    if path.endswith(("/transcriptions", "/translations")):
        return json_reply({"text": "salam donya"})
    if path.endswith("/speech"):
        length = (b"content-length", b"3")
        return [Head(200, [(b"content-type", b"audio/mpeg"), length]), Body(b"ID3"), End()]
    if path.endswith("/embeddings"):
        data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
        return json_reply({"object": "list", "data": data, "model": "tiny"})
    asked = json.loads(request.body)
    if asked.get("stream") is True:
        return sse_chat("salam", " donya")
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    said: dict[str, Any] = {"id": "x", "created": 1, "model": "tiny", "usage": usage}
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": "salam donya"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return json_reply({**said, "object": "chat.completion", "choices": choices})
    choices = [{"index": 0, "text": "salam donya", "finish_reason": "stop"}]
    return json_reply({**said, "object": "text_completion", "choices": choices})


def config_for(upstream_port: int, body_bytes: int) -> Config:
    url = f"http://127.0.0.1:{upstream_port}/v1"
    return Config(
        server=Server(port=0, max_body_bytes=body_bytes, drain_s=0.1),
        providers=(Provider(type="openai", name="far", base_url=url, api_key=Secret("sk-far"), models=MODELS),),
        keys=(Key(name="admin", key=Secret(ADMIN)), Key(name="poor", key=Secret(POOR), scopes=())),
        budgets=(Budget(name="default", capacity=10**12),),
        audit=Audit(enabled=True, signing_key=Secret("a signing key for tests, long enough")),
        storage=Storage(url="memory:"),
        discovery=Discovery(local=False, environment=False),
        health=Health(interval_secs=0, failure_threshold=1_000_000, min_requests=1_000_000),
        retry=Retry(max_retries=0),
    )


class ServedHouse:
    """Started when made; `stop` ends it and fails where the gateway has met a bug of its own."""

    def __init__(self, server: str = "ours", *, body_bytes: int = BODY_BYTES) -> None:
        self.bugs: list[str] = []
        self._body_bytes = body_bytes
        self._ready: queue.Queue[str | BaseException] = queue.Queue()
        self._thread = threading.Thread(target=self._run, args=(server,))
        self._thread.start()
        said = self._ready.get(timeout=PATIENCE_S)
        if isinstance(said, BaseException):
            raise said
        self.url = said

    def stop(self) -> None:
        trio.from_thread.run_sync(self._over.set, trio_token=self._token)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        assert self.bugs == []

    def _run(self, server: str) -> None:
        try:
            trio.run(self._serve, server)
        except BaseException as error:
            self._ready.put(error)
            raise

    async def _serve(self, server: str) -> None:
        self._token, self._over = trio.lowlevel.current_trio_token(), trio.Event()
        async with trio.open_nursery() as nursery:
            config = config_for(await nursery.start(FakeUpstream(upstream_script).serve_tcp), self._body_bytes)
            if server == "ours":
                house = doors.House(config)
                await nursery.start(house.run)
                house.gateway.log.error = self._note  # type: ignore[method-assign]
                self._ready.put(house.address)
            else:
                app = doors.create_app(config)
                app.gateway.log.error = self._note  # type: ignore[attr-defined]
                settings = HypercornConfig()
                settings.bind, settings.accesslog, settings.errorlog = ["127.0.0.1:0"], None, None
                settings.keep_alive_timeout = 10 * PATIENCE_S  # a test that is slow meets no connection that just ends
                serve = partial(hypercorn_serve, app, settings, shutdown_trigger=self._over.wait)  # type: ignore[arg-type]
                (url,) = await nursery.start(serve)
                self._ready.put(url)
            await self._over.wait()
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    def _note(self, event: str, **facts: object) -> None:
        if event == "bug":
            self.bugs.append(str(facts.get("stack")))


assert hoosh.api.app  # loaded here once, and not while a test waits

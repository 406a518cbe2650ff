"""An upstream that takes recordings of any length without holding them: in a thread of its own, both HTTP versions.

upstream.script = [500, None]      the first request is refused after all of it has come, the next is answered
upstream.taken                     what has come: path, fields, and length and digest of the file
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any, NamedTuple

import msgspec
import trio

from hoosh.codec.form_reader import FormReader
from hoosh.codec.multipart import FieldHead, boundary_of
from hoosh.http.exchange import Exchange
from hoosh.http.server import HttpServer, listen_tcp

JSON = [(b"content-type", b"application/json")]
ANSWER = {"text": "salam donya", "usage": {"type": "duration", "seconds": 7}}
EVENTS = (
    b'data: {"type":"transcript.text.delta","delta":"salam"}\r\n\r\n',
    b'data: {"type":"transcript.text.done","text":"salam","usage":{"input_tokens":7,"output_tokens":1}}\r\n\r\n',
    b"data: [DONE]\r\n\r\n",
)


class Taken(NamedTuple):
    path: str
    version: str
    fields: list[tuple[str, str]]
    filename: str | None
    size: int
    sha256: str


class SoundUpstream:
    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.script: list[int | None] = []
        self.asked = threading.Event()
        """Something has begun to come."""
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._serve,), name="sound upstream")
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._token.run_sync_soon(self._scope.cancel)
        self._thread.join()

    async def _serve(self) -> None:
        server = HttpServer(self._answer, error_page=lambda status, message, path: (JSON, b"{}"))
        [listener] = listen_tcp("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with trio.open_nursery() as nursery:
            self._scope, self._token = nursery.cancel_scope, trio.lowlevel.current_trio_token()
            await nursery.start(server.run, [listener])
            self._ready.set()

    async def _answer(self, exchange: Exchange) -> None:
        if exchange.method == "GET":
            await exchange.respond(200, JSON, b'{"object":"list","data":[{"id":"m1"},{"id":"m2"}]}')
            return
        taken = await self._take(exchange)
        self.taken.append(taken)
        refusal = self.script.pop(0) if self.script else None
        if refusal is not None:
            await exchange.respond(refusal, JSON, b'{"error":{"message":"not now"}}')
        elif ("stream", "true") in taken.fields:
            await exchange.start(200, [(b"content-type", b"text/event-stream")])
            for event in EVENTS:
                await exchange.send(event)
            await exchange.end()
        else:
            await exchange.respond(200, JSON, msgspec.json.encode(ANSWER))

    async def _take(self, exchange: Exchange) -> Taken:
        boundary = boundary_of(exchange.headers.get(b"content-type") or b"")
        assert boundary is not None
        reader, digest, size, filename = FormReader(boundary), hashlib.sha256(), 0, None
        fields: list[list[Any]] = []
        while piece := await exchange.receive():
            self.asked.set()
            for event in reader.feed(piece):
                if isinstance(event, FieldHead):
                    fields.append([event.name, b""])
                    filename = event.filename or filename
                elif event is not None and fields[-1][0] == "file":
                    digest.update(event)
                    size += len(event)
                elif event is not None:
                    fields[-1][1] += event
        reader.close()
        told = [(name, value.decode()) for name, value in fields if name != "file"]
        return Taken(exchange.path, exchange.version, told, filename, size, digest.hexdigest())

"""A small OpenAI-compatible server in a process of its own: what stands behind the gateway in these tests.

    python openai_server.py [--key KEY]        prints its port, then serves until it is killed

It shares no code with hoosh: h11 parses its HTTP/1.1, and it knows OpenAI's documented shapes by itself.  What a
request meets is chosen by its model; see `CHAT_MODELS`.  Nothing in it sleeps: a stream that is to last stops in the
middle and goes on when somebody says `POST /go`, so that a test decides the order of events.

    GET  /stats   what it has seen: requests, cancelled (the peer left before the answer was whole), running, open
    POST /go      let the models that wait go on (all of them, once)
    POST /reset   forget the counts
"""

from __future__ import annotations

import argparse
import base64
import json
import socket
import struct
import sys
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import h11
import trio

CHAT_MODELS = {
    "tiny-chat": "answers at once",
    "org/tiny-chat": "the same; the id has a slash",
    "tool-user": "calls the first tool it is offered, and answers once it has the result",
    "waits": "streams two words, and the rest after /go; whole answers come after /go",
    "waits-for-head": "does not even send a head before /go",
    "cuts": "closes the connection in the middle of the answer; of a stream, after /go",
    "resets": "resets the connection in the middle of the answer; of a stream, after /go",
    "breaks": "sends an error event in the middle of the stream, after /go",
    "no-done": "ends the stream after the finish reason, without [DONE]",
    "big": "streams 5 MB",
    "fail-400": "context_length_exceeded",
    "fail-401": "says that the key is wrong, and repeats it",
    "fail-404": "model_not_found",
    "fail-422": "unprocessable",
    "fail-429": "rate limited, retry-after 7",
    "fail-500": "internal error",
    "fail-503": "overloaded",
}
EMBED_MODELS = {"tiny-embed": "four numbers a text"}
COMPLETION_MODELS = {"tiny-complete": "completes"}
MODELS = [*CHAT_MODELS, *EMBED_MODELS, *COMPLETION_MODELS]
BIG_EVENTS, BIG_TEXT = 1250, "x" * 3800
ERRORS: dict[int, tuple[str, str | None, str | None, str]] = {
    400: ("invalid_request_error", "messages", "context_length_exceeded", "This model's context is 8 tokens."),
    404: ("invalid_request_error", None, "model_not_found", "The model does not exist."),
    422: ("invalid_request_error", "messages", None, "The roles do not alternate."),
    429: ("requests", None, "rate_limit_exceeded", "Slow down."),
    500: ("server_error", None, None, "The server had an error."),
    503: ("server_error", None, None, "The engine is overloaded."),
}


class Refusal(Exception):
    def __init__(self, status: int, body: dict[str, Any], headers: list[tuple[str, str]] | None = None) -> None:
        self.status, self.body, self.headers = status, body, headers or []


def refusal(status: int) -> Refusal:
    kind, param, code, message = ERRORS[status]
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Refusal(status, {"error": error}, [("retry-after", "7")] if status == 429 else [])


class Server:
    def __init__(self, key: str | None) -> None:
        self.key = key
        self.requests: Counter[str] = Counter()
        self.cancelled: Counter[str] = Counter()
        self.running: Counter[str] = Counter()
        self.open = 0
        self.last: dict[str, Any] = {}
        self.waiting = 0
        self._go = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        self.open += 1
        try:
            await Conversation(self, stream).run()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except* Exception:  # ours or the gateway's: the fixture looks at stderr
            traceback.print_exc()
        finally:
            self.open -= 1

    def stats(self) -> dict[str, Any]:
        return {
            "requests": dict(self.requests),
            "cancelled": dict(self.cancelled),
            "running": sum(self.running.values()),
            "waiting": self.waiting,
            "open": self.open,
            "last": self.last,
        }

    async def wait_go(self) -> None:
        self.waiting += 1
        try:
            await self._go.wait()
        finally:
            self.waiting -= 1

    def wake(self) -> None:
        self._go.set()
        self._go = trio.Event()


class Conversation:
    """One connection.  While an answer is being made, a second task watches whether the peer is still there."""

    def __init__(self, server: Server, stream: trio.SocketStream) -> None:
        self.server = server
        self.stream = stream
        self.h1 = h11.Connection(h11.SERVER)
        self.chunked = False

    async def run(self) -> None:
        while True:
            request, body = await self._next_request()
            if request is None:
                return
            await self._answer_watched(request, body)
            if self.h1.our_state is not h11.DONE or self.h1.their_state is not h11.DONE:
                return
            self.h1.start_next_cycle()

    async def _next_request(self) -> tuple[h11.Request | None, bytes]:
        request, body = None, bytearray()
        while True:
            event = self.h1.next_event()
            if event is h11.NEED_DATA:
                if self.h1.they_are_waiting_for_100_continue:
                    await self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self.h1.receive_data(await self.stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return request, bytes(body)
            else:  # ConnectionClosed, PAUSED
                return None, b""

    async def _answer_watched(self, request: h11.Request, body: bytes) -> None:
        server = self.server
        path = request.target.decode().partition("?")[0]
        name = path
        try:
            name = str(json.loads(body)["model"])
        except (ValueError, LookupError, TypeError):
            pass
        whole = False
        server.requests[name] += 1
        server.running[name] += 1
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, nursery.cancel_scope)
                try:
                    await self._answer(request, path, body)
                except Refusal as refused:
                    await self.respond(refused.status, refused.body, refused.headers)
                whole = True
                nursery.cancel_scope.cancel()
        finally:
            server.running[name] -= 1
            if not whole:
                server.cancelled[name] += 1

    async def _watch(self, scope: trio.CancelScope) -> None:
        """Until the peer leaves.  It may also have got the whole answer, and be asking the next thing already."""
        try:
            while data := await self.stream.receive_some(65536):
                self.h1.receive_data(data)
        except trio.BrokenResourceError:
            pass
        scope.cancel()

    async def _answer(self, request: h11.Request, path: str, body: bytes) -> None:
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in request.headers}
        view = VIEWS.get((request.method.decode(), path))
        if view is None:
            raise Refusal(404, {"error": {"message": f"no {path} here", "type": "invalid_request_error"}})
        if path.startswith("/v1"):
            self._check_key(headers)
            self.server.last = {"path": path, "headers": sorted(headers), "body": json.loads(body) if body else None}
        await view(self, json.loads(body) if body else {}, path)

    def _check_key(self, headers: dict[str, str]) -> None:
        if self.server.key is not None and headers.get("authorization") != f"Bearer {self.server.key}":
            message = f"Incorrect API key provided: {headers.get('authorization')}"
            raise Refusal(401, {"error": {"message": message, "type": "invalid_request_error", "param": None,
                                          "code": "invalid_api_key"}})  # fmt: skip

    # -- the wire --------------------------------------------------------------------------------------------------

    async def respond(self, status: int, value: Any, headers: list[tuple[str, str]] | None = None) -> None:
        body = json.dumps(value).encode()
        framing = [("content-type", "application/json"), ("content-length", str(len(body)))]
        data = self.h1.send(h11.Response(status_code=status, headers=[*framing, *(headers or [])]))
        data += self.h1.send(h11.Data(data=body)) + self.h1.send(h11.EndOfMessage())
        await self.stream.send_all(data)

    async def start_stream(self) -> None:
        headers = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
        await self._write(h11.Response(status_code=200, headers=headers))

    async def event(self, value: Any) -> None:
        text = value if isinstance(value, str) else json.dumps(value)
        await self._write(h11.Data(data=f"data: {text}\n\n".encode()))

    async def end(self) -> None:
        await self._write(h11.EndOfMessage())

    async def _write(self, event: h11.Event) -> None:
        await self.stream.send_all(self.h1.send(event) or b"")

    async def cut(self) -> None:
        await self.stream.aclose()
        raise trio.ClosedResourceError

    async def reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await self.cut()


# -- what it can do ------------------------------------------------------------------------------------------------


async def chat(talk: Conversation, ask: dict[str, Any], path: str) -> None:
    model = ask["model"]
    if model.startswith("fail-"):
        status = int(model.removeprefix("fail-"))
        if status == 401:
            talk._check_key({"authorization": f"Bearer not {talk.server.key}"})
        raise refusal(status)
    if model == "waits-for-head":
        await talk.server.wait_go()
    elif ask.get("tools") and ask["messages"][-1]["role"] != "tool":
        return await answer_with_tool(talk, ask)
    if ask.get("stream"):
        return await chat_stream(talk, ask)
    if model == "waits":
        await talk.server.wait_go()
    if model in ("cuts", "resets"):
        await talk.stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{")
        await (talk.reset() if model == "resets" else talk.cut())
    words = said(ask)
    choices = [
        {"index": at, "message": {"role": "assistant", "content": " ".join(words), "refusal": None},
         "finish_reason": "stop", "logprobs": None}
        for at in range(ask.get("n") or 1)
    ]  # fmt: skip
    return await talk.respond(200, {**head("chat.completion", model), "choices": choices, "usage": usage(ask)})


async def chat_stream(talk: Conversation, ask: dict[str, Any]) -> None:
    model, numbers = ask["model"], range(ask.get("n") or 1)
    chunk = partial(stream_chunk, model)
    words = [BIG_TEXT] * BIG_EVENTS if model == "big" else said(ask)
    await talk.start_stream()
    for number in numbers:
        await talk.event(chunk(number, {"role": "assistant", "content": ""}))
    for at, word in enumerate(words):
        if at == 2:
            await in_the_middle(talk, model)
        for number in numbers:
            await talk.event(chunk(number, {"content": word if at == 0 else f" {word}"}))
    for number in numbers:
        await talk.event(chunk(number, {}, "stop"))
    if (ask.get("stream_options") or {}).get("include_usage"):
        await talk.event({**head("chat.completion.chunk", model), "choices": [], "usage": usage(ask)})
    if model != "no-done":
        await talk.event("[DONE]")
    await talk.end()


async def in_the_middle(talk: Conversation, model: str) -> None:
    """After the second word: what is special about `model`."""
    if model in ("waits", "cuts", "resets", "breaks"):
        await talk.server.wait_go()
    if model == "cuts":
        await talk.cut()
    elif model == "resets":
        await talk.reset()
    elif model == "breaks":
        await talk.event({"error": {"message": "The engine died.", "type": "server_error", "code": "engine_died"}})
        await talk.cut()


async def answer_with_tool(talk: Conversation, ask: dict[str, Any]) -> None:
    """Call the first tool, with the last user message as the argument `text`."""
    function = ask["tools"][0]["function"]["name"]
    arguments = json.dumps({"text": ask["messages"][-1]["content"]})
    call = {"id": "call_1", "type": "function", "function": {"name": function, "arguments": arguments}}
    if not ask.get("stream"):
        message = {"role": "assistant", "content": None, "tool_calls": [call], "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls", "logprobs": None}
        await talk.respond(200, {**head("chat.completion", ask["model"]), "choices": [choice], "usage": usage(ask)})
        return
    chunk = partial(stream_chunk, ask["model"])
    await talk.start_stream()
    begun = {**call, "index": 0, "function": {"name": function, "arguments": ""}}
    await talk.event(chunk(0, {"role": "assistant", "content": None, "tool_calls": [begun]}))
    for at in range(0, len(arguments), 5):
        piece = {"index": 0, "function": {"arguments": arguments[at : at + 5]}}
        await talk.event(chunk(0, {"tool_calls": [piece]}))
    await talk.event(chunk(0, {}, "tool_calls"))
    await talk.event("[DONE]")
    await talk.end()


async def complete(talk: Conversation, ask: dict[str, Any], path: str) -> None:
    model, text = ask["model"], f"{ask['prompt']} and so on"
    if not ask.get("stream"):
        choice = {"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}
        await talk.respond(200, {**head("text_completion", model), "choices": [choice], "usage": usage(ask)})
        return
    await talk.start_stream()
    for word in text.split():
        choice = {"index": 0, "text": f"{word} ", "finish_reason": None, "logprobs": None}
        await talk.event({**head("text_completion", model), "choices": [choice]})
    choice = {"index": 0, "text": "", "finish_reason": "stop", "logprobs": None}
    await talk.event({**head("text_completion", model), "choices": [choice]})
    await talk.event("[DONE]")
    await talk.end()


async def embed(talk: Conversation, ask: dict[str, Any], path: str) -> None:
    """Of each text: its length, its words, and two constants that float32 holds exactly."""
    texts = [ask["input"]] if isinstance(ask["input"], str) else ask["input"]
    data = []
    for index, text in enumerate(texts):
        vector: Any = [float(len(text)), float(len(text.split())), 0.5, -0.25]
        if ask.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack("<4f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": vector})
    tokens = sum(len(text.split()) for text in texts)
    counts = {"prompt_tokens": tokens, "total_tokens": tokens}
    await talk.respond(200, {"object": "list", "data": data, "model": ask["model"], "usage": counts})


async def models(talk: Conversation, ask: dict[str, Any], path: str) -> None:
    cards = [{"id": name, "object": "model", "created": 1700000000, "owned_by": "tiny"} for name in MODELS]
    await talk.respond(200, {"object": "list", "data": cards})


async def stats(talk: Conversation, ask: dict[str, Any], path: str) -> None:
    await talk.respond(200, talk.server.stats())


async def go(talk: Conversation, ask: dict[str, Any], path: str) -> None:
    talk.server.wake()
    await talk.respond(200, {})


async def reset(talk: Conversation, ask: dict[str, Any], path: str) -> None:
    talk.server.requests.clear()
    talk.server.cancelled.clear()
    await talk.respond(200, {})


View = Callable[[Conversation, dict[str, Any], str], Awaitable[None]]
VIEWS: dict[tuple[str, str], View] = {
    ("POST", "/v1/chat/completions"): chat,
    ("POST", "/v1/completions"): complete,
    ("POST", "/v1/embeddings"): embed,
    ("GET", "/v1/models"): models,
    ("GET", "/stats"): stats,
    ("POST", "/go"): go,
    ("POST", "/reset"): reset,
}


def said(ask: dict[str, Any]) -> list[str]:
    last = ask["messages"][-1]
    return ["you", "said:", *str(last.get("content") or "").split()]


def head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": "chatcmpl-tiny",
        "object": kind,
        "created": 1700000000,
        "model": model,
        "system_fingerprint": "fp_e2e",
    }


def stream_chunk(model: str, index: int, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {**head("chat.completion.chunk", model), "choices": [choice]}


def usage(ask: dict[str, Any]) -> dict[str, int]:
    prompt = len(json.dumps(ask.get("messages") or ask.get("prompt")).split())
    return {"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5}


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--key")
    server = Server(parser.parse_args().key)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1024)
    print(listeners[0].socket.getsockname()[1], flush=True)
    await trio.serve_listeners(server.serve, listeners)


if __name__ == "__main__":
    sys.exit(trio.run(main))
